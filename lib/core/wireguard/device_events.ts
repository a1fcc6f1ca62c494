/** Device events: what happened to peers since the caller last looked, each kind once for a peer. */
import type { Peer } from "./peer.ts";

export type DeviceEventKind =
  | "handshake-completed"
  | "handshake-abandoned"
  | "endpoint-changed"
  /** A probe or an initiation by another transport than the one in use was answered. */
  | "transport-works"
  | "keys-zeroed"
  /** The key that was to come has taken the place of the peer's. */
  | "key-replaced"
  /** Two hosts use the peer's key, see `SharedKey`. */
  | "key-shared"
  /** It is known now whether the peer's program is ours, or that another runs there. */
  | "recognized"
  /** By the watch: missing, seen again, deprived of what it held. */
  | "down"
  | "up"
  | "released"
  /** By its quota: it has come a step further, or to the end. */
  | "usage"
  | "quota-reached";

/** What happened that a person may want to know. */
export interface DeviceEvent {
  readonly kind: DeviceEventKind;
  readonly peer: Peer;
}

/** A bit for each kind. */
const BITS: Readonly<Record<DeviceEventKind, number>> = {
  "handshake-completed": 1,
  "handshake-abandoned": 2,
  "endpoint-changed": 4,
  "transport-works": 8,
  "keys-zeroed": 16,
  "down": 32,
  "up": 64,
  "released": 128,
  "key-shared": 256,
  "recognized": 512,
  "usage": 1024,
  "quota-reached": 2048,
  "key-replaced": 4096,
};

export class DeviceEvents {
  /** What happened since the caller last emptied it: at most one of each kind for a peer, so that none is ever lost. */
  readonly list: DeviceEvent[] = [];
  #turn = 0;

  /**
   * Notes an event. A peer that changes its endpoint with each packet costs one event between two looks of the caller;
   * who is up again after it was down, or the reverse, is only the latter.
   */
  add(kind: DeviceEventKind, peer: Peer): void {
    if (this.list.length === 0) this.#turn = (this.#turn + 1) | 0;
    if (peer.eventTurn !== this.#turn) {
      peer.eventTurn = this.#turn;
      peer.eventBits = 0;
    }
    const bit = BITS[kind];
    if ((peer.eventBits & bit) !== 0) return;
    peer.eventBits |= bit;
    if (kind === "up") this.#withdraw("down", peer);
    if (kind === "down") this.#withdraw("up", peer);
    this.list.push({ kind, peer });
  }

  #withdraw(kind: DeviceEventKind, peer: Peer): void {
    if ((peer.eventBits & BITS[kind]) === 0) return;
    peer.eventBits &= ~BITS[kind];
    this.list.splice(this.list.findIndex((each) => each.peer === peer && each.kind === kind), 1);
  }
}
