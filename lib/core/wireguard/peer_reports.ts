/**
 * Peer reports: what a person, or the main thread, is told of peers, so rarely that no peer can make it a burden.
 *
 * An event is told at once where its peer had none of the kind for a second; else it waits, and stands for all of its
 * kind that come meanwhile: what is told then is the latest. So a client that sends each packet from another port costs
 * a report a second. All peers together have a budget as well; what is over it waits, so that none is lost. Times are
 * monotonic ms.
 */
import type { DeviceEventKind } from "./device_events.ts";
import type { Peer } from "./peer.ts";

export type PeerReportKind = DeviceEventKind | "path-mtu";

/** ms between two reports of a kind about a peer. */
const INTERVAL = 1_000;
/** Reports about all peers in an interval. */
const BUDGET = 256;
/** ms by which a report may be late, so that not each of many has a wake-up of its own. */
const GRAIN = 50;

/** What cannot be true of a peer together: the newer takes the older's place. */
const OPPOSITES: ReadonlyMap<PeerReportKind, PeerReportKind> = new Map([
  ["up", "down"],
  ["down", "up"],
]);

interface PeerState {
  readonly toldAt: Map<PeerReportKind, number>;
  readonly waiting: Set<PeerReportKind>;
}

export class PeerReports {
  readonly #report: (kind: PeerReportKind, peer: Peer) => void;
  readonly #states = new Map<Peer, PeerState>();
  /** Those that have something waiting, in the order in which that began. */
  readonly #waiting = new Set<Peer>();
  #pollAt = Infinity;
  #windowStart = -Infinity;
  #windowCount = 0;
  /** Whether the budget has run out, so that who comes now stands behind those that wait. */
  #isShort = false;

  /** @param report tells it; what has happened is the peer's state at that time */
  constructor(report: (kind: PeerReportKind, peer: Peer) => void) {
    this.#report = report;
  }

  /** Something has happened to a peer. */
  add(kind: PeerReportKind, peer: Peer, now: number): void {
    let state = this.#states.get(peer);
    if (state === undefined) {
      state = { toldAt: new Map(), waiting: new Set() };
      this.#states.set(peer, state);
    }
    const opposite = OPPOSITES.get(kind);
    if (opposite !== undefined) state.waiting.delete(opposite);
    state.waiting.add(kind);
    if (!this.#isShort) this.#tell(peer, state, now);
    else if (!this.#waiting.has(peer)) this.#await(peer, this.#windowStart + INTERVAL);
  }

  /** The peer is no more. */
  forget(peer: Peer): void {
    this.#states.delete(peer);
    this.#waiting.delete(peer);
  }

  /** When `poll()` has something to do; `Infinity` for never. */
  pollAt(): number {
    return this.#pollAt;
  }

  /** Tells what is due. Costs one comparison when nothing is. */
  poll(now: number): void {
    if (now < this.#pollAt) return;
    this.#pollAt = Infinity;
    this.#isShort = false;
    for (const peer of [...this.#waiting]) this.#tell(peer, this.#states.get(peer)!, now);
  }

  /** Tells what is due of a peer. */
  #tell(peer: Peer, state: PeerState, now: number): void {
    this.#beginWindow(now);
    let next = Infinity;
    for (const kind of state.waiting) {
      const at = (state.toldAt.get(kind) ?? -Infinity) + INTERVAL;
      if (at > now) {
        next = Math.min(next, at);
      } else if (this.#windowCount >= BUDGET) {
        this.#isShort = true;
        next = Math.min(next, this.#windowStart + INTERVAL);
      } else {
        this.#windowCount++;
        state.waiting.delete(kind);
        state.toldAt.set(kind, now);
        this.#report(kind, peer);
      }
    }
    // Who has waited for the budget keeps its turn; who is told goes behind the others.
    if (!this.#isShort || next === Infinity) this.#waiting.delete(peer);
    if (next < Infinity) this.#await(peer, next);
  }

  #await(peer: Peer, at: number): void {
    this.#waiting.add(peer);
    this.#pollAt = Math.min(this.#pollAt, Math.ceil(at / GRAIN) * GRAIN);
  }

  #beginWindow(now: number): void {
    if (now - this.#windowStart < INTERVAL) return;
    this.#windowStart = now;
    this.#windowCount = 0;
  }
}
