/**
 * Fleet peers: which gateway of a fleet each peer is at, told each other as it changes and again every few seconds, as
 * messages may be lost; and the take-over: a gateway that has got the virtual address begins a handshake with each peer
 * that was reached by it, at a bounded rate, those first that were heard last.
 *
 * A peer is at the gateway with the latest claim (claim.ts). A gateway that learns of a later one than its own ends its
 * sessions with the peer, which would only draw it back: no two gateways send to a peer for longer than it takes them
 * to hear each other. An initiation that one gateway has taken is a replay at all of them, and claims nothing.
 */
import { compareTai64n } from "../noise/tai64n.ts";
import { Transport } from "../transport/transport.ts";
import { isIpv6 } from "../wire/host_address.ts";
import { REJECT_AFTER_TIME, REKEY_TIMEOUT } from "../wireguard/constants.ts";
import type { Device } from "../wireguard/device.ts";
import type { Peer } from "../wireguard/peer.ts";
import type { PeerSession } from "../wireguard/session/peer_session.ts";
import { type Claim, compareClaims, NO_GATEWAY, NO_TIMESTAMP } from "./claim.ts";
import { type FleetPlace, PLACES_AT_ONCE, placesMessage, readPlaces } from "./peer_places.ts";

const NO_PLACE = { address: 0, port: 0, isByVirtual: false };

/** ms between two looks at what is to be told, and within which all is told again. */
const TELL_INTERVAL = 50;
/**
 * The same of what has changed: a packet of the peer's, handed over, may have its answer at another gateway in less.
 */
const CHANGE_INTERVAL = 5;
const ROUND = 10_000;
/** How often what has changed is told again, as messages may be lost, and after how many ms each time. */
const REPEATS = 2;
const REPEAT_INTERVAL = 300;
/** The same as `ROUND` for a gateway that has just come. */
const FIRST_ROUND = 1_000;
/** Handshakes begun at once, and ms until the next ones: 500 a second. */
const BEGUN_AT_ONCE = 10;
const BEGIN_INTERVAL = 20;

/** Which gateway has a peer. */
interface Known {
  readonly claim: Claim;
  /** The peer's key then: the next one's timestamps are another clock's. */
  readonly publicKey: Uint8Array;
  /** Where it is, as that gateway has told; null of one that is here. */
  readonly place: FleetPlace | null;
  /** When it was heard there, monotonic ms. */
  readonly at: number;
}

/** What has changed and is told again. */
interface Repeat {
  readonly at: number;
  readonly peers: readonly Peer[];
  readonly left: number;
}

export interface FleetPeersOptions {
  readonly device: Pick<Device, "peers" | "peer" | "takeOver" | "disown">;
  /** The virtual address, host order. */
  readonly virtual: number;
  /** Tells all other gateways. */
  readonly tell: (message: Uint8Array) => void;
}

export class FleetPeers {
  #self = NO_GATEWAY;
  readonly #options: FleetPeersOptions;
  readonly #known = new Map<Peer, Known>();
  /** The sessions by which this gateway has claimed its peers. */
  readonly #claimed = new Map<Peer, PeerSession>();
  /** Those that this gateway takes over, and from which one. */
  readonly #taking = new Map<Peer, number>();
  /** Of which there is something new to tell. */
  readonly #changed = new Set<Peer>();
  readonly #repeats: Repeat[] = [];
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

  /** This gateway's number; nothing is told before it has one. */
  set self(number: number) {
    for (const [peer, known] of this.#known) {
      if (known.claim.gateway !== this.#self) continue;
      this.#known.set(peer, { ...known, claim: { ...known.claim, gateway: number } });
    }
    this.#self = number;
  }

  /** Handshakes that are still to be begun. */
  get waiting(): number {
    return this.#fallen.length;
  }

  /** The number of the other gateway that has a peer; `NO_GATEWAY` for none. */
  gatewayOf(peer: Peer): number {
    const known = this.#knownOf(peer);
    return known === undefined || known.claim.gateway === this.#self
      ? NO_GATEWAY
      : known.claim.gateway;
  }

  /** Whether a peer that is not here was reached by the virtual address. */
  isByVirtual(peer: Peer): boolean {
    return this.#knownOf(peer)?.place?.isByVirtual ?? false;
  }

  #knownOf(peer: Peer): Known | undefined {
    const known = this.#known.get(peer);
    return known !== undefined && isSame(known.publicKey, peer.publicKey) ? known : undefined;
  }

  // Of peers here.

  /** A session with a peer has begun, or the peer is elsewhere. */
  changed(peer: Peer, now: number): void {
    // One that was taken over was asked more often.
    peer.timers.handshakeInterval = REKEY_TIMEOUT;
    if (this.#claim(peer)) this.#tellSoon(peer, now);
  }

  /** Claims a peer by the session that is confirmed; false where another gateway has a later claim. */
  #claim(peer: Peer): boolean {
    const { current: session } = peer;
    if (session === null) return false;
    if (this.#claimed.get(peer) === session) return true;
    const known = this.#knownOf(peer);
    const claim: Claim = {
      gateway: this.#self,
      ...(session.isInitiator
        ? {
          ofPeer: known?.claim.ofPeer ?? peer.latestTimestamp,
          ofGateway: session.timestamp,
        }
        : { ofPeer: session.timestamp, ofGateway: NO_TIMESTAMP }),
    };
    const isLater = known === undefined || compareClaims(claim, known.claim) > 0;
    if (!isLater && known.claim.gateway !== this.#self) {
      this.#disown(peer);
      return false;
    }
    this.#claimed.set(peer, session);
    this.#taking.delete(peer);
    if (isLater) this.#know(peer, claim);
    return true;
  }

  /** Takes note of a claim of this gateway's own. */
  #know(peer: Peer, claim: Claim): void {
    const { publicKey, lastReceivedAt: at } = peer;
    this.#known.set(peer, { claim, publicKey, place: null, at });
  }

  #disown(peer: Peer): void {
    this.#taking.delete(peer);
    this.#claimed.delete(peer);
    this.#options.device.disown(peer);
  }

  #tellSoon(peer: Peer, now: number): void {
    this.#changed.add(peer);
    this.#tellAt = Math.min(this.#tellAt, Math.max(now, this.#toldAt + CHANGE_INTERVAL));
  }

  // Of peers at other gateways.

  /** A gateway has come, which knows of nobody yet. */
  gatewayUp(now: number): void {
    this.#beginRound(FIRST_ROUND, now);
    // The one that has the peers may die before it has told.
    this.#tellsHeard = true;
    this.#tellAt = Math.min(this.#tellAt, now + TELL_INTERVAL);
  }

  /** Takes a message of another gateway; false where it is not about places. */
  take(message: Uint8Array, now: number): boolean {
    const places = readPlaces(message);
    for (const place of places ?? []) this.#note(place, now);
    return places !== null;
  }

  #note(place: FleetPlace, now: number): void {
    const { claim, publicKey } = place;
    const peer = this.#options.device.peer(publicKey);
    if (peer === undefined || !isSame(publicKey, peer.publicKey)) return;
    if (compareTai64n(place.timestamp, peer.latestTimestamp) > 0) {
      peer.latestTimestamp = place.timestamp;
    }
    const known = this.#knownOf(peer);
    const at = now - place.silence;
    const order = known === undefined ? 1 : compareClaims(claim, known.claim);
    const isOwn = claim.gateway === this.#self;
    if (order <= 0) {
      // A gateway that claims what has been claimed since has not heard of that.
      if (order < 0 && this.#claimed.has(peer)) this.#tellSoon(peer, now);
      else if (order === 0 && !isOwn && at > known!.at) {
        this.#known.set(peer, { ...known!, place, at });
      }
      return;
    }
    // Its own, from before a restart.
    if (isOwn && this.#claimed.has(peer)) return;
    if (!isOwn && this.#reclaims(peer, claim, at)) {
      this.#tellSoon(peer, now);
      return;
    }
    this.#known.set(peer, { claim, publicKey, place, at });
    if (!isOwn) this.#yield(peer, claim);
  }

  /**
   * Claims a peer again that was taken over, where the gateway that had it tells late of a session from before: it has
   * not heard the peer since the peer answered here.
   */
  #reclaims(peer: Peer, { ofPeer, ofGateway }: Claim, at: number): boolean {
    const { current: session } = peer;
    if (session === null || !session.isInitiator || at >= session.createdAt) return false;
    if (compareTai64n(session.timestamp, ofGateway) <= 0) return false;
    this.#claimed.set(peer, session);
    this.#know(peer, { gateway: this.#self, ofPeer, ofGateway: session.timestamp });
    return true;
  }

  /** Leaves a peer to the gateway that has claimed it. */
  #yield(peer: Peer, { gateway, ofPeer }: Claim): void {
    // The last words of the one that had it may come behind the take-over, whose handshake is under way.
    if (peer.current === null && this.#taking.get(peer) === gateway) return;
    // It is on its way here already.
    if (peer.next !== null && compareTai64n(peer.next.timestamp, ofPeer) > 0) return;
    this.#disown(peer);
  }

  // The take-over.

  /** Begins with the peers that these gateways had, or that were reached by the virtual address, which is here now. */
  takeOver(isGone: (gateway: number) => boolean, now: number): void {
    const fallen = Array.from(this.#known)
      .filter(([peer, { claim, place, at }]) =>
        !peer.isRemoved && !this.#isHere(peer) && now - at < REJECT_AFTER_TIME &&
        place !== null && place.port !== 0 && (place.isByVirtual || isGone(claim.gateway))
      )
      .sort(([, one], [, other]) => one.at - other.at)
      .map(([peer]) => peer);
    this.#fallen = fallen;
    this.#beginAt = fallen.length === 0 ? Infinity : now;
    this.poll(now);
  }

  #isHere(peer: Peer): boolean {
    return peer.current !== null && this.#claimed.get(peer) !== undefined;
  }

  /** The virtual address is not here any more, nor are those who were reached by it. */
  giveUp(): void {
    const { device, virtual } = this.#options;
    this.#fallen = [];
    this.#taking.clear();
    this.#beginAt = Infinity;
    for (const peer of device.peers) {
      if (peer.endpoint.sourceDigest !== (virtual | 0)) continue;
      const known = this.#knownOf(peer);
      if (known !== undefined && this.#isHere(peer)) {
        const at = peer.lastReceivedAt;
        this.#known.set(peer, { ...known, place: this.#placeOf(peer, known.claim, at), at });
      }
      this.#disown(peer);
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
      const known = this.#knownOf(peer);
      const place = known?.place ?? null;
      // It has come by itself meanwhile.
      if (peer.isRemoved || known === undefined || place === null || this.#isHere(peer)) continue;
      this.#taking.set(peer, known.claim.gateway);
      device.takeOver(peer, { ...place, source: virtual }, now);
      begun++;
    }
    this.#beginAt = this.#fallen.length === 0 ? Infinity : now + BEGIN_INTERVAL;
  }

  // What is told.

  #tell(now: number): void {
    if (now >= this.#roundAt) this.#beginRound(ROUND, now);
    const again: Peer[] = [];
    while ((this.#repeats[0]?.at ?? Infinity) <= now) {
      const { peers, left } = this.#repeats.shift()!;
      again.push(...peers);
      if (left > 1) this.#repeats.push({ at: now + REPEAT_INTERVAL, peers, left: left - 1 });
    }
    if (this.#changed.size > 0) {
      const peers = [...this.#changed];
      this.#repeats.push({ at: now + REPEAT_INTERVAL, peers, left: REPEATS });
    }
    const peers = new Set([...this.#changed, ...again, ...this.#shareOfRound(now)]);
    this.#changed.clear();
    const places = Array.from(peers).flatMap((peer) => this.#recordOf(peer, now) ?? []);
    for (
      let first = 0;
      first < places.length && this.#self !== NO_GATEWAY;
      first += PLACES_AT_ONCE
    ) {
      this.#options.tell(placesMessage(places.slice(first, first + PLACES_AT_ONCE)));
    }
    this.#toldAt = now;
    this.#tellAt = Math.min(
      this.#round.length > 0 ? this.#shareAt : this.#roundAt,
      this.#repeats[0]?.at ?? Infinity,
    );
  }

  /** Those of the round who are to be told of now. */
  #shareOfRound(now: number): readonly Peer[] {
    if (now < this.#shareAt) return [];
    this.#shareAt = now + TELL_INTERVAL;
    const shares = Math.max(1, (this.#roundAt - now) / TELL_INTERVAL);
    return this.#round.splice(0, Math.ceil(this.#round.length / shares));
  }

  #beginRound(duration: number, now: number): void {
    this.#roundAt = now + duration;
    this.#tellsHeard = false;
    this.#round = [...this.#options.device.peers];
    for (const map of [this.#known, this.#taking, this.#claimed]) {
      for (const peer of map.keys()) if (peer.isRemoved) map.delete(peer);
    }
  }

  /** What is to be told of a peer; null for nothing. */
  #recordOf(peer: Peer, now: number): FleetPlace | null {
    const known = this.#knownOf(peer);
    if (peer.isRemoved || known === undefined) return null;
    if (this.#isHere(peer)) return this.#placeOf(peer, known.claim, now);
    if (!this.#tellsHeard) return null;
    const { claim, publicKey, place, at } = known;
    const silence = now - at;
    return place === null
      ? { ...NO_PLACE, claim, publicKey, timestamp: peer.latestTimestamp, silence }
      : { ...place, silence };
  }

  /** A peer that is here. It can be taken over where it is proven to be, by IPv4 and UDP: else no place is told. */
  #placeOf(peer: Peer, claim: Claim, now: number): FleetPlace {
    const { publicKey, endpoint, latestTimestamp: timestamp, lastReceivedAt } = peer;
    const { address, port, sourceDigest, transport } = endpoint;
    const isByVirtual = sourceDigest === (this.#options.virtual | 0);
    const known = { claim, publicKey, isByVirtual, timestamp, silence: now - lastReceivedAt };
    const isTold = peer.proof.isProven && transport === Transport.udp && !isIpv6(address);
    return isTold ? { ...known, address, port } : { ...known, ...NO_PLACE, isByVirtual };
  }
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  if (one === other) return true;
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false;
  return true;
}
