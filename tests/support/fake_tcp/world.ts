/**
 * Two ends of fake TCP and what lies between them: a network of seeded delay and loss, with middleboxes in a row.
 */
import { FakeTcp, type FakeTcpOptions } from "../../../lib/core/transport/fake_tcp/fake_tcp.ts";
import type { FourTuple } from "../../../lib/core/transport/fake_tcp/four_tuple.ts";
import { payloadOffset, payloadSize } from "../../../lib/core/transport/fake_tcp/segment.ts";
import { SegmentQueue } from "../../../lib/core/transport/fake_tcp/segment_queue.ts";
import type { Session } from "../../../lib/core/transport/fake_tcp/session.ts";
import { DROP_REASON_NAMES, DropCounters } from "../../../lib/core/wire/drop_reason.ts";
import { createMemory } from "../../../lib/core/wire/memory.ts";
import { assert } from "../assert.ts";
import { FakeClock } from "../time/fake_clock.ts";
import type { Bytes } from "../packets/packet_builder.ts";
import { Random } from "../random.ts";
import {
  CLIENT_ADDRESS,
  CLIENT_PORTS,
  completed,
  read,
  type Segment,
  SERVER_ADDRESS,
  SERVER_PORT,
  tupleOf,
} from "./segments.ts";

export * from "./segments.ts";

export const MTU = 1500;

const SLOTS = 2048;
const SLOT_SIZE = SegmentQueue.slotSize(MTU);
const DATAGRAMS_AT = SLOTS * SLOT_SIZE;
const DATAGRAM_SPACE = 1600;
const CAPTURE_AT = DATAGRAMS_AT + SLOTS * DATAGRAM_SPACE;

/** What a client connects to. */
export function toServer(): FourTuple {
  const [remote, local] = [SERVER_ADDRESS, CLIENT_ADDRESS];
  return tupleOf({ remote, remotePort: SERVER_PORT, local, localPort: 0 });
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
    const session = this.transport.connect(toServer(), this.#clock.now);
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
