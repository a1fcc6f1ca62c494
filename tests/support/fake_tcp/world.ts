/**
 * Two ends of fake TCP and what lies between them: a network of seeded delay and loss, with middleboxes in a row.
 */
import { FakeTcp, type FakeTcpOptions } from "../../../lib/core/transport/fake_tcp/fake_tcp.ts";
import { payloadOffset, payloadSize } from "../../../lib/core/transport/fake_tcp/segment.ts";
import { SegmentQueue } from "../../../lib/core/transport/fake_tcp/segment_queue.ts";
import type { Session } from "../../../lib/core/transport/fake_tcp/session.ts";
import { DROP_REASON_NAMES, DropCounters } from "../../../lib/core/wire/drop_reason.ts";
import { createMemory } from "../../../lib/core/wire/memory.ts";
import { assert } from "../assert.ts";
import { FakeClock } from "../time/fake_clock.ts";
import { type Bytes, referenceChecksum } from "../packets/packet_builder.ts";
import { Random } from "../random.ts";

export const [FIN, SYN, RST, PSH, ACK] = [1, 2, 4, 8, 16] as const;

/** 192.0.2.1 and 198.51.100.9: the second is negative as int32, as half of all addresses are. */
export const CLIENT_ADDRESS = 0x0c000201 | 0;
export const SERVER_ADDRESS = 0xc6336409 | 0;
export const SERVER_PORT = 443;
export const CLIENT_PORTS = { first: 40_000, last: 40_015 };
export const MTU = 1500;

const SLOTS = 2048;
const SLOT_SIZE = SegmentQueue.slotSize(MTU);
const DATAGRAMS_AT = SLOTS * SLOT_SIZE;
const DATAGRAM_SPACE = 1600;
const CAPTURE_AT = DATAGRAMS_AT + SLOTS * DATAGRAM_SPACE;

/** What a segment says. */
export interface Segment {
  readonly source: number;
  readonly destination: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly flags: number;
  readonly seq: number;
  readonly ack: number;
  readonly window: number;
  readonly options: Bytes;
  readonly payload: Bytes;
}

export function read(packet: Bytes): Segment {
  const view = new DataView(packet.buffer);
  const headerSize = packet[32]! >> 4 << 2;
  return {
    source: view.getInt32(12),
    destination: view.getInt32(16),
    sourcePort: view.getUint16(20),
    destinationPort: view.getUint16(22),
    flags: packet[33]!,
    seq: view.getUint32(24),
    ack: view.getUint32(28),
    window: view.getUint16(34),
    options: packet.slice(40, 20 + headerSize),
    payload: packet.slice(20 + headerSize),
  };
}

/**
 * Makes both checksums, and the length, right, as the sender of packets does, or a middlebox that changes one on its
 * way.
 */
export function completed(packet: Bytes): Bytes {
  const view = new DataView(packet.buffer);
  view.setUint16(2, packet.length);
  view.setUint16(10, 0);
  view.setUint16(10, referenceChecksum(packet.subarray(0, 20)));
  view.setUint16(36, 0);
  const pseudo = new Uint8Array(12 + packet.length - 20);
  pseudo.set(packet.subarray(12, 20));
  pseudo[9] = 6;
  new DataView(pseudo.buffer).setUint16(10, packet.length - 20);
  pseudo.set(packet.subarray(20), 12);
  view.setUint16(36, referenceChecksum(pseudo));
  return packet;
}

/** A segment without options, from the fields that matter; the client's to the server unless told otherwise. */
export function build(fields: Partial<Segment>): Bytes {
  const options = fields.options ?? new Uint8Array();
  const payload = fields.payload ?? new Uint8Array();
  const packet = new Uint8Array(40 + options.length + payload.length);
  const view = new DataView(packet.buffer);
  packet.set([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6]);
  view.setInt32(12, fields.source ?? CLIENT_ADDRESS);
  view.setInt32(16, fields.destination ?? SERVER_ADDRESS);
  view.setUint16(20, fields.sourcePort ?? CLIENT_PORTS.first);
  view.setUint16(22, fields.destinationPort ?? SERVER_PORT);
  view.setUint32(24, fields.seq ?? 0);
  view.setUint32(28, fields.ack ?? 0);
  packet[32] = (20 + options.length) / 4 << 4;
  packet[33] = fields.flags ?? ACK;
  view.setUint16(34, fields.window ?? 65_535);
  packet.set(options, 40);
  packet.set(payload, 40 + options.length);
  return completed(packet);
}

/** The opposite direction's addresses and ports. */
export function back(segment: Segment): Partial<Segment> {
  return {
    source: segment.destination,
    destination: segment.source,
    sourcePort: segment.destinationPort,
    destinationPort: segment.sourcePort,
  };
}

/** One end of fake TCP: a client, or a server. */
export class End {
  readonly transport: FakeTcp;
  readonly drops = new DropCounters();
  readonly queue = new SegmentQueue({ offset: 0, slots: SLOTS, slotSize: SLOT_SIZE });
  readonly memory = createMemory(CAPTURE_AT + 70_000);
  /** Datagrams received, as text. */
  readonly received: string[] = [];
  /** Events drained so far, in order. */
  readonly events: string[] = [];
  /** Bytes received. */
  receivedBytes = 0;
  /** What the last datagram came by; null where the last packet had none. */
  receivedFrom: Session | null = null;
  /** Whether a datagram that comes counts as authentic: all do, none does, or as it is judged. */
  authenticates: boolean | ((datagram: Uint8Array) => boolean) = true;
  /** Whose a connection is that something authentic comes by. */
  clientOf: (session: Session) => object = (session) => session;
  readonly #clock: FakeClock;
  #placed = 0;

  constructor(clock: FakeClock, options: Partial<FakeTcpOptions> & { seed: number }) {
    const random = new Random(options.seed);
    this.#clock = clock;
    this.transport = new FakeTcp({
      memory: this.memory,
      queue: this.queue,
      drops: this.drops,
      mtu: MTU,
      random: () => random.uint32(),
      secret: random.bytes(16),
      listenPort: null,
      clientPorts: null,
      authenticates: true,
      ...options,
    });
  }

  /** The only connection. */
  get session(): Session {
    const [session, ...others] = this.transport.sessions;
    assert(session !== undefined && others.length === 0, `${others.length + 1} connections`);
    return session;
  }

  connect(): Session {
    const session = this.transport.connect({
      localAddress: CLIENT_ADDRESS,
      remoteAddress: SERVER_ADDRESS,
      remotePort: SERVER_PORT,
    }, this.#clock.now);
    assert(session !== null);
    return session;
  }

  /** Sends a datagram: a text, or a number of bytes. */
  send(datagram: string | number, session: Session = this.session): boolean {
    const offset = DATAGRAMS_AT + this.#placed++ % SLOTS * DATAGRAM_SPACE + 64;
    const length = typeof datagram === "number" ? datagram : datagram.length;
    if (typeof datagram === "string") {
      this.memory.bytes.set(new TextEncoder().encode(datagram), offset);
    }
    return this.transport.send(session, offset, length, this.#clock.now);
  }

  /** The packets that wait to leave, with their checksums. */
  drain(): Bytes[] {
    const packets: Bytes[] = [];
    for (let i = this.queue.head; i < this.queue.tail; i++) {
      const at = this.queue.offsets[i];
      packets.push(completed(this.memory.bytes.slice(at, at + this.queue.lengths[i])));
    }
    this.queue.sentUpTo(this.queue.tail);
    return packets;
  }

  /** The same, read. */
  drained(): Segment[] {
    return this.drain().map(read);
  }

  /** Takes a packet as it was captured. Returns the bytes of its datagrams. */
  receive(packet: Bytes, segmentSize = 0): number {
    this.memory.bytes.set(packet, CAPTURE_AT);
    const { transport } = this;
    const now = this.#clock.now;
    const session = transport.receive(CAPTURE_AT, packet.length, false, now);
    const { view } = this.memory;
    const length = session === null ? 0 : payloadSize(view, CAPTURE_AT);
    const size = segmentSize > 0 ? segmentSize : length;
    for (let at = 0; session !== null && at < length; at += size) {
      const start = payloadOffset(view, CAPTURE_AT) + at;
      const datagram = this.memory.bytes.subarray(start, start + Math.min(size, length - at));
      if (datagram[0] !== 0) this.received.push(new TextDecoder().decode(datagram));
      this.receivedBytes += datagram.length;
      const { authenticates } = this;
      if (typeof authenticates === "boolean" ? authenticates : authenticates(datagram)) {
        transport.authenticated(session, this.clientOf(session), now);
      }
    }
    this.receivedFrom = session;
    this.drainEvents();
    return length;
  }

  poll(): void {
    this.transport.poll(this.#clock.now);
    this.drainEvents();
  }

  drainEvents(): void {
    for (const event of this.transport.events.splice(0)) {
      this.events.push(event.kind === "lost" ? `lost: ${event.reason}` : event.kind);
    }
  }

  /** What was dropped, by name. */
  get dropped(): Record<string, number> {
    const dropped: Record<string, number> = {};
    this.drops.counts.forEach((count, reason) => {
      if (count > 0) dropped[DROP_REASON_NAMES[reason]!] = count;
    });
    return dropped;
  }
}

export type Direction = "up" | "down";
/** Takes a packet in the middle and passes on what it likes: "up" goes to the server. `reply` sends one back. */
export type Middlebox = (
  packet: Bytes,
  direction: Direction,
  reply: (packet: Bytes) => void,
) => Bytes[];

export interface WorldOptions {
  readonly seed?: number;
  /** From the client's side to the server's. */
  readonly middleboxes?: readonly Middlebox[];
  /** ms of each of the two ways, from either end to the middleboxes. */
  readonly delay?: number;
  /** Up to so many ms more, at random, by which packets overtake one another. */
  readonly jitter?: number;
  /** Probability that a packet is lost, on either side of the middleboxes. */
  readonly loss?: number;
  readonly client?: Partial<FakeTcpOptions>;
  readonly server?: Partial<FakeTcpOptions>;
}

interface Arrival {
  readonly at: number;
  readonly packet: Bytes;
  readonly direction: Direction;
  /** Whether the middleboxes are behind it. */
  readonly passed: boolean;
}

export class World {
  readonly clock = new FakeClock();
  readonly client: End;
  readonly server: End;
  /** Whether packets are lost now, by either side's chance. */
  loss: number;
  readonly #options: WorldOptions;
  readonly #random: Random;
  #arrivals: Arrival[] = [];

  constructor(options: WorldOptions = {}) {
    const seed = options.seed ?? 1;
    this.#options = options;
    this.#random = new Random(seed);
    this.loss = options.loss ?? 0;
    const [client, server] = [options.client, options.server];
    this.client = new End(this.clock, { seed: seed + 1, clientPorts: CLIENT_PORTS, ...client });
    this.server = new End(this.clock, { seed: seed + 2, listenPort: SERVER_PORT, ...server });
  }

  /** Connects the client, and lets time pass until both ends have agreed. */
  open(): Session {
    const session = this.client.connect();
    this.run(100);
    return session;
  }

  /** Lets time pass. */
  run(ms: number): void {
    const end = this.clock.now + ms;
    while (true) {
      this.#launch();
      const first = this.#arrivals[0]?.at ?? Infinity;
      const next = Math.min(
        first,
        this.client.transport.pollAt(),
        this.server.transport.pollAt(),
      );
      if (next > end) break;
      this.clock.advanceTo(Math.max(next, this.clock.now));
      while (this.#arrivals.length > 0 && this.#arrivals[0]!.at <= this.clock.now) {
        this.#arrive(this.#arrivals.shift()!);
      }
      this.client.poll();
      this.server.poll();
    }
    this.clock.advanceTo(end);
  }

  /** Puts a packet on its way, as somebody in the middle does. */
  inject(packet: Bytes, direction: Direction): void {
    this.#schedule({ packet, direction, passed: true, at: this.clock.now + 1 });
  }

  /** Puts what the ends have sent on its way. */
  #launch(): void {
    for (const direction of ["up", "down"] as const) {
      const end = direction === "up" ? this.client : this.server;
      for (const packet of end.drain()) this.#travel(packet, direction, false);
    }
  }

  #travel(packet: Bytes, direction: Direction, passed: boolean): void {
    if (this.#random.chance(this.loss)) return;
    const { delay = 5, jitter = 0 } = this.#options;
    const at = this.clock.now + delay + this.#random.float() * jitter;
    this.#schedule({ packet, direction, passed, at });
  }

  #schedule(arrival: Arrival): void {
    let i = this.#arrivals.length;
    while (i > 0 && this.#arrivals[i - 1]!.at > arrival.at) i--;
    this.#arrivals.splice(i, 0, arrival);
  }

  #arrive({ packet, direction, passed }: Arrival): void {
    if (passed) {
      (direction === "up" ? this.server : this.client).receive(packet);
      return;
    }
    const last = (this.#options.middleboxes ?? []).length - 1;
    this.#pass(packet, direction, direction === "up" ? 0 : last);
  }

  /** Hands a packet to a middlebox, and what comes of it to its neighbours; behind the last, it travels on. */
  #pass(packet: Bytes, direction: Direction, index: number): void {
    const box = this.#options.middleboxes?.[index];
    if (box === undefined) {
      this.#travel(packet, direction, true);
      return;
    }
    const [step, opposite] = direction === "up" ? [1, "down"] as const : [-1, "up"] as const;
    const reply = (answer: Bytes) => this.#pass(answer, opposite, index - step);
    for (const each of box(packet, direction, reply)) this.#pass(each, direction, index + step);
  }
}
