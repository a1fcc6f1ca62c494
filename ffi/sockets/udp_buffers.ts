/**
 * Owns the memory by which UDP sockets exchange datagrams with the kernel: buffers, message headers, and the arrays that tell
 * what came. Sockets of one thread that take turns may share it, so that a thousand of them cost no more than one.
 */
import type { Arena } from "../arena.ts";
import { MessageHeaders } from "./message_headers.ts";

/** `struct sockaddr_in { u16 sin_family; be16 sin_port; be32 sin_addr; u8 sin_zero[8]; }` */
export const SOCKADDR_IN_SIZE = 16;
/** Room for the largest merged receive. */
export const RECEIVE_BUFFER_SIZE = 65536;
/** `UDP_MAX_SEGMENTS` of kernels before 6.9; newer ones take 128. */
export const MAX_SEGMENTS = 64;

const AF_INET = 2;

export interface UdpBuffersShape {
  /** Messages that one receive or send call handles. */
  readonly batch: number;
  /** Bytes of room for the control messages of each. */
  readonly controlSize: number;
}

export class UdpBuffers {
  readonly batch: number;

  /** What the last receive brought, index by index; see `UdpSocket`. */
  readonly receivedOffsets: Int32Array;
  readonly receivedLengths: Int32Array;
  readonly receivedSegmentSizes: Int32Array;
  readonly receivedAddresses: Int32Array;
  readonly receivedPorts: Uint16Array;
  readonly receivedSources: Int32Array;
  readonly receivedEcns: Uint8Array;

  readonly received: MessageHeaders;
  readonly sent: MessageHeaders;
  /** How many datagrams each composed message carries. */
  readonly sendCounts: Int32Array;

  constructor(arena: Arena, { batch, controlSize }: UdpBuffersShape) {
    this.batch = batch;
    this.receivedOffsets = new Int32Array(batch);
    this.receivedLengths = new Int32Array(batch);
    this.receivedSegmentSizes = new Int32Array(batch);
    this.receivedAddresses = new Int32Array(batch);
    this.receivedPorts = new Uint16Array(batch);
    this.receivedSources = new Int32Array(batch);
    this.receivedEcns = new Uint8Array(batch);
    this.sendCounts = new Int32Array(batch);

    const shape = { count: batch, nameSize: SOCKADDR_IN_SIZE, controlSize };
    this.received = new MessageHeaders(arena, { ...shape, vectors: 1 });
    this.sent = new MessageHeaders(arena, { ...shape, vectors: MAX_SEGMENTS });
    const buffers = arena.allocate(batch * RECEIVE_BUFFER_SIZE);
    for (let i = 0; i < batch; i++) {
      this.receivedOffsets[i] = buffers + i * RECEIVE_BUFFER_SIZE;
      this.received.setPiece(i, 0, this.receivedOffsets[i], RECEIVE_BUFFER_SIZE);
      arena.view.setUint16(this.sent.name(i), AF_INET, true);
    }
  }
}
