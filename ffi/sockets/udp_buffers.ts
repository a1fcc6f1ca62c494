/**
 * UDP buffers: the memory by which UDP sockets exchange datagrams with the kernel, and the form that both give it.
 * Sockets of one thread that take turns may share it, so that a thousand of them cost no more than one.
 */
import type { Arena } from "../arena.ts";
import {
  CONTROL_SIZE,
  readControl,
  writeEcn,
  writeEcn6,
  writeSegmentSize,
  writeSource,
  writeSource6,
} from "./control_messages.ts";
import {
  type DatagramBatch,
  isPath6,
  MAX_SEGMENTS,
  PATH_SIZE,
  PATH_SOURCE,
  runLength,
  sourceDigest,
} from "./datagram_batch.ts";
import { SOCKADDR_IN_ADDRESS, SOCKADDR_IN_PORT } from "./ipv4_address.ts";
import { isMapped, MAPPED_IPV4, SOCKADDR_IN6_ADDRESS, SOCKADDR_IN6_SIZE } from "./ipv6_address.ts";
import { MessageHeaders } from "../message_headers.ts";
import { AF_INET } from "../socket_constants.ts";

/** Room for the largest merged receive. */
export const RECEIVE_BUFFER_SIZE = 65536;

export class UdpBuffers {
  /** Messages that one receive or send call handles. */
  readonly batch: number;

  /** What the last receive brought, index by index; see `UdpSocket`. */
  readonly receivedOffsets: Int32Array;
  readonly receivedLengths: Int32Array;
  readonly receivedSegmentSizes: Int32Array;
  readonly receivedAddresses: Int32Array;
  readonly receivedNames6: Int32Array;
  readonly receivedPorts: Uint16Array;
  readonly receivedSources: Int32Array;
  readonly receivedSources6: Int32Array;
  readonly receivedEcns: Uint8Array;

  readonly received: MessageHeaders;
  readonly sent: MessageHeaders;
  /** How many datagrams each composed message carries. */
  readonly sendCounts: Int32Array;

  readonly #view: DataView<ArrayBuffer>;

  constructor(arena: Arena, batch: number) {
    this.#view = arena.view;
    this.batch = batch;
    this.receivedOffsets = new Int32Array(batch);
    this.receivedLengths = new Int32Array(batch);
    this.receivedSegmentSizes = new Int32Array(batch);
    this.receivedAddresses = new Int32Array(batch);
    this.receivedNames6 = new Int32Array(batch);
    this.receivedPorts = new Uint16Array(batch);
    this.receivedSources = new Int32Array(batch);
    this.receivedSources6 = new Int32Array(batch);
    this.receivedEcns = new Uint8Array(batch);
    this.sendCounts = new Int32Array(batch);

    const shape = { count: batch, nameSize: SOCKADDR_IN6_SIZE, controlSize: CONTROL_SIZE };
    this.received = new MessageHeaders(arena, { ...shape, vectors: 1 });
    this.sent = new MessageHeaders(arena, { ...shape, vectors: MAX_SEGMENTS });
    const buffers = arena.allocate(batch * RECEIVE_BUFFER_SIZE);
    for (let i = 0; i < batch; i++) {
      this.receivedOffsets[i] = buffers + i * RECEIVE_BUFFER_SIZE;
      this.received.setPiece(i, 0, this.receivedOffsets[i], RECEIVE_BUFFER_SIZE);
    }
  }

  /**
   * Reads what the kernel has written of `count` messages into the `received...` arrays, and makes room for the next.
   */
  readReceived(count: number): void {
    const view = this.#view;
    const headers = this.received;
    for (let i = 0; i < count; i++) {
      const name = headers.name(i);
      this.receivedLengths[i] = headers.receivedLength(i);
      this.receivedPorts[i] = view.getUint16(name + SOCKADDR_IN_PORT);
      this.#readName(name, i);
      const control = headers.control(i);
      readControl(view, control, control + headers.controlLength(i), this, i);
      headers.reset(i);
    }
  }

  /** Reads who sent message `i`. An IPv4 address that is mapped into IPv6 is one of IPv4 from here on. */
  #readName(name: number, i: number): void {
    const view = this.#view;
    const address = name + SOCKADDR_IN6_ADDRESS;
    this.receivedNames6[i] = -1;
    if (view.getUint16(name, true) === AF_INET) {
      this.receivedAddresses[i] = view.getInt32(name + SOCKADDR_IN_ADDRESS);
    } else if (isMapped(view, address)) {
      this.receivedAddresses[i] = view.getInt32(address + MAPPED_IPV4);
    } else {
      this.receivedAddresses[i] = 0;
      this.receivedNames6[i] = name;
    }
  }

  /**
   * Describes as many datagrams as fit one `sendmmsg` call. Neighbours that make a run (`runLength()`) share a message,
   * from `mergeFrom` on.
   *
   * @param mergeFrom datagrams before this index share no message
   * @param refusedSource `sourceDigest()` of a source address that is left to the kernel; 0 for none
   * @returns the count of messages; `sendCounts` has the datagrams of each
   */
  compose(
    batch: DatagramBatch,
    from: number,
    to: number,
    mergeFrom: number,
    refusedSource: number,
  ): number {
    let next = from;
    let message = 0;
    while (next < to && message < this.batch) {
      const run = next >= mergeFrom ? runLength(batch, next, to) : 1;
      this.composeMessage(batch, next, message, run, refusedSource);
      this.sendCounts[message++] = run;
      next += run;
    }
    return message;
  }

  /** Describes `run` datagrams from `first` on as message `message`. */
  composeMessage(
    batch: DatagramBatch,
    first: number,
    message: number,
    run: number,
    refusedSource: number,
  ): void {
    const view = this.#view;
    const headers = this.sent;
    const name = headers.name(message);
    const paths = batch.paths.view;
    const path = batch.pathIds[first] * PATH_SIZE;
    const is6 = isPath6(paths, path);
    // Family and port, then the address; more room than `sockaddr_in` takes is no error.
    view.setInt32(name, paths.getInt32(path));
    view.setInt32(name + SOCKADDR_IN_ADDRESS, paths.getInt32(path + SOCKADDR_IN_ADDRESS));
    if (is6) {
      for (let i = SOCKADDR_IN6_ADDRESS; i < SOCKADDR_IN6_SIZE; i += 4) {
        view.setInt32(name + i, paths.getInt32(path + i));
      }
    }
    for (let i = 0; i < run; i++) {
      headers.setPiece(message, i, batch.offsets[first + i], batch.lengths[first + i]);
    }
    headers.setPieces(message, run);

    const control = headers.control(message);
    const ecn = batch.ecns === undefined ? 0 : batch.ecns[first];
    // A number above 2^30 that a function returns may be an object on the heap: IPv4's is read here.
    const source = is6 ? sourceDigest(paths, path) : paths.getInt32(path + PATH_SOURCE);
    let length = 0;
    if (source !== 0 && source !== refusedSource) {
      length += is6
        ? writeSource6(view, control, paths, path + PATH_SOURCE)
        : writeSource(view, control, source);
    }
    if (ecn !== 0) {
      const at = control + length;
      length += is6 ? writeEcn6(view, at, ecn) : writeEcn(view, at, ecn);
    }
    if (run > 1) length += writeSegmentSize(view, control + length, batch.lengths[first]);
    headers.setControlLength(message, length);
  }
}
