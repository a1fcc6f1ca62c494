/**
 * The proof that a peer receives at its endpoint, and how much may be sent there before it is given.
 *
 * A peer is where its last authenticated packet came from (roaming), and the source of a packet can be forged by
 * any owner of the key: a hostile client that writes in a victim's name would have a download, the probes of the path
 * and all retries sent to the victim. So an endpoint that was learned from a packet gets at most three times the bytes
 * that came from it (RFC 9000 section 8) until there is proof.
 *
 * What proves it must be known to those alone who received something there. Data does not: TCP acknowledgments can be
 * guessed, and our probes' answers say nothing that was not known. A handshake does: its second message depends on the
 * ephemeral key of the first, and the first data under a new key on that of the second. Every WireGuard answers an
 * initiation, so one goes to the new endpoint at once, which fits three times even an empty keepalive: an honest peer
 * that has moved waits for its download for one round trip, whatever program it runs. Its data waits meanwhile. Where
 * the initiation or its answer is lost, it is sent again unasked, for which data leaves the bytes: a peer that only
 * downloads is silent until data comes.
 *
 * An endpoint of the configuration needs no proof, nor one by fake TCP, whose connection is one. The last two that were
 * proven stay so: a peer with two paths goes back and forth between them.
 */
import { INITIATION_SIZE } from "../../wire/messages.ts";
import { Allowance } from "../../limits/allowance.ts";
import { Transport } from "../../transport/transport.ts";
import type { PeerEndpoint } from "../../transport/peer_endpoint.ts";
import { OUTER_HEADERS6_SIZE, OUTER_HEADERS_SIZE } from "../constants.ts";
import type { ProvenEndpoints } from "../handshake/proven_endpoints.ts";

/** RFC 9000 section 8: bytes sent for each that came. */
const FACTOR = 3;
/** More credit than this is of no use, and would leave the range of small integers. */
const MAX_CREDIT = 1 << 24;
/** ms after a question before the next; each pause is twice as long, so that any round trip fits one of them. */
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 8_000;
/** Of the round trip, where it is known: a question sooner would make the answer to the one before it void. */
const PATIENCE_FACTOR = 1.5;
/** ms after our response before a question: longer than a round trip takes. */
const PAUSE_AFTER_ANSWER = 4_000;
/**
 * Questions that need not wait, as the endpoint is another than the last one that was asked: a network often changes
 * twice.
 */
const AT_ONCE = { perSecond: 1, burst: 4 };
/**
 * ms between two of them: closer together, the second is refused, and the answer to the first comes too late
 * (MIN_INITIATION_INTERVAL).
 */
const LEAST_PAUSE = 100;
/** Endpoints that stay proven. */
const KEPT = 2;

/** What is asked of an endpoint. */
type ProofEndpoint = Pick<PeerEndpoint, "addressKey" | "port" | "transport" | "isIpv6">;

export class EndpointProof {
  /** Whether anything may be sent to the endpoint. */
  isProven = true;
  /** Bytes that may be sent there before. */
  #credit = 0;
  #askedAt = -Infinity;
  #pause = FIRST_PAUSE;
  #nextPause = FIRST_PAUSE;
  /**
   * Whether this endpoint was never asked, and how often that makes haste: each port would cost a handshake otherwise.
   */
  #isNew = false;
  readonly #atOnce = new Allowance(AT_ONCE);
  /** Bytes of the outer headers of each message. */
  #headersSize = OUTER_HEADERS_SIZE;
  /** The proven ones, the newest first: address as int32 (`Paths.addressKey()`), and port. */
  readonly #kept = new Int32Array(2 * KEPT);

  /** The endpoint is one of ours to choose: the configuration's, or none. */
  chosen(): void {
    this.isProven = true;
  }

  /** A packet has moved the peer to this endpoint. */
  moved(
    { addressKey, port, transport, isIpv6 }: ProofEndpoint,
    roundTrip = 0,
  ): void {
    this.isProven = transport !== Transport.udp || this.#isKept(addressKey, port);
    this.#headersSize = isIpv6 ? OUTER_HEADERS6_SIZE : OUTER_HEADERS_SIZE;
    this.#credit = 0;
    this.#isNew = true;
    this.#pause = this.#nextPause = Math.min(
      LONGEST_PAUSE,
      Math.max(FIRST_PAUSE, PATIENCE_FACTOR * roundTrip),
    );
  }

  /** `length` bytes of an authenticated message have come from the endpoint. */
  received(length: number): void {
    this.#credit = Math.min(MAX_CREDIT, this.#credit + FACTOR * (length + this.#headersSize));
  }

  /** Whether a message of `length` bytes may be sent there; if so, it is counted. */
  spend(length: number): boolean {
    if (this.isProven) return true;
    // Less than a question takes is of no other use.
    const question = INITIATION_SIZE + this.#headersSize;
    return this.#take(length, this.#credit < question ? 0 : question);
  }

  /** The same for a message of a handshake. */
  spendOnQuestion(length: number): boolean {
    return this.isProven || this.#take(length, 0);
  }

  #take(length: number, left: number): boolean {
    const size = length + this.#headersSize;
    if (size + left > this.#credit) return false;
    this.#credit -= size;
    return true;
  }

  /** ms from one question to the next where no packet comes meanwhile; `Infinity` where there is nothing to prove. */
  get repeatAfter(): number {
    return this.isProven ? Infinity : this.#pause;
  }

  /** Takes the turn to ask for proof, which the caller does then; false where it is not time for that. */
  takeTurn(now: number): boolean {
    if (this.isProven) return false;
    const waited = now - this.#askedAt;
    return this.#isNew ? waited >= LEAST_PAUSE && this.#atOnce.take(now) : waited >= this.#pause;
  }

  /** A message was sent there whose answer is proof. */
  asked(now: number): void {
    this.#isNew = false;
    this.#askedAt = now;
    this.#pause = this.#nextPause;
    this.#nextPause = Math.min(LONGEST_PAUSE, 2 * this.#pause);
  }

  /**
   * Its own handshake was answered, and the first packet of that session is proof. Who connects asks again by itself: a
   * question of ours on a long path would cross with that, and each end would keep the session that the other drops.
   */
  answered(now: number): void {
    this.asked(now);
    this.#pause = Math.max(this.#pause, PAUSE_AFTER_ANSWER);
  }

  /**
   * The peer has shown that it receives at this endpoint, where it is now. In a table of all peers' endpoints it takes
   * the place of the oldest that this peer has had there, so that nobody takes more than its share.
   */
  prove(
    { addressKey, port }: Omit<ProofEndpoint, "transport" | "isIpv6">,
    all: ProvenEndpoints,
  ): void {
    this.isProven = true;
    if (this.#isKept(addressKey, port)) return;
    const oldest = this.#kept.length - 2;
    all.remove(this.#kept[oldest]!, this.#kept[oldest + 1]!);
    all.add(addressKey, port);
    this.#kept.copyWithin(2, 0);
    this.#kept[0] = addressKey;
    this.#kept[1] = port;
  }

  /** The sessions are gone, and with them what was proven. */
  forget(all: ProvenEndpoints): void {
    for (let i = 0; i < this.#kept.length; i += 2) all.remove(this.#kept[i]!, this.#kept[i + 1]!);
    this.#kept.fill(0);
  }

  #isKept(addressKey: number, port: number): boolean {
    for (let i = 0; i < this.#kept.length; i += 2) {
      if (this.#kept[i] === (addressKey | 0) && this.#kept[i + 1] === port) return port !== 0;
    }
    return false;
  }
}
