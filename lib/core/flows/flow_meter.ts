/**
 * Flow meter: counts what passes inside the tunnel by flow, and keeps the figures of those that have ended until they
 * are taken, for `FlowLog`. Where that is off there is none, and packets cost nothing.
 *
 * It sees addresses, ports, protocols and lengths. A flow is a peer's, the one that it was first seen with: what passes
 * between two peers is met twice, and counted once. One that goes on is told of in parts, by an active
 * timeout as of RFC 5102; one that gives way in a full table is told of early, and begins again with its next packet.
 *
 * Of memory there is a fixed amount. What a peer begins without end pushes out its own flows (`FlowTable`), and of the
 * room for flows that have ended it gets at most what it leaves to others; what is beyond that is counted as lost.
 */
import { FlowTable } from "../access/flow_table.ts";
import { KEY_WORDS, PacketFacts } from "../access/packet_facts.ts";
import * as tcp from "../wire/tcp.ts";
import type { PacketPeer } from "../wireguard/packet_peer.ts";

/** Flows at a time, and flows that have ended between two calls of `take()`. */
const CAPACITY = 1 << 15;
const ENDED = 1 << 14;
/** Peers are counted to owners by their number modulo this. */
const OWNERS = 1 << 14;
/** ms without a packet after which a flow has ended; of a connection that both ends have closed; and of a part. */
const IDLE = 60_000;
const CLOSED_IDLE = 5_000;
const PART = 300_000;

/** The end that sent the first packet is the lower one of the key. */
const LOWER_BEGAN = 1 << 0;
/** The lower end has closed the connection; the higher one. */
const LOWER_CLOSED = 1 << 1;
const HIGHER_CLOSED = 1 << 2;
const CLOSED = LOWER_CLOSED | HIGHER_CLOSED;

/** Words of one that has ended: its key, and which end began it. Numbers: begun, ended, bytes there and back. */
export const WORDS: number = KEY_WORDS + 1;
export const FIGURES = 4;

/** Flows that have ended. */
export interface FlowBatch {
  /** `WORDS` of each. */
  readonly words: Int32Array<ArrayBuffer>;
  /** `FIGURES` of each; times in Unix ms. */
  readonly figures: Float64Array<ArrayBuffer>;
  /** Flows of which nothing is told, as there was no room. */
  readonly lost: number;
}

export class FlowMeter {
  readonly #view: DataView;
  readonly #facts = new PacketFacts();
  readonly #flows: FlowTable;
  readonly #capacity: number;
  // By flow: whose it is, 0 for no flow; since when and until when, monotonic ms; bytes sent by each end; marks.
  readonly #peers: Int32Array;
  readonly #begun: Float64Array;
  readonly #last: Float64Array;
  readonly #lower: Float64Array;
  readonly #higher: Float64Array;
  readonly #marks: Uint8Array;
  // Those that have ended.
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #figures: Float64Array<ArrayBuffer>;
  readonly #room: number;
  readonly #endedOf = new Int32Array(OWNERS);
  #ended = 0;
  #lost = 0;

  /** @param seed random and secret */
  constructor(
    view: DataView,
    seed: number,
    { capacity = CAPACITY, room = ENDED }: { capacity?: number; room?: number } = {},
  ) {
    this.#view = view;
    this.#capacity = capacity;
    this.#room = room;
    this.#flows = new FlowTable({
      capacity,
      owners: OWNERS,
      seed,
      onEvict: (flow) => this.#tell(flow),
    });
    this.#peers = new Int32Array(capacity + 1);
    this.#begun = new Float64Array(capacity + 1);
    this.#last = new Float64Array(capacity + 1);
    this.#lower = new Float64Array(capacity + 1);
    this.#higher = new Float64Array(capacity + 1);
    this.#marks = new Uint8Array(capacity + 1);
    this.#words = new Int32Array(room * WORDS);
    this.#figures = new Float64Array(room * FIGURES);
  }

  /**
   * Counts a packet from a peer or for it, `length` bytes, that has passed all checks. Later fragments, which name no
   * ports, and ICMP errors are of no flow here.
   */
  count(peer: PacketPeer, packet: number, length: number, now: number): void {
    const facts = this.#facts;
    facts.read(this.#view, packet);
    if (facts.isLater || facts.isIcmpError) return;
    facts.nameFlow();
    let flow = this.#flows.find(facts.key);
    if (flow !== 0) {
      // From one peer to another: it has been counted with the one that began.
      if (this.#peers[flow] !== peer.index) return;
      if (this.#isOver(flow, now)) {
        this.#end(flow);
        flow = 0;
      }
    }
    if (flow === 0) flow = this.#begin(peer, now);
    this.#last[flow] = now;
    const { flags, isFromLower } = facts;
    if (isFromLower) this.#lower[flow] += length;
    else this.#higher[flow] += length;
    if ((flags & tcp.FLAG_RST) !== 0) this.#marks[flow] |= CLOSED;
    else if ((flags & tcp.FLAG_FIN) !== 0) {
      this.#marks[flow] |= isFromLower ? LOWER_CLOSED : HIGHER_CLOSED;
    }
    this.#flows.use(flow, 0);
  }

  /** Whether a packet begins another flow of the same ends. */
  #isOver(flow: number, now: number): boolean {
    const isClosed = (this.#marks[flow] & CLOSED) === CLOSED;
    return isClosed && this.#facts.asksForConnection || now - this.#last[flow] >= IDLE;
  }

  #begin(peer: PacketPeer, now: number): number {
    const { key, isFromLower } = this.#facts;
    const flow = this.#flows.add(key, peer.index & (OWNERS - 1));
    this.#peers[flow] = peer.index;
    this.#begun[flow] = now;
    this.#lower[flow] = this.#higher[flow] = 0;
    this.#marks[flow] = isFromLower ? LOWER_BEGAN : 0;
    return flow;
  }

  #end(flow: number): void {
    this.#tell(flow);
    this.#flows.remove(flow);
  }

  /** Takes down the figures of a flow that ends, or of a part of it. */
  #tell(flow: number): void {
    const owner = this.#peers[flow] & (OWNERS - 1);
    this.#peers[flow] = 0;
    // As with ports of the NAT: as many as are left to others.
    if (this.#endedOf[owner] >= this.#room - this.#ended) {
      this.#lost++;
      return;
    }
    this.#endedOf[owner]++;
    const at = this.#ended++;
    const isFromLower = (this.#marks[flow] & LOWER_BEGAN) !== 0;
    this.#flows.copyKey(flow, this.#words, at * WORDS);
    this.#words[at * WORDS + KEY_WORDS] = isFromLower ? 1 : 0;
    const figures = this.#figures;
    figures[at * FIGURES] = this.#begun[flow];
    figures[at * FIGURES + 1] = this.#last[flow];
    figures[at * FIGURES + 2] = isFromLower ? this.#lower[flow] : this.#higher[flow];
    figures[at * FIGURES + 3] = isFromLower ? this.#higher[flow] : this.#lower[flow];
  }

  /**
   * Hands over the flows that have ended, and parts of those that go on, since the last call. To be called each second
   * or so.
   *
   * @param unixNow the same moment as `now` by the wall clock, ms
   * @param isLast whether all flows end with it
   */
  take(now: number, unixNow: number, isLast = false): FlowBatch {
    for (let flow = 1; flow <= this.#capacity; flow++) {
      if (this.#peers[flow] === 0) continue;
      const idle = (this.#marks[flow] & CLOSED) === CLOSED ? CLOSED_IDLE : IDLE;
      if (isLast || now - this.#last[flow] >= idle) this.#end(flow);
      else if (now - this.#begun[flow] >= PART) this.#goOn(flow, now);
    }
    const words = this.#words.slice(0, this.#ended * WORDS);
    const figures = this.#figures.slice(0, this.#ended * FIGURES);
    for (let at = 0; at < figures.length; at += FIGURES) {
      figures[at] = Math.round(unixNow - now + figures[at]!);
      figures[at + 1] = Math.round(unixNow - now + figures[at + 1]!);
    }
    const lost = this.#lost;
    this.#ended = this.#lost = 0;
    this.#endedOf.fill(0);
    return { words, figures, lost };
  }

  /** Tells of the part of a flow that has passed, if anything has, and begins the next one. */
  #goOn(flow: number, now: number): void {
    const peer = this.#peers[flow];
    if (this.#last[flow] >= this.#begun[flow] && this.#lower[flow] + this.#higher[flow] > 0) {
      this.#tell(flow);
    }
    this.#peers[flow] = peer;
    this.#begun[flow] = now;
    this.#lower[flow] = this.#higher[flow] = 0;
  }
}
