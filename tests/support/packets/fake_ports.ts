/**
 * Fake ports: what the engine's loop reads and writes, without a kernel. What is full, is full for as long as a test
 * says so.
 */
import type {
  CapturePort,
  DatagramPort,
  Datagrams,
  ReceivedMessages,
  TunPort,
} from "../../../lib/core/engine/ports.ts";
import { VNET_HEADER_SIZE } from "../../../lib/core/offload/virtio_net_header.ts";
import type { Paths } from "../../../lib/core/transport/paths.ts";
import { Transport } from "../../../lib/core/transport/transport.ts";
import type { Memory } from "../../../lib/core/wire/memory.ts";
import type { Bytes } from "./packet_builder.ts";

/** The virtio-net header of a packet that is whole. */
const PLAIN_HEADER = new Uint8Array(VNET_HEADER_SIZE);
/** Bytes of a place for what is received: a super-packet with what stands before it, and room for padding. */
const PLACE_SIZE = 66_048;

/** A TUN device: the host's packets go in at one end, the core reads and writes at the other. */
export class FakeTun implements TunPort {
  /** Whether the host takes super-packets of UDP. */
  mergesUdp = false;
  /** Packets that the core wrote for the host, oldest first. */
  readonly written: Bytes[] = [];
  /** Takes each packet that the core writes, in place of `written`. */
  onWritten: ((packet: Bytes) => void) | null = null;
  /** Whether the loop is to be woken when there is something to read. */
  isAwaited = false;
  /** Whether the host refuses what is written. */
  isRefusing = false;
  readonly #memory: Memory;
  readonly #fromHost: Uint8Array[] = [];
  readonly #pieces: Bytes[] = [];

  constructor(memory: Memory) {
    this.#memory = memory;
  }

  /** Packets that wait to be read. */
  get waiting(): number {
    return this.#fromHost.length;
  }

  /** The host sends a packet into the tunnel; `header` is its virtio-net header. */
  send(packet: Uint8Array, header: Uint8Array = PLAIN_HEADER): void {
    const read = new Uint8Array(header.length + packet.length);
    read.set(header);
    read.set(packet, header.length);
    this.#fromHost.push(read);
  }

  read(offset: number): number {
    const read = this.#fromHost.shift();
    if (read === undefined) return 0;
    this.#memory.bytes.set(read, offset);
    return read.length;
  }

  beginWrite(): void {
    this.#pieces.length = 0;
  }

  addPiece(offset: number, length: number): void {
    this.#pieces.push(this.#memory.bytes.slice(offset, offset + length));
  }

  endWrite(): number {
    if (this.isRefusing) return -1;
    const [, ...pieces] = this.#pieces;
    const packet = Uint8Array.from(pieces.flatMap((piece) => [...piece]));
    if (this.onWritten === null) this.written.push(packet);
    else this.onWritten(packet);
    return VNET_HEADER_SIZE + packet.length;
  }

  refusedUdp(): void {
    this.mergesUdp = false;
  }

  awaitPackets(isAwaited: boolean): void {
    this.isAwaited = isAwaited;
  }
}

/** Where a datagram came from, and how. Addresses in host order. */
export interface Arrival {
  readonly address: number;
  readonly port: number;
  /** Our address that it was sent to. */
  readonly source?: number;
  /** Of merged datagrams. */
  readonly segmentSize?: number;
  readonly ecn?: number;
  /** In place of its bytes'; -1 is what is said of one that was cut short. */
  readonly length?: number;
}

export interface FakeDatagramPortOptions {
  /** Offset of `FakeDatagramPort.arenaSize()` bytes of the memory. */
  readonly offset: number;
  readonly paths: Paths;
  readonly batch?: number;
  readonly transport?: Transport;
}

/** A socket: what arrives is put in by a test, what is sent is handed to it. */
export class FakeDatagramPort implements DatagramPort {
  readonly transport: Transport;
  readonly batch: number;
  readonly messages: ReceivedMessages;
  /** Takes datagram `index` of the queue, which leaves. */
  onSent: ((datagrams: Datagrams, index: number) => void) | null = null;
  /** Datagrams that there is room for. */
  room = Infinity;
  isRoomAwaited = false;
  /**
   * Datagrams that were sent, and of these, those sent as probes; calls of `receive()`; messages said to be authentic.
   */
  sent = 0;
  probes = 0;
  receives = 0;
  authentic = 0;
  readonly #memory: Memory;
  readonly #paths: Paths;
  #received: Arrival[] = [];
  readonly #arrivals: { readonly bytes: Uint8Array; readonly arrival: Arrival }[] = [];

  constructor(
    memory: Memory,
    { offset, paths, batch = 1, transport = Transport.udp }: FakeDatagramPortOptions,
  ) {
    this.#paths = paths;
    this.#memory = memory;
    this.transport = transport;
    this.batch = batch;
    this.messages = {
      offsets: Int32Array.from({ length: batch }, (_, i) => offset + i * PLACE_SIZE),
      lengths: new Int32Array(batch),
      segmentSizes: new Int32Array(batch),
      pathIds: new Int32Array(batch),
      ecns: new Uint8Array(batch),
    };
  }

  /** Bytes of memory that a port takes. */
  static arenaSize(batch = 1): number {
    return batch * PLACE_SIZE;
  }

  /** Messages that wait to be received. */
  get waiting(): number {
    return this.#arrivals.length;
  }

  arrive(bytes: Uint8Array, arrival: Arrival): void {
    this.#arrivals.push({ bytes, arrival });
  }

  receive(): number {
    this.receives++;
    const received = this.#arrivals.splice(0, this.batch);
    const { messages } = this;
    received.forEach(({ bytes, arrival }, i) => {
      this.#memory.bytes.set(bytes, messages.offsets[i]!);
      messages.lengths[i] = arrival.length ?? bytes.length;
      messages.segmentSizes[i] = arrival.segmentSize ?? 0;
      messages.ecns[i] = arrival.ecn ?? 0;
    });
    this.#received = received.map(({ arrival }) => arrival);
    return received.length;
  }

  take(index: number): boolean {
    const { address, port, source = 0 } = this.#received[index]!;
    this.messages.pathIds[index] = this.#paths.intern(address, port, source, this.transport);
    return true;
  }

  authenticated(): void {
    this.authentic++;
  }

  send(queue: Datagrams, from: number, to: number): number {
    let next = from;
    for (; next < to && this.room > 0; next++, this.room--) {
      this.sent++;
      this.onSent?.(queue, next);
    }
    return next;
  }

  probe(queue: Datagrams, index: number): boolean {
    this.probes++;
    this.sent++;
    this.onSent?.(queue, index);
    return true;
  }

  flush(): boolean {
    return true;
  }

  awaitRoom(isAwaited: boolean): void {
    this.isRoomAwaited = isAwaited;
  }
}

/** The network outside: what arrives there is put in by a test, what the NAT sends is counted and gone. */
export class FakeCapture implements CapturePort {
  readonly batch: number;
  readonly offsets: Int32Array;
  readonly lengths: Int32Array;
  isAwaited = true;
  receives = 0;
  /** Called where the NAT's packets are to be sent. */
  onFlush: (() => void) | null = null;
  readonly #memory: Memory;
  readonly #arriving: Uint8Array[] = [];

  /** @param offset of `FakeDatagramPort.arenaSize(batch)` bytes of the memory */
  constructor(memory: Memory, { offset, batch = 1 }: { offset: number; batch?: number }) {
    this.#memory = memory;
    this.batch = batch;
    this.offsets = Int32Array.from({ length: batch }, (_, i) => offset + i * PLACE_SIZE);
    this.lengths = new Int32Array(batch);
  }

  /** Packets that wait to be received. */
  get waiting(): number {
    return this.#arriving.length;
  }

  /** A packet arrives from outside; `header` is its virtio-net header. */
  arrive(packet: Uint8Array, header: Uint8Array = PLAIN_HEADER): void {
    this.#arriving.push(Uint8Array.from([...header, ...packet]));
  }

  receive(): number {
    this.receives++;
    const received = this.#arriving.splice(0, this.batch);
    received.forEach((bytes, i) => {
      this.#memory.bytes.set(bytes, this.offsets[i]!);
      this.lengths[i] = bytes.length;
    });
    return received.length;
  }

  flush(): void {
    this.onFlush?.();
  }

  awaitPackets(isAwaited: boolean): void {
    this.isAwaited = isAwaited;
  }
}
