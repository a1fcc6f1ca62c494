/**
 * The search for the MTU of the path to each peer (RFC 8899): when a path is looked at, and what that means inside.
 *
 * Data leaves without DF, as WireGuard's does, so a path that is too narrow costs fragments and no packet. Ahead of the
 * data go a few probes with DF. A peer of our own kind answers those that arrive: authenticated, so that nobody else
 * can say what a path takes. A router's "fragmentation needed" about a probe, if it is no forger's (`PathClaim`), says
 * which length to ask for next. It is believed itself only while the peer has answered none, as any other WireGuard
 * will not; until the next session, which finds out whether the path has grown. Where no router speaks up, such a peer
 * is sent what the first link takes, in fragments where the path is narrower.
 *
 * Over IPv6 no router divides anything: what is too long for a path that has become narrower is lost. There a router's
 * word about data counts as well, if it quotes the session's index, and has the path looked at.
 *
 * Inside a probe there are zeros. Every WireGuard drops what is neither IPv4 nor IPv6, once it is authenticated; so a
 * probe needs no consent, and its loss loses nothing.
 *
 * ```text
 *  probe, at least 576 bytes          answer, 16 bytes
 *    0  zeros                           0  zero                       4
 *                                       4  length of the probe        4, big-endian
 *                                       8  zeros                      8
 * ```
 */
import type { Memory } from "../../wire/memory.ts";
import { PADDING, TRANSPORT_OVERHEAD } from "../../wire/messages.ts";
import type { PathClaim } from "./path_claim.ts";
import type { Peer } from "../peer.ts";
import { OUTER_HEADERS6_SIZE, OUTER_HEADERS_SIZE } from "../constants.ts";
import { NEVER } from "../timers.ts";

/** What a path carries besides the packet inside; over IPv6, paths are counted as if they took that much less. */
export const PATH_OVERHEAD: number = OUTER_HEADERS_SIZE + TRANSPORT_OVERHEAD;
/**
 * The least MTU inside: what every host takes (RFC 791 section 3.1). A path that is narrower still is met by fragments.
 */
export const MIN_MTU = 576;

/**
 * ms after a path came into use at which it is looked at. The first times the whole MTU is probed, as a probe may be
 * lost; then probes of other lengths come along, twice; at the last look it is decided.
 */
const LOOKS = [0, 50, 400, 2_000] as const;
/** At this look and the ones after it, probes of other lengths come along. */
const LOOK_OF_OTHERS = 1;
/**
 * What paths commonly take: 9,000 bytes outside (jumbo frames), 8,896 (a cloud's), 1,500 (Ethernet), 1,460 (that
 * cloud's by default), 1,450 (VXLAN), 1,400, 1,280 (IPv6's least), and the least.
 */
const COMMON_MTUS = [8940, 8836, 1440, 1400, 1390, 1340, 1220, MIN_MTU] as const;
/** The same less what IPv6's header is longer; its least path is 1,280 bytes. */
const COMMON_MTUS_OVER_IPV6 = COMMON_MTUS.slice(0, -1)
  .map((mtu) => mtu - (OUTER_HEADERS6_SIZE - OUTER_HEADERS_SIZE));

const ANSWER_SIZE = 16;
const ANSWER_LENGTH_OFFSET = 4;

/** The MTU inside, in bytes, for a path of that many bytes; at most `max`. */
export function innerMtu(pathMtu: number, max: number): number {
  return Math.min(max, Math.max(MIN_MTU, pathMtu - PATH_OVERHEAD));
}

/** Whether what a peer sent, `length` bytes at `offset`, is a probe. */
export function isProbe(view: DataView, offset: number, length: number): boolean {
  return length >= MIN_MTU && view.getUint32(offset) === 0;
}

/** Writes a probe of `length` bytes to `offset`; returns its length. */
export function writeProbe({ bytes }: Memory, offset: number, length: number): number {
  bytes.fill(0, offset, offset + length);
  return length;
}

/** Bytes of the probe that a peer answers with `length` bytes at `offset`; 0 where that is no answer. */
export function answeredLength(view: DataView, offset: number, length: number): number {
  if (length !== ANSWER_SIZE || view.getUint32(offset) !== 0) return 0;
  return view.getUint32(offset + ANSWER_LENGTH_OFFSET);
}

/** Writes the answer to a probe of `length` bytes to `offset`; returns its own length. */
export function writeAnswer({ bytes, view }: Memory, offset: number, length: number): number {
  bytes.fill(0, offset, offset + ANSWER_SIZE);
  view.setUint32(offset + ANSWER_LENGTH_OFFSET, length);
  return ANSWER_SIZE;
}

/** A path that is being looked at. */
interface Search {
  startedAt: number;
  looks: number;
  /** Whether the peer is known to answer probes: it did when the path was looked at before. */
  readonly answers: boolean;
  /**
   * Bytes inside that the path took when it was looked at before, and may still; 0 for a path that has come into use.
   */
  readonly known: number;
  /** Bytes inside that a router has claimed to be the most; `Infinity` for none. */
  claimed: number;
}

export class PathMtuSearch {
  readonly #maxMtu: number;
  readonly #unprovenMtu: number;
  readonly #searches = new Map<Peer, Search>();
  /**
   * Whose session, in which probes are sent or were last, has that index: a claim costs one look-up, though it may be
   * one of a flood. And the index by peer.
   */
  readonly #probed = new Map<number, Peer>();
  readonly #indices = new Map<Peer, number>();
  #pollAt = NEVER;
  /** What the last walk through all searches found due, the latest first. */
  #due: Peer[] = [];

  /**
   * @param maxMtu bytes inside that no path makes more of
   * @param unprovenMtu the same of a path to a peer that has answered no probe
   */
  constructor(maxMtu: number, unprovenMtu: number = maxMtu) {
    this.#maxMtu = maxMtu;
    this.#unprovenMtu = unprovenMtu;
  }

  /** A path has come into use: a handshake completed, or the peer is elsewhere now. */
  start(peer: Peer, now: number): void {
    this.#begin(peer, { known: 0, now });
  }

  /** A path in use may have changed behind its first link: is asked whether it still takes what it took, or more. */
  confirm(peer: Peer, now: number): void {
    // Whether a peer that answers no probes gets our packets whole, nobody says.
    if (peer.provenMtu > 0 && !this.#searches.has(peer)) {
      this.#begin(peer, { known: peer.provenMtu, now });
    }
  }

  #begin(peer: Peer, { known, now }: { readonly known: number; readonly now: number }): Search {
    const answers = peer.provenMtu > 0 || this.#searches.get(peer)?.answers === true;
    this.forget(peer);
    peer.provenMtu = 0;
    const search = { startedAt: now, looks: 0, answers, known, claimed: Infinity };
    this.#searches.set(peer, search);
    this.#pollAt = Math.min(this.#pollAt, now);
    return search;
  }

  /** Takes no note of the path to a peer any more, which is removed. */
  forget(peer: Peer): void {
    this.#searches.delete(peer);
    this.#deafen(peer);
  }

  /** The path is known. */
  #end(peer: Peer): void {
    this.#searches.delete(peer);
    if (!peer.endpoint.isIpv6) this.#deafen(peer);
  }

  /** Takes what a router says of a probe, or over IPv6 of data; the path that it is about is looked at next. */
  claimed(claim: PathClaim, now: number): void {
    const peer = this.#probed.get(claim.remoteIndex);
    if (peer === undefined || !claim.isAbout(peer.endpoint)) return;
    const mtu = innerMtu(claim.mtu, this.#maxMtu);
    const search = this.#searches.get(peer);
    if (search === undefined) {
      // Of a session that is over, or of packets that are shorter by now, it says nothing.
      if (peer.current?.remoteIndex !== claim.remoteIndex || mtu >= peer.mtu) return;
      this.#begin(peer, { known: peer.provenMtu, now }).claimed = mtu;
      return;
    }
    // The peer's own answer has more weight, and each router on the path counts once.
    if (mtu < peer.provenMtu || mtu >= search.claimed) return;
    search.claimed = mtu;
    this.#restart(search, now);
  }

  /** When `next()` has something, monotonic ms; `Infinity` for never. */
  pollAt(): number {
    return this.#due.length > 0 ? 0 : this.#pollAt;
  }

  /** A peer whose path is to be looked at now; `looked()` must follow. Null when there is none. */
  next(now: number): Peer | null {
    if (this.#due.length === 0 && now >= this.#pollAt) this.#findDue(now);
    for (let peer = this.#due.pop(); peer !== undefined; peer = this.#due.pop()) {
      const search = this.#searches.get(peer);
      if (search !== undefined && lookAt(search) <= now) return peer;
    }
    return null;
  }

  /** One walk for all that is due: thousands of peers may complete handshakes at the same time. */
  #findDue(now: number): void {
    this.#pollAt = NEVER;
    for (const [peer, search] of this.#searches) {
      const at = lookAt(search);
      if (at <= now) this.#due.push(peer);
      else if (at < this.#pollAt) this.#pollAt = at;
    }
    this.#due.reverse();
  }

  /**
   * Takes what the first link of a path takes, and sets the peer's MTU accordingly.
   *
   * @param pathMtu bytes; null where there is no path
   * @returns the lengths of the probes to be sent now
   */
  looked(peer: Peer, pathMtu: number | null, now: number): readonly number[] {
    const search = this.#searches.get(peer);
    if (search === undefined) return [];
    const limit = pathMtu === null ? peer.mtu : innerMtu(pathMtu, this.#maxMtu);
    // Behind that link there may be a narrower one.
    if (limit < peer.mtu) this.#restart(search, now);
    const bound = search.answers || peer.provenMtu > 0 ? limit : Math.min(limit, this.#unprovenMtu);
    peer.mtu = Math.min(peer.mtu, bound, believedMtu(search, peer));
    search.looks++;
    if (peer.provenMtu >= limit || search.looks === LOOKS.length) {
      // A peer that answers none may be any WireGuard: nothing follows from that.
      peer.mtu = peer.provenMtu === 0
        ? Math.min(limit, inBlocks(search.claimed), this.#unprovenMtu)
        : Math.min(limit, peer.provenMtu);
      this.#end(peer);
      return [];
    }
    this.#pollAt = Math.min(this.#pollAt, lookAt(search));
    this.#listen(peer);
    const isKnown = search.known > 0 && peer.provenMtu >= search.known;
    const common = peer.endpoint.isIpv6 ? COMMON_MTUS_OVER_IPV6 : COMMON_MTUS;
    const others = search.looks > LOOK_OF_OTHERS && !isKnown ? common : [];
    // A forged claim of who sees our probes ends no search: more than what is claimed is asked for as well.
    const lengths = new Set([limit, search.claimed, search.known, ...others]);
    return [...lengths].filter((length) => length <= limit && length > peer.provenMtu);
  }

  /** Looks at a path from the beginning, and at once. */
  #restart(search: Search, now: number): void {
    search.startedAt = now;
    search.looks = 0;
    this.#pollAt = Math.min(this.#pollAt, now);
  }

  /** Takes claims about the session that probes are sent in. */
  #listen(peer: Peer): void {
    if (peer.current === null || peer.current.remoteIndex === this.#indices.get(peer)) return;
    this.#deafen(peer);
    this.#indices.set(peer, peer.current.remoteIndex);
    this.#probed.set(peer.current.remoteIndex, peer);
  }

  #deafen(peer: Peer): void {
    const index = this.#indices.get(peer);
    if (index === undefined) return;
    if (this.#probed.get(index) === peer) this.#probed.delete(index);
    this.#indices.delete(peer);
  }
}

/** When a path is to be looked at next. */
function lookAt({ startedAt, looks }: Search): number {
  return startedAt + LOOKS[looks]!;
}

/**
 * What to believe of a router's claim before the search ends: of a peer that answers, only what its answer bears out;
 * of another, all of it. What the peer has proven stands above it.
 */
function believedMtu({ answers, claimed }: Search, { provenMtu }: Peer): number {
  if (provenMtu > claimed) return Infinity;
  if (answers) return provenMtu === claimed ? claimed : Infinity;
  return provenMtu === 0 ? inBlocks(claimed) : claimed;
}

/**
 * What a peer of another kind gets through where a router takes packets of so many bytes inside: it pads to 16 bytes,
 * up to an MTU of its own that knows nothing of the path, and its kernel refuses what is longer then.
 */
function inBlocks(claimed: number): number {
  return claimed === Infinity ? Infinity : Math.max(MIN_MTU, claimed & -PADDING);
}
