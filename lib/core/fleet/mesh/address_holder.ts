/**
 * Address holder: when this gateway takes the fleet's virtual address, and when it gives it up.
 *
 * Two sets of gateways count: all of the fleet, and the voters of the term, which are those that are there by the
 * holder's account. One that is dead for a while is dropped from them, so that those that are left go on one by one.
 *
 * The address is taken with most votes, more than half of both, and by compare-and-set of the store's entry, so that a
 * holder whom the others do not see, but who reaches the store, learns of it there. With some votes, half of the voters
 * or more than half of all, the store decides alone: who comes after a holder waits until that one has not renewed the
 * entry for a while. Without the store, most votes are enough where all of these know that the holder does not go on by
 * the store (`KnownTerm.needsStore`).
 *
 * It is kept with most votes; or by the store's word, which an entry renewed just now is, and nothing that was read is:
 * with some votes, or where so many have said that they know that our successor has to be in the store that the others
 * are not most.
 * Any two of these have a gateway or the store in common, so two gateways hold the address together for no longer than
 * one needs to learn of the other, or to find that it has lost the rest.
 */
import { type OwnState, supporters, voteOf } from "./election.ts";
import type { GatewayHeartbeat } from "./heartbeat.ts";
import type { KnownTerm } from "./known_term.ts";
import type { Liveness } from "./liveness.ts";
import type { TermEntry } from "./term_entry.ts";

/** ms in which each other gateway that is there has said how things are; one that starts does not vote before. */
const LISTEN_TIME = 600;
/** ms for which a holder has neither more than half of the votes nor the store's word before it gives up. */
const KEEP_TIMEOUT = 1_000;
/** ms between renewals of the entry by a holder that needs it; and for which one with half of the votes awaits one. */
const RENEW_INTERVAL = 200;
const SILENCE_OF_HOLDER = 500;
/** ms for which a gateway is dead, or there, until the holder drops it from the voters, or adds it. */
const VOTER_PAUSE = 1_000;
/** ms after a write that failed until the next. */
const RETRY_PAUSE = 100;

export type HolderAction =
  /** To be answered by `termWritten()`. `expected` is the entry's revision; 0 where there never was one. */
  | {
    readonly kind: "write-term";
    readonly id: number;
    readonly entry: TermEntry;
    readonly expected: number;
  }
  | { readonly kind: "take-address"; readonly term: number }
  | { readonly kind: "give-address-up"; readonly reason: GivingUpReason };

/** Why: neither half of the others nor the store is there; or another gateway has it in a later term. */
export type GivingUpReason = "alone" | "another";

export interface AddressHolderOptions {
  readonly self: number;
  /** A hash of what the fleet has in common, a uint32. */
  readonly addressKey: number;
  readonly isDraining: boolean;
  readonly known: KnownTerm;
  readonly liveness: Liveness;
}

interface Write {
  readonly id: number;
  readonly entry: TermEntry;
  readonly madeAt: number;
}

/** How many want the same. */
interface Support {
  /** More than half of the voters, and of all. */
  readonly isMost: boolean;
  /** Half of the voters, or more than half of all. */
  readonly isSome: boolean;
  /** Half of the voters, or of all: without these, others are not most. */
  readonly isHalf: boolean;
}

export class AddressHolder {
  isDraining: boolean;
  #holds = false;
  #vote: number | null = null;
  /** When `decide()` may come to something else by time alone, monotonic ms; `Infinity` for never. */
  dueAt = Infinity;
  readonly #self: number;
  readonly #addressKey: number;
  readonly #known: KnownTerm;
  readonly #liveness: Liveness;
  readonly #listensUntil: number;
  #gateways: readonly number[] = [];
  #reachesStore = false;
  #entry: TermEntry | null = null;
  #revision = 0;
  /** When the entry was last another than before. */
  #entryMovedAt = -Infinity;
  #write: Write | null = null;
  #lastWrite = 0;
  #retryAt = -Infinity;
  /** When this gateway began to want the address. */
  #wantsSince = -Infinity;
  /** When the votes became too few; null while they are not. And when the store was last sure to have us. */
  #lacksVotesSince: number | null = null;
  #provedAt = -Infinity;
  /** Whether so many know that our successor has to be in the store that the others are not most. */
  #isStoreKnown = false;
  #needsStoreSince = -Infinity;

  constructor(options: AddressHolderOptions, now: number) {
    this.#self = options.self;
    this.#addressKey = options.addressKey;
    this.isDraining = options.isDraining;
    this.#known = options.known;
    this.#liveness = options.liveness;
    this.#listensUntil = now + LISTEN_TIME;
  }

  get holds(): boolean {
    return this.#holds;
  }

  get vote(): number | null {
    return this.#vote;
  }

  get reachesStore(): boolean {
    return this.#reachesStore;
  }

  /** These are the fleet's gateways, with this one. */
  setGateways(gateways: readonly number[]): void {
    this.#gateways = gateways;
  }

  storeReached(isReached: boolean): void {
    this.#reachesStore = isReached;
    if (!isReached) this.#write = null;
  }

  termEntry(entry: TermEntry | null, revision: number, now: number): void {
    if (revision !== this.#revision) this.#entryMovedAt = now;
    this.#entry = entry;
    this.#revision = revision;
    if (entry !== null) this.#known.stored(entry);
  }

  /** A write is done; `revision` is null where another has written, or nothing is known of it. */
  termWritten(id: number, revision: number | null, now: number): readonly HolderAction[] {
    const write = this.#write;
    if (write === null || write.id !== id) return [];
    this.#write = null;
    if (revision === null) {
      this.#retryAt = now + RETRY_PAUSE;
      return [];
    }
    const { entry, madeAt } = write;
    // What was written after it may have come before the answer.
    if (revision > this.#revision) this.termEntry(entry, revision, now);
    // The address may have been taken by the votes meanwhile.
    if (this.#known.holder !== this.#self || this.#known.term !== entry.term) return [];
    this.#provedAt = madeAt;
    const actions = this.#holds ? [] : this.#take();
    if (!this.#yields) this.#mayNeedStore(now);
    return actions;
  }

  /** Whether those that are there could not go on without this gateway, which has not the address. */
  get isNeeded(): boolean {
    const { heard } = this.#liveness;
    const voters = this.#voters;
    return heard.size > 0 && 2 * heard.intersection(voters).size < voters.size;
  }

  /** Compares all that is known. */
  decide(now: number): readonly HolderAction[] {
    const lost = this.#holds && this.#known.holder !== this.#self;
    const actions = lost ? [...this.#giveUp("another", now)] : [];
    this.dueAt = Infinity;
    this.#chooseVote(now);
    actions.push(...this.#holds ? this.#keep(now) : this.#want(now));
    return actions;
  }

  #chooseVote(now: number): void {
    const isListening = now < this.#listensUntil && this.#gateways.length > 1;
    if (isListening) this.#wakeAt(this.#listensUntil);
    const vote = isListening ? null : voteOf(this.#own, this.#known, this.#liveness);
    if (vote === this.#self && this.#vote !== vote) this.#wantsSince = now;
    this.#vote = vote;
  }

  // Without the address.

  #want(now: number): readonly HolderAction[] {
    if (this.#vote !== this.#self) return [];
    if (now < this.#retryAt) return this.#wakeAt(this.#retryAt);
    const { isMost, isSome } = this.#support(({ vote }) => vote === this.#self);
    if (!isSome) return [];
    const known = this.#known;
    if (!this.#reachesStore) {
      if (!isMost || !this.#canDoWithoutStore()) return [];
      known.taken(known.term + 1, this.#voters);
      return this.#take();
    }
    if (!isMost) {
      const isSilentAt = Math.max(this.#wantsSince, this.#entryMovedAt) + SILENCE_OF_HOLDER;
      if (now < isSilentAt) return this.#wakeAt(isSilentAt);
    }
    return this.#writeTerm(Math.max(known.term, this.#entry?.term ?? 0) + 1, this.#voters, now);
  }

  #canDoWithoutStore(): boolean {
    if (this.#gateways.length === 1) return true;
    const { term, holder, needsStore } = this.#known;
    if (needsStore) return false;
    return this.#support((heartbeat) =>
      heartbeat.vote === this.#self && heartbeat.term === term && heartbeat.holder === holder &&
      !heartbeat.needsStore
    ).isMost;
  }

  /** In the term that is known, which is this gateway's. */
  #take(): readonly HolderAction[] {
    this.#holds = true;
    this.#lacksVotesSince = null;
    return [{ kind: "take-address", term: this.#known.term }];
  }

  // With it.

  #keep(now: number): readonly HolderAction[] {
    const known = this.#known;
    if (!this.#reachesStore || this.#yields) known.needsStore = false;
    this.#learnWhoKnows(now);
    const { isMost, isSome } = this.#supporters();
    if (isMost) {
      this.#lacksVotesSince = null;
      // From now on the store's word shall count as well.
      return this.#reachesStore && !this.#yields && !known.needsStore
        ? this.#writeTerm(known.term, this.#voters, now)
        : this.#writeVoters(now);
    }
    this.#lacksVotesSince ??= now;
    const givesUpAt = Math.max(this.#lacksVotesSince, this.#provedAt) + KEEP_TIMEOUT;
    if (now >= givesUpAt) return this.#giveUp("alone", now);
    this.#wakeAt(givesUpAt);
    const hasWord = known.needsStore && (isSome || this.#isStoreKnown);
    if (!hasWord) return [];
    const changes = this.#writeVoters(now);
    if (changes.length > 0) return changes;
    const renewsAt = this.#provedAt + RENEW_INTERVAL;
    return now < renewsAt ? this.#wakeAt(renewsAt) : this.#writeTerm(known.term, this.#voters, now);
  }

  /**
   * Begins a new term with other voters, where those that are there have changed. Others would take the address without
   * the store by the voters before, did they not know that the store is needed for that.
   */
  #writeVoters(now: number): readonly HolderAction[] {
    const { needsStore, term } = this.#known;
    if (!needsStore || !this.#isStoreKnown || this.#yields) return [];
    const before = this.#voters;
    const voters = new Set([this.#self]);
    for (const { gateway, isUp, since } of this.#liveness.remotes) {
      const isSettled = now >= since + VOTER_PAUSE;
      if (isSettled ? isUp : before.has(gateway)) voters.add(gateway);
    }
    const isSame = voters.size === before.size && voters.isSubsetOf(before);
    return isSame ? [] : this.#writeTerm(term + 1, voters, now);
  }

  /** Others that want this gateway to go on. Where it yields, they do until another has the address. */
  #supporters(): Support {
    const { term } = this.#known;
    return this.#support((heartbeat) =>
      heartbeat.vote === this.#self ||
      this.#yields && heartbeat.term === term && heartbeat.holder === this.#self
    );
  }

  /** The store has us, and the others are told so. */
  #mayNeedStore(now: number): void {
    if (this.#known.needsStore) return;
    this.#known.needsStore = true;
    this.#needsStoreSince = now;
    this.#isStoreKnown = false;
  }

  /** What gateways say of our need of the store counts when they cannot have said it of an earlier one. */
  #learnWhoKnows(now: number): void {
    const { term, needsStore } = this.#known;
    if (!needsStore || this.#isStoreKnown || now < this.#needsStoreSince + LISTEN_TIME) return;
    this.#isStoreKnown =
      this.#support((heartbeat) =>
        heartbeat.term === term && heartbeat.holder === this.#self && heartbeat.needsStore
      ).isHalf;
  }

  /** Whether it has the address until another, which it wants to have it, has taken it. */
  get #yields(): boolean {
    return this.isDraining && this.#vote !== this.#self;
  }

  #giveUp(reason: GivingUpReason, now: number): readonly HolderAction[] {
    this.#holds = false;
    if (this.#known.holder === this.#self) this.#known.needsStore = false;
    // Two between whom a link fails in one direction would take it from each other until all know of that.
    if (reason === "another") this.#retryAt = now + LISTEN_TIME;
    return [{ kind: "give-address-up", reason }];
  }

  // Both.

  /** What this gateway wants, and those others of which this holds. */
  #support(holds: (heartbeat: GatewayHeartbeat) => boolean): Support {
    const wanting = supporters(this.#liveness, holds);
    const voters = this.#voters;
    const voting = wanting.filter((gateway) => voters.has(gateway)).length +
      (voters.has(this.#self) ? 1 : 0);
    const twice = 2 * (1 + wanting.length);
    const isMostOfAll = twice > this.#gateways.length;
    const isHalfOfVoters = 2 * voting >= voters.size;
    return {
      isMost: isMostOfAll && 2 * voting > voters.size,
      isSome: isMostOfAll || isHalfOfVoters,
      isHalf: twice >= this.#gateways.length || isHalfOfVoters,
    };
  }

  /** Those of the term that are of the fleet; all, where none is. */
  get #voters(): ReadonlySet<number> {
    const voters = this.#gateways.filter((gateway) => this.#known.voters.has(gateway));
    return new Set(voters.length > 0 ? voters : this.#gateways);
  }

  #writeTerm(
    term: number,
    voters: ReadonlySet<number>,
    now: number,
  ): readonly HolderAction[] {
    if (this.#write !== null) return [];
    if (now < this.#retryAt) return this.#wakeAt(this.#retryAt);
    const entry = { term, holder: this.#self, voters: [...voters].sort((a, b) => a - b) };
    this.#write = { id: ++this.#lastWrite, entry, madeAt: now };
    return [{ kind: "write-term", id: this.#lastWrite, entry, expected: this.#revision }];
  }

  #wakeAt(at: number): readonly HolderAction[] {
    this.dueAt = Math.min(this.dueAt, at);
    return [];
  }

  get #own(): OwnState {
    return {
      self: this.#self,
      addressKey: this.#addressKey,
      isDraining: this.isDraining,
      holds: this.#holds,
      reachesStore: this.#reachesStore,
    };
  }
}
