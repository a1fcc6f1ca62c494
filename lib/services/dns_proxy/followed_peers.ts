/**
 * Followed peers: finds which peers are others than before, and has these alone read again.
 *
 * There may be thousands, and all may change at once, as by another file: so the first ones are read at once, and the
 * rest in slices, between which queries are answered.
 */
import type { Ipv4Prefix } from "../../core/wire/ipv4_text.ts";
import type { Ipv6PrefixText } from "../../core/wire/ipv6_prefix.ts";
import { background } from "../../process/guard.ts";
import { nextTurn, paced } from "../../process/pace.ts";

/** Peers that are read again while somebody waits. */
const AT_ONCE = 256;

/** A peer, as far as its networks go, and what it is called. */
export interface PeerNetworks {
  readonly name: string | null;
  readonly allowedIps: readonly Ipv4Prefix[];
  readonly allowedIps6: readonly Ipv6PrefixText[];
}

export interface FollowedPeersOptions<Kept> {
  /** By their keys, as they are now: another map when they have changed. */
  readonly peers: () => ReadonlyMap<string, PeerNetworks>;
  /** Takes a peer, null where it is gone, in place of what was kept of it, if anything; returns what is kept now. */
  readonly replace: (key: string, peer: PeerNetworks | null, kept: Kept | undefined) => Kept;
  /** All have been taken. */
  readonly onComplete: () => void;
}

interface Known<Kept> {
  readonly peer: PeerNetworks;
  readonly kept: Kept;
}

export class FollowedPeers<Kept> {
  readonly #options: FollowedPeersOptions<Kept>;
  /** The peers as they were at the last look. */
  #target: ReadonlyMap<string, PeerNetworks> = new Map();
  /** Those that have been taken, of whichever look. */
  readonly #known = new Map<string, Known<Kept>>();
  /** What is left to do, and its end; null where there is nothing. */
  #work: Generator<void> | null = null;
  #end: Promise<void> | null = null;

  constructor(options: FollowedPeersOptions<Kept>) {
    this.#options = options;
  }

  /** Looks at who has changed. Returns whether all have been taken; if not, the rest follows. */
  look(): boolean {
    const peers = this.#options.peers();
    if (peers === this.#target) return this.#work === null;
    this.#target = peers;
    // What was left to do of the last look is a difference from these peers, or nothing any more.
    const work = this.#work = this.#changes(peers);
    for (let i = 0; i < AT_ONCE; i++) if (work.next().done) return true;
    this.#end ??= this.#goOn();
    background("dns", "reading who the peers are", this.#end);
    return false;
  }

  /** Resolves when all that are there now have been taken. */
  async settled(): Promise<void> {
    if (!this.look()) await this.#end;
  }

  async #goOn(): Promise<void> {
    try {
      // Who waits has the answer first.
      await nextTurn();
      await paced(this.#rest());
    } finally {
      this.#end = null;
    }
  }

  /** Of the work as it is by then. */
  *#rest(): Generator<void, void> {
    while (this.#work !== null) {
      this.#work.next();
      yield;
    }
  }

  /** Yields after each that is another. */
  *#changes(peers: ReadonlyMap<string, PeerNetworks>): Generator<void> {
    const { replace, onComplete } = this.#options;
    for (const [key, { kept }] of this.#known) {
      if (peers.has(key)) continue;
      this.#known.delete(key);
      replace(key, null, kept);
      yield;
    }
    for (const [key, peer] of peers) {
      const known = this.#known.get(key);
      if (known?.peer === peer) continue;
      if (known !== undefined && isSame(known.peer, peer)) {
        this.#known.set(key, { ...known, peer });
        continue;
      }
      this.#known.set(key, { peer, kept: replace(key, peer, known?.kept) });
      yield;
    }
    this.#work = null;
    onComplete();
  }
}

/** Whether two have the same name and the same networks. */
function isSame(a: PeerNetworks, b: PeerNetworks): boolean {
  return a.name === b.name && a.allowedIps.length === b.allowedIps.length &&
    a.allowedIps6.length === b.allowedIps6.length &&
    a.allowedIps.every(({ address, prefixLength }, i) =>
      address === b.allowedIps[i]!.address && prefixLength === b.allowedIps[i]!.prefixLength
    ) &&
    a.allowedIps6.every((network, i) => network === b.allowedIps6[i]);
}
