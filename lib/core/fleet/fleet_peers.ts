/**
 * Fleet peers: where the gateways of a fleet last heard their peers, told each other as it changes and again every few
 * seconds, as messages may be lost; and the take-over: a gateway that has got the virtual address begins a handshake
 * with each peer that was reached by it, at a bounded rate, those first that were heard last.
 *
 * A peer that another gateway has heard since is that gateway's: what there is of a session here would only draw the
 * peer back. An initiation that one gateway has taken is a replay at all of them.
 */
import { compareTai64n } from "../noise/tai64n.ts";
import { Transport } from "../transport/transport.ts";
import { isIpv6 } from "../wire/host_address.ts";
import { REJECT_AFTER_TIME, REKEY_TIMEOUT } from "../wireguard/constants.ts";
import type { Device } from "../wireguard/device.ts";
import type { Peer } from "../wireguard/peer.ts";
import { type FleetPlace, PLACES_AT_ONCE, placesMessage, readPlaces } from "./peer_places.ts";

/** ms between two looks at what is to be told, and within which all is told again. */
const TELL_INTERVAL = 50;
/**
 * The same of what has changed: a packet of the peer's, handed over, may have its answer at another gateway in less.
 */
const CHANGE_INTERVAL = 5;
const ROUND = 10_000;
/** The same for a gateway that has just come. */
const FIRST_ROUND = 1_000;
/** Handshakes begun at once, and ms until the next ones: 500 a second. */
const BEGUN_AT_ONCE = 10;
const BEGIN_INTERVAL = 20;
/** ms by which another gateway must have heard a peer later than this one: clocks of messages under way. */
const MARGIN = 1_000;

/** Where another gateway has heard a peer. */
interface Heard {
  readonly gateway: number;
  readonly place: FleetPlace;
  /** Monotonic ms. */
  readonly at: number;
}

export interface FleetPeersOptions {
  readonly device: Pick<Device, "peers" | "peer" | "takeOver" | "disown">;
  /** The virtual address, host order. */
  readonly virtual: number;
  /** Tells all other gateways. */
  readonly tell: (message: Uint8Array) => void;
}

export class FleetPeers {
  readonly #options: FleetPeersOptions;
  readonly #heard = new Map<Peer, Heard>();
  /** When those were begun with that this gateway has taken over, monotonic ms. */
  readonly #takenAt = new Map<Peer, number>();
  /** Of which there is something new to tell. */
  readonly #changed = new Set<Peer>();
  #tellAt = Infinity;
  #toldAt = -Infinity;
  /** Those to be told of in this round, and when the next one begins. */
  #round: Peer[] = [];
  #shareAt = -Infinity;
  #roundAt = -Infinity;
  /** Whether this round also tells what others have told: it is for one that has not heard them. */
  #tellsHeard = false;
  /** Those to begin with, the last one first. */
  #fallen: Peer[] = [];
  #beginAt = Infinity;

  constructor(options: FleetPeersOptions) {
    this.#options = options;
  }

  /** Handshakes that are still to be begun. */
  get waiting(): number {
    return this.#fallen.length;
  }

  /** The number of the other gateway that has heard a peer last; -1 for none, or if this one has since. */
  gatewayOf(peer: Peer): number {
    const heard = this.#heard.get(peer);
    return heard !== undefined && heard.at > peer.lastReceivedAt ? heard.gateway : -1;
  }

  /** A session with a peer has begun, or the peer is elsewhere. */
  changed(peer: Peer, now: number): void {
    // One that was taken over was asked more often.
    peer.timers.handshakeInterval = REKEY_TIMEOUT;
    this.#changed.add(peer);
    this.#tellAt = Math.min(this.#tellAt, Math.max(now, this.#toldAt + CHANGE_INTERVAL));
  }

  /** A gateway has come, which knows of nobody yet. */
  gatewayUp(now: number): void {
    this.#beginRound(FIRST_ROUND, now);
    // The one that has the peers may die before it has told.
    this.#tellsHeard = true;
    this.#tellAt = Math.min(this.#tellAt, now + TELL_INTERVAL);
  }

  /** Takes a message of another gateway; false where it is not about places. */
  take(gateway: number, message: Uint8Array, now: number): boolean {
    const places = readPlaces(message);
    for (const place of places ?? []) this.#note(gateway, place, now);
    return places !== null;
  }

  #note(gateway: number, place: FleetPlace, now: number): void {
    const { device } = this.#options;
    const peer = device.peer(place.publicKey);
    if (peer === undefined) return;
    if (compareTai64n(place.timestamp, peer.latestTimestamp) > 0) {
      peer.latestTimestamp = place.timestamp;
    }
    const at = now - place.silence;
    const known = this.#heard.get(peer);
    if (known !== undefined && known.gateway !== gateway && known.at > at) return;
    this.#heard.set(peer, { gateway, place, at });
    // The last words of the gateway that had it may come behind the take-over, whose handshake is under way.
    const since = Math.max(peer.lastReceivedAt, this.#takenAt.get(peer) ?? -Infinity);
    if (at > since + MARGIN) device.disown(peer);
  }

  /** Begins with the peers that these gateways had, or that were reached by the virtual address, which is here now. */
  takeOver(isGone: (gateway: number) => boolean, now: number): void {
    const fallen = Array.from(this.#heard)
      .filter(([peer, { gateway, place, at }]) =>
        !peer.isRemoved && at > peer.lastReceivedAt && now - at < REJECT_AFTER_TIME &&
        (place.isByVirtual || isGone(gateway))
      )
      .sort(([, one], [, other]) => one.at - other.at)
      .map(([peer]) => peer);
    this.#fallen = fallen;
    this.#beginAt = fallen.length === 0 ? Infinity : now;
    this.poll(now);
  }

  /** The virtual address is not here any more, nor are those who were reached by it. */
  giveUp(): void {
    const { device, virtual } = this.#options;
    this.#fallen = [];
    this.#takenAt.clear();
    this.#beginAt = Infinity;
    for (const peer of device.peers) {
      if (peer.endpoint.sourceDigest === (virtual | 0)) device.disown(peer);
    }
  }

  /** When there is something to do, monotonic ms. */
  pollAt(): number {
    return Math.min(this.#tellAt, this.#beginAt);
  }

  poll(now: number): void {
    if (now >= this.#beginAt) this.#begin(now);
    if (now >= this.#tellAt) this.#tell(now);
  }

  #begin(now: number): void {
    const { device, virtual } = this.#options;
    for (let begun = 0; begun < BEGUN_AT_ONCE;) {
      const peer = this.#fallen.pop();
      if (peer === undefined) break;
      const heard = this.#heard.get(peer);
      // It has come by itself meanwhile.
      if (peer.isRemoved || heard === undefined || peer.lastReceivedAt > heard.at) continue;
      this.#takenAt.set(peer, now);
      device.takeOver(peer, { ...heard.place, source: virtual }, now);
      begun++;
    }
    this.#beginAt = this.#fallen.length === 0 ? Infinity : now + BEGIN_INTERVAL;
  }

  #tell(now: number): void {
    if (now >= this.#roundAt) this.#beginRound(ROUND, now);
    const peers = new Set([...this.#changed, ...this.#shareOfRound(now)]);
    this.#changed.clear();
    const places = Array.from(peers).flatMap((peer) =>
      this.#placeOf(peer, now) ?? (this.#tellsHeard ? this.#heardOf(peer, now) : null) ?? []
    );
    for (let first = 0; first < places.length; first += PLACES_AT_ONCE) {
      this.#options.tell(placesMessage(places.slice(first, first + PLACES_AT_ONCE)));
    }
    this.#toldAt = now;
    this.#tellAt = this.#round.length > 0 ? this.#shareAt : this.#roundAt;
  }

  /** Those of the round who are to be told of now. */
  #shareOfRound(now: number): readonly Peer[] {
    if (now < this.#shareAt) return [];
    this.#shareAt = now + TELL_INTERVAL;
    const shares = Math.max(1, (this.#roundAt - now) / TELL_INTERVAL);
    return this.#round.splice(0, Math.ceil(this.#round.length / shares));
  }

  #heardOf(peer: Peer, now: number): FleetPlace | null {
    const heard = this.#heard.get(peer);
    if (heard === undefined || peer.isRemoved || now - heard.at >= REJECT_AFTER_TIME) return null;
    return { ...heard.place, silence: now - heard.at };
  }

  #beginRound(duration: number, now: number): void {
    this.#roundAt = now + duration;
    this.#tellsHeard = false;
    this.#round = [...this.#options.device.peers];
    for (const peer of this.#heard.keys()) if (peer.isRemoved) this.#heard.delete(peer);
    for (const peer of this.#takenAt.keys()) if (peer.isRemoved) this.#takenAt.delete(peer);
  }

  /** Null for one that is not here, or may not be there: its place is not proven. */
  #placeOf(peer: Peer, now: number): FleetPlace | null {
    const { publicKey, endpoint, latestTimestamp: timestamp, lastReceivedAt } = peer;
    const silence = now - lastReceivedAt;
    if (peer.isRemoved || peer.current === null || !peer.proof.isProven) return null;
    if (silence >= REJECT_AFTER_TIME || endpoint.transport !== Transport.udp) return null;
    const { address, port } = endpoint;
    if (isIpv6(address)) return null;
    const isByVirtual = endpoint.sourceDigest === (this.#options.virtual | 0);
    return { publicKey, address, port, isByVirtual, timestamp, silence };
  }
}
