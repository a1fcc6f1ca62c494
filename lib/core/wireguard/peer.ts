/** Peer: what a device knows of one: keys, endpoint, sessions, timers, waiting packets, counts. */
import type { CookieGenerator } from "../noise/cookie.ts";
import type { Initiator } from "../noise/handshake.ts";
import type { Ipv4Prefix } from "../wire/ipv4_text.ts";
import type { Ipv6PrefixText } from "../wire/ipv6_prefix.ts";
import { Allowance } from "../limits/allowance.ts";
import type { Paths } from "../transport/paths.ts";
import { PeerEndpoint } from "../transport/peer_endpoint.ts";
import { EndpointProof } from "./path/endpoint_proof.ts";
import type { SocketAddress } from "../wire/socket_address.ts";
import { Quota, type QuotaOptions } from "./quota.ts";
import type { PeerSession } from "./session/peer_session.ts";
import type { Watch } from "./liveness/liveness.ts";
import { SharedKey } from "./liveness/shared_key.ts";
import type { StagedPlace } from "./session/staged_packets.ts";
import type { HandshakeParty, Successor, SuccessorOptions } from "./successor.ts";
import type { Timers } from "./timers.ts";
import { liftLimits, type RateLimit, setLimits } from "../limits/rate_limit.ts";
import { TokenBucket } from "../limits/token_bucket.ts";

/** Answers to handshakes with one peer, that peer's share of what is looked at: an honest one sends one in 5 s. */
const ANSWERS = { perSecond: 20, burst: 50 };
/** Answers of ours to its control messages: probes of the path come in bursts, heartbeats 15 a second at most. */
const REPLIES = { perSecond: 40, burst: 64 };

/** What a peer is made from. */
export interface PeerOptions {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 32 bytes; left out, the protocol uses 32 zero bytes. */
  readonly presharedKey?: Uint8Array | null;
  readonly allowedIps: readonly Ipv4Prefix[];
  readonly allowedIps6?: readonly Ipv6PrefixText[];
  /** Where the peer is first looked for. */
  readonly endpoint?: SocketAddress | null;
  /** Seconds; 0 is off. */
  readonly persistentKeepalive?: number;
  readonly name?: string | null;
  /** Bits a second inside, in each direction; null for no limit. */
  readonly rateLimit?: number | null;
  /** Its number among those that access rules are about, from 1 on. */
  readonly accessId?: number;
  /** The key that is to take the place of its own. */
  readonly nextKey?: SuccessorOptions | null;
}

/** An initiation of ours that waits for its response. */
export interface PendingHandshake {
  readonly state: Initiator;
  readonly localIndex: number;
  /** Where it went, and when, monotonic ms. */
  readonly sentTo: SocketAddress;
  readonly sentAt: number;
  /** TAI64N, 12 bytes. */
  readonly timestamp: Uint8Array;
}

export class Peer implements HandshakeParty {
  // What each packet asks for, side by side: with many peers in turn, each 64 bytes that are looked at miss the cache.
  /** Its number among the device's peers, from 1 on. */
  readonly index: number;
  accessId: number;
  /** The last source address (int32) that was found to be its own, and `AllowedIps.changes` at that time. */
  source = 0;
  sourceAsOf = -1;
  /** See `PacketPeer`. */
  flow: { load(): number } | null = null;
  /** What bounds the rate of packets from the peer and to it; null without a limit. */
  fromLimit: RateLimit<Peer> | null = null;
  toLimit: RateLimit<Peer> | null = null;
  /** What it may use up; null for no bound, and whether it has, and nothing passes any more. */
  quota: Quota | null = null;
  isSpent = false;
  /** The session that is steady, the current one; null for none. See peer_session.ts. */
  steady: PeerSession | null = null;
  /** In use until the next one is confirmed. */
  current: PeerSession | null = null;
  /** Good for packets that were under way when the current one took over. */
  previous: PeerSession | null = null;
  /** Derived as the responder; the initiator's first data packet confirms it. */
  next: PeerSession | null = null;
  /** The key that is to take the place of this one; null for none. */
  successor: Successor | null = null;
  readonly timers: Timers;
  readonly endpoint: PeerEndpoint;
  /** Whether the peer receives at its endpoint. */
  readonly proof: EndpointProof = new EndpointProof();
  /** The watch over it; null where the device keeps none. */
  readonly watch: Watch | null;
  #lastReceivedAt = -Infinity;
  /** Monotonic ms of the last authenticated message to it. */
  lastSentAt = -Infinity;
  /** Monotonic ms of the first data or initiation, and of the first initiation, sent since then received. */
  unansweredSince = Infinity;
  askedSince = Infinity;
  /**
   * Bytes of authenticated messages, headers included, as `wg show` counts them. Fractions from the start, as far as V8
   * can see: a field that holds small integers until it passes 2^31 is another kind of field from then on, and all code
   * that was compiled for peers is thrown away under full load, for seconds.
   */
  #receivedBytes = NaN;
  sentBytes = NaN;
  /** This receiving key has already asked for its successor. */
  renewalAsked = false;
  /** Whether it is none of the device's peers any more: who holds on to it sends it nothing. */
  isRemoved = false;
  /** Bytes of the longest packet inside that fits the path to it; at most the device's MTU. */
  mtu: number;

  /** Bytes of the longest probe of that path which the peer has answered; 0 for none. */
  provenMtu = 0;
  publicKey: Uint8Array;
  /** 32 bytes; those of the next handshake. */
  presharedKey: Uint8Array;
  /**
   * X25519 of our static key and theirs, computed once; null for a key of low order, with which no handshake succeeds.
   */
  staticSecret: Uint8Array | null;
  /** The key whose place this one has taken, as long as the configuration has not said so; null for none. */
  formerKey: Uint8Array | null = null;
  name: string | null;
  cookies: CookieGenerator;
  /** Whether two hosts use its key. */
  sharedKey: SharedKey = new SharedKey();
  /** Where the configuration says that it is; null where it says nothing. */
  configuredEndpoint: SocketAddress | null = null;

  /** The newest initiation that waits for its response. */
  handshake: PendingHandshake | null = null;
  /**
   * Those before it, oldest first: while a client connects it sends them closer together than a long round trip takes,
   * and the response to the first must count.
   */
  readonly earlierHandshakes: PendingHandshake[] = [];
  /** What is looked at of its answers to our handshakes, or of what is sent in their place. */
  readonly answers: Allowance = new Allowance(ANSWERS);
  /** What it is answered of its hellos, heartbeats and probes. */
  readonly replies: Allowance = new Allowance(REPLIES);

  /** TAI64N of the newest initiation taken; an older or equal one is a replay. */
  latestTimestamp: Uint8Array = new Uint8Array(12);
  /** Monotonic ms of the newest initiation taken and of the last one sent. */
  initiationReceivedAt = -Infinity;
  initiationSentAt = -Infinity;
  /** Unix ms of the timestamp in the last one sent, which never falls. */
  initiationUnixTime = -Infinity;
  /** Unix ms of the last completed handshake; 0 for none. */
  lastHandshakeUnixTime = 0;

  /** Bits a second, as it is configured; null for no limit. */
  #rateLimit: number | null = null;
  /** Packets dropped because of its rate, from the peer and to it. */
  rateLimited = 0;
  /** Copies of packets that wait for a session, oldest first. */
  readonly staged: StagedPlace[] = [];
  /** Kinds of events in the device's list, and which list that is, see `DeviceEvents`. */
  eventBits = 0;
  eventTurn = 0;

  constructor(
    options: PeerOptions,
    made: {
      index: number;
      paths: Paths;
      timers: Timers;
      cookies: CookieGenerator;
      staticSecret: Uint8Array | null;
      mtu: number;
      watch: Watch | null;
    },
  ) {
    this.#receivedBytes = this.sentBytes = 0;
    this.index = made.index;
    this.endpoint = new PeerEndpoint(made.paths, () => this.endSteady());
    this.publicKey = options.publicKey;
    this.presharedKey = options.presharedKey ?? new Uint8Array(32);
    this.name = options.name ?? null;
    this.accessId = options.accessId ?? 0;
    this.timers = made.timers;
    this.cookies = made.cookies;
    this.staticSecret = made.staticSecret;
    this.mtu = made.mtu;
    this.watch = made.watch;
    this.limitRate(options.rateLimit ?? null);
    if (options.endpoint) this.configureEndpoint(options.endpoint);
  }

  /** Bytes of authenticated messages from it, as `sentBytes` has those to it. */
  get receivedBytes(): number {
    return this.#receivedBytes + (this.steady === null ? 0 : this.steady.newBytes);
  }

  /** Monotonic ms of the last authenticated message from it. */
  get lastReceivedAt(): number {
    const { steady } = this;
    if (steady === null || steady.newBytes === 0) return this.#lastReceivedAt;
    return steady.seenAt(this.#lastReceivedAt);
  }

  /** An authenticated message of `length` bytes has come from it. */
  received(length: number): void {
    this.#receivedBytes += length;
  }

  /** An authenticated message from it has come at `at`, monotonic ms. */
  seen(at: number): void {
    this.#lastReceivedAt = at;
  }

  /** Has packets under a session by a path bring nothing new until then. */
  beginSteady(session: PeerSession, path: number, until: number): void {
    session.beginSteady(path, until);
    this.steady = session;
  }

  /**
   * Something else happens to the peer than a packet under its steady session: does before what those have left to be
   * done, and has the next one taken in full.
   */
  endSteady(): void {
    const { steady } = this;
    if (steady === null) return;
    this.#receivedBytes = this.receivedBytes;
    const hasNew = steady.newBytes > 0;
    if (hasNew) this.#lastReceivedAt = this.lastReceivedAt;
    this.steady = null;
    steady.endSteady();
    if (!hasNew) return;
    // All else that a packet does has been done by the one before, and undone by nothing.
    this.timers.authenticatedReceived(this.#lastReceivedAt);
    this.timers.dataReceived(this.#lastReceivedAt);
  }

  /**
   * Whether the peer sends under `session` now, as far as that shows. Where both ends began handshakes at once, each
   * uses the session that it began itself, which is the other's previous one.
   */
  sendsUnder(session: PeerSession): boolean {
    const { current, previous } = this;
    return session === current ||
      (session === previous && current !== null && current.isCrossed && !current.hasReceived);
  }

  /** Loads what a message of the peer's needs; the result means nothing. */
  prefetch(): number {
    const { endpoint, proof, timers, watch } = this;
    // All of them, whatever the first ones are: `||` would leave the others where they were.
    return endpoint.path ^ timers.persistentInterval ^
      Number(this.#lastReceivedAt === this.unansweredSince) ^
      Number(this.#receivedBytes === this.lastSentAt) ^
      Number(this.askedSince === timers.newHandshakeAt) ^
      Number(timers.keepaliveAt === timers.watchAt) ^
      Number(proof.isProven) ^
      (watch === null ? 0 : Number(watch.isDown) ^ Number(watch.isOurs));
  }

  /** Looks for it there from now on. */
  configureEndpoint({ address, port }: SocketAddress): void {
    this.configuredEndpoint = { address, port };
    this.forgetEndpoint();
    // What was sent elsewhere puts off nothing.
    this.initiationSentAt = -Infinity;
  }

  /** It is no more where it was last seen; where the configuration says, it may be found again. */
  forgetEndpoint(): void {
    this.endpoint.set(this.configuredEndpoint);
    this.proof.chosen();
  }

  /**
   * Bounds the rate in each direction, bits a second, or bounds it no more; as it was, what has been saved up stays.
   */
  limitRate(rate: number | null): void {
    this.#rateLimit = rate;
    this.followLimits();
  }

  /** Bounds what it may use up from now on, or bounds it no more. */
  setQuota(options: QuotaOptions | null): void {
    this.endSteady();
    this.quota = options && new Quota(options, this.receivedBytes + this.sentBytes);
    this.followLimits();
  }

  /** Behind the end of its quota, another rate counts than before it, or nothing passes. */
  followLimits(): void {
    const { quota } = this;
    const isPassed = quota !== null && quota.isPassed;
    this.isSpent = isPassed && quota.rate === null;
    const rates = [this.#rateLimit, isPassed ? quota.rate : null].filter((rate) => rate !== null);
    this.#setRate(rates.length === 0 ? null : Math.min(...rates));
  }

  #setRate(rate: number | null): void {
    if (rate === (this.fromLimit?.rate ?? null)) return;
    if (rate === null) liftLimits<Peer>(this);
    else setLimits<Peer>(this, { from: new TokenBucket(rate), to: new TokenBucket(rate) });
  }
}
