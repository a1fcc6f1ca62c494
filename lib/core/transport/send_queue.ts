/**
 * Send queue: datagrams on their way to the socket, the core's effect "send these bytes there".
 *
 * A datagram is made where it is sent from: `reserve()` names a free slot of the packet memory, the message is sealed
 * straight into it, `commit()` appends it with its path. The caller drains the queue in batches; the parallel
 * arrays are what `UdpSocket.send()` takes.
 */
import { MAX_PEERS } from "../limits/max_peers.ts";
import { Paths } from "./paths.ts";

/** Slots start on multiples of this, so that a message's header and cipher text are aligned. */
const SLOT_ALIGN = 64;
/** Bytes before each message for the headers of a transport that writes its own: IPv6 and TCP take 60. */
const HEADROOM = SLOT_ALIGN;

export interface SendQueueRegion {
  /** Offset of the first slot in the packet memory; a multiple of 64. */
  readonly offset: number;
  /** Count of slots. */
  readonly slots: number;
  /** Bytes of a slot, from `slotSize()`. */
  readonly slotSize: number;
}

/** Paths that strangers share, for each slot of the queue: each slot may pin one. */
const UNHELD_PER_SLOT = 2;

export class SendQueue {
  /** What the datagrams leave by. */
  readonly paths: Paths;
  readonly offsets: Int32Array;
  readonly lengths: Int32Array;
  readonly pathIds: Int32Array;
  /** ECN bits of each datagram's IP header. */
  readonly ecns: Uint8Array;
  /** Datagrams committed since the queue was empty; those before `head` have been sent. */
  tail = 0;
  head = 0;
  readonly capacity: number;
  /** How far apart slots begin, in bytes. */
  readonly slotSize: number;

  constructor(region: SendQueueRegion) {
    this.capacity = region.slots;
    this.slotSize = region.slotSize;
    this.paths = new Paths({
      holders: MAX_PEERS,
      unheld: UNHELD_PER_SLOT * region.slots,
    });
    this.offsets = new Int32Array(region.slots);
    this.lengths = new Int32Array(region.slots);
    this.pathIds = new Int32Array(region.slots);
    this.ecns = new Uint8Array(region.slots);
    for (let i = 0; i < region.slots; i++) {
      this.offsets[i] = region.offset + i * region.slotSize + HEADROOM;
    }
  }

  /** Bytes of a slot that holds a message of up to `messageSize` bytes. */
  static slotSize(messageSize: number): number {
    return HEADROOM + ((messageSize + SLOT_ALIGN - 1) & -SLOT_ALIGN);
  }

  /** Offset of the next free slot, or -1 when all are taken. Reserving twice names the same slot. */
  reserve(): number {
    return this.tail < this.capacity ? this.offsets[this.tail] : -1;
  }

  /** Appends the reserved slot's first `length` bytes, to leave by this path. */
  commit(length: number, path: number): void {
    const i = this.tail++;
    this.paths.pin(path);
    this.ecns[i] = 0;
    this.lengths[i] = length;
    this.pathIds[i] = path;
  }

  /** Gives the datagram that was committed last these ECN bits. */
  setEcn(ecn: number): void {
    this.ecns[this.tail - 1] = ecn;
  }

  /** The index behind the first datagrams that wait and travel alike. */
  runEnd(): number {
    const { paths, pathIds } = this;
    const transport = paths.transport(pathIds[this.head]);
    let end = this.head + 1;
    while (end < this.tail && paths.transport(pathIds[end]) === transport) end++;
    return end;
  }

  /** Datagrams that wait. */
  get length(): number {
    return this.tail - this.head;
  }

  /** Slots left before `reserve()` fails. */
  get free(): number {
    return this.capacity - this.tail;
  }

  /** Takes note that everything before index `head` has left. Slots come free once all have. */
  sentUpTo(head: number): void {
    this.head = head;
    if (head !== this.tail) return;
    this.head = this.tail = 0;
    this.paths.unpinAll();
  }
}
