/** What is known of the running gateway: a whole state first, then differences, and the rates that come of them. */
import type { GatewayStatus, LivePeerState, LiveUpdate } from "./shapes.ts";

/** Samples of a peer's rate that are kept, one a second. */
export const PEER_HISTORY = 60;
/** The same of all peers together. */
export const TOTAL_HISTORY = 180;

/** Updates after which what a change has answered is in what the gateway tells: one may have been on its way. */
const ANSWER_LASTS = 2;

/** What the answer to a change says of a peer. */
export type PeerAnswer = Pick<
  LivePeerState,
  "publicKey" | "name" | "admission" | "expires" | "groups"
>;

/** One peer over time. Rates are bytes a second, from the peer (received) and to it (sent). */
export class PeerTrack {
  /** As it is told, and by the answer to a change that is not told yet. */
  state: LivePeerState;
  receivedRate = 0;
  sentRate = 0;
  /** Both directions together, the oldest first. */
  readonly history: number[] = [];
  #received: number;
  #sent: number;
  #told: LivePeerState;
  #answer: PeerAnswer | null = null;
  /** Updates for which the answer counts. */
  #answerLeft = 0;

  constructor(state: LivePeerState) {
    this.state = this.#told = state;
    this.#received = state.received;
    this.#sent = state.sent;
  }

  /** Takes what the gateway tells of it. */
  tell(changes: Partial<LivePeerState>): void {
    this.#told = { ...this.#told, ...changes };
    this.state = this.#answer === null ? this.#told : { ...this.#told, ...this.#answer };
  }

  /** Takes what the answer to a change says: until it is told, a switch would stand as before, to be pressed again. */
  learn({ publicKey, name, admission, expires, groups }: PeerAnswer): void {
    this.#answer = { publicKey, name, admission, expires, groups };
    this.#answerLeft = ANSWER_LASTS;
    this.tell({});
  }

  /** An update has come, whether or not it says anything of this one. */
  age(): void {
    if (this.#answer === null || --this.#answerLeft > 0) return;
    this.#answer = null;
    this.tell({});
  }

  /** @param seconds since the last sample */
  sample(seconds: number): void {
    const { received, sent } = this.state;
    // Counters begin again when the gateway does.
    this.receivedRate = Math.max(0, received - this.#received) / seconds;
    this.sentRate = Math.max(0, sent - this.#sent) / seconds;
    this.#received = received;
    this.#sent = sent;
    this.history.push(this.receivedRate + this.sentRate);
    if (this.history.length > PEER_HISTORY) this.history.shift();
  }

  get rate(): number {
    return this.receivedRate + this.sentRate;
  }
}

export class LiveModel {
  /** All but the peers; null before the first word of it. */
  status: Omit<GatewayStatus, "peers"> | null = null;
  /** By public key. */
  readonly peers = new Map<string, PeerTrack>();
  receivedRate = 0;
  sentRate = 0;
  /** Unix s, and bytes a second, the oldest first. */
  readonly times: number[] = [];
  readonly received: number[] = [];
  readonly sent: number[] = [];
  /** Unix ms; of the last sample. */
  #sampled = 0;

  /** Takes a whole state. What is known of rates stays, of peers that are still there. */
  take({ peers, ...status }: GatewayStatus): void {
    const isRestarted = this.status !== null && this.status.since !== status.since;
    this.status = status;
    const there = new Set<string>();
    for (const peer of peers) {
      there.add(peer.publicKey);
      const track = this.peers.get(peer.publicKey);
      if (track === undefined || isRestarted) {
        this.peers.set(peer.publicKey, new PeerTrack(peer));
      } else track.tell(peer);
    }
    for (const key of this.peers.keys()) if (!there.has(key)) this.peers.delete(key);
    const time = Date.parse(status.time);
    if (this.#sampled === 0 || isRestarted) this.#sampled = time;
    else this.sample(time);
  }

  /** Takes the differences of a second. */
  update({ time, status, peers = {}, added = [], removed = [] }: LiveUpdate): void {
    if (this.status === null) return;
    this.status = { ...this.status, ...status, time };
    for (const [key, changes] of Object.entries(peers)) this.peers.get(key)?.tell(changes);
    for (const track of this.peers.values()) track.age();
    for (const peer of added) this.peers.set(peer.publicKey, new PeerTrack(peer));
    for (const key of removed) this.peers.delete(key);
    this.sample(Date.parse(time));
  }

  /** Takes what a change has answered of peers. */
  learn(peers: readonly PeerAnswer[]): void {
    for (const peer of peers) this.peers.get(peer.publicKey)?.learn(peer);
  }

  /** Works out the rates up to now. @param now Unix ms, by the gateway's clock */
  sample(now: number): void {
    const seconds = (now - this.#sampled) / 1000;
    // What comes at once after another says nothing about a rate yet.
    if (this.status === null || seconds < 0.2) return;
    this.#sampled = now;
    let received = 0;
    let sent = 0;
    for (const track of this.peers.values()) {
      track.sample(seconds);
      received += track.receivedRate;
      sent += track.sentRate;
    }
    this.receivedRate = received;
    this.sentRate = sent;
    this.times.push(now / 1000);
    this.received.push(received);
    this.sent.push(sent);
    for (const series of [this.times, this.received, this.sent]) {
      if (series.length > TOTAL_HISTORY) series.shift();
    }
  }

  /** Unix ms of the last sample, by the gateway's clock. */
  get sampled(): number {
    return this.#sampled;
  }
}
