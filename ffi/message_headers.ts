/**
 * Message headers: arrays of `mmsghdr`, laid out once in the arena, by which `recvmmsg` and `sendmmsg` move many
 * datagrams in one call.
 *
 * `struct mmsghdr { struct msghdr { void *name; u32 namelen; iovec *iov; size_t iovlen; void *control; size_t
 * controllen; int flags; } hdr; unsigned len; }`, with the padding of a 64-bit ABI.
 */
import type { Arena } from "./arena.ts";
import { IOVEC_SIZE, MSG_TRUNC } from "./socket_constants.ts";

const MMSGHDR_SIZE = 64;
const MSG_NAME = 0;
const MSG_NAMELEN = 8;
const MSG_IOV = 16;
const MSG_IOVLEN = 24;
const MSG_CONTROL = 32;
const MSG_CONTROLLEN = 40;
const MSG_FLAGS = 48;
const MSG_LEN = 56;

/** The regions that a set of headers takes of the arena, and how each is aligned there. */
const REGIONS = 4;
const REGION_ALIGN = 64;

export interface MessageHeadersShape {
  /** Messages in the array. */
  readonly count: number;
  /** Bytes of a socket address; 0 for none. */
  readonly nameSize: number;
  /** Bytes of room for control messages; 0 for none. */
  readonly controlSize: number;
  /** Vectors, that is pieces, of each message. */
  readonly vectors: number;
}

export class MessageHeaders {
  /** The array, for the system call. */
  readonly pointer: Deno.PointerObject;
  readonly #arena: Arena;
  readonly #view: DataView<ArrayBuffer>;
  readonly #shape: MessageHeadersShape;
  readonly #headers: number;
  readonly #names: number;
  readonly #controls: number;
  readonly #vectors: number;

  constructor(arena: Arena, shape: MessageHeadersShape) {
    const { count, nameSize, controlSize, vectors } = shape;
    this.#arena = arena;
    this.#view = arena.view;
    this.#shape = shape;
    this.#headers = arena.allocate(count * MMSGHDR_SIZE);
    this.#names = arena.allocate(count * nameSize);
    this.#controls = arena.allocate(count * controlSize);
    this.#vectors = arena.allocate(count * vectors * IOVEC_SIZE);
    this.pointer = arena.pointer(this.#headers);
    for (let i = 0; i < count; i++) {
      const header = this.#header(i);
      if (nameSize > 0) arena.writePointer(header + MSG_NAME, this.name(i));
      if (controlSize > 0) arena.writePointer(header + MSG_CONTROL, this.control(i));
      arena.writePointer(header + MSG_IOV, this.#vectors + i * vectors * IOVEC_SIZE);
      this.setPieces(i, vectors);
      this.reset(i);
    }
  }

  /** Bytes of arena that an array of this shape takes, with what alignment may cost. */
  static arenaSize({ count, nameSize, controlSize, vectors }: MessageHeadersShape): number {
    return count * (MMSGHDR_SIZE + nameSize + controlSize + vectors * IOVEC_SIZE) +
      REGIONS * REGION_ALIGN;
  }

  /** The array from message `index` on, for the system call. */
  pointerFrom(index: number): Deno.PointerObject {
    return this.#arena.pointer(this.#header(index));
  }

  /** Offset of a message's socket address. */
  name(index: number): number {
    return this.#names + index * this.#shape.nameSize;
  }

  /** Offset of a message's control block. */
  control(index: number): number {
    return this.#controls + index * this.#shape.controlSize;
  }

  /** Gives a message back the room for name and control block that a receive has cut to what it wrote. */
  reset(index: number): void {
    const header = this.#header(index);
    this.#view.setUint32(header + MSG_NAMELEN, this.#shape.nameSize, true);
    this.#view.setUint32(header + MSG_CONTROLLEN, this.#shape.controlSize, true);
  }

  /** Names the bytes of one piece of a message. */
  setPiece(index: number, piece: number, offset: number, length: number): void {
    const vector = this.#vectors + (index * this.#shape.vectors + piece) * IOVEC_SIZE;
    this.#arena.writePointer(vector, offset);
    this.#view.setUint32(vector + 8, length, true);
    this.#view.setUint32(vector + 12, 0, true);
  }

  /** Says of how many pieces a message consists. */
  setPieces(index: number, count: number): void {
    this.#view.setUint32(this.#header(index) + MSG_IOVLEN, count, true);
  }

  /** Says how many bytes of the control block count. */
  setControlLength(index: number, length: number): void {
    this.#view.setUint32(this.#header(index) + MSG_CONTROLLEN, length, true);
  }

  /** Bytes that a receive wrote to the control block. */
  controlLength(index: number): number {
    return this.#view.getUint32(this.#header(index) + MSG_CONTROLLEN, true);
  }

  /** Bytes received, or -1 when the kernel had to cut the datagram short. */
  receivedLength(index: number): number {
    const header = this.#header(index);
    if ((this.#view.getInt32(header + MSG_FLAGS, true) & MSG_TRUNC) !== 0) return -1;
    return this.#view.getInt32(header + MSG_LEN, true);
  }

  #header(index: number): number {
    return this.#headers + index * MMSGHDR_SIZE;
  }
}
