/**
 * Address holder: when this gateway takes the fleet's virtual address, and when it gives it up.
 *
 * It is taken with the votes of more than half of the gateways and by compare-and-set of the store's entry, so that a
 * holder whom the others do not see, but who reaches the store, learns of it there. With exactly half of the votes the
 * store decides alone: who comes after a holder waits until that one has not renewed the entry for a while. Without the
 * store, more than half of the gateways are enough where all of them know that the holder does not go on by the store
 * (`KnownTerm.needsStore`).
 *
 * It is kept with the votes of more than half; or by the store's word, which an entry renewed just now is, and nothing
 * that was read is: where half of the votes are ours, or more than half of the gateways have said that they know that
 * our successor has to be in the store. Any two of these have a gateway or the store in common, so two gateways hold
 * the address together for no longer than one needs to learn of the other, or to find that it has lost the rest.
 */
import { count, type OwnState, voteOf } from "./election.ts";
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
  readonly term: number;
  readonly madeAt: number;
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
  #gateways = 1;
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
  /** Whether more than half of the gateways know that our successor has to be in the store. */
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

  /** How many gateways there are, with this one. */
  setGateways(gateways: number): void {
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
    const { term, madeAt } = write;
    // What was written after it may have come before the answer.
    if (revision > this.#revision) this.termEntry({ term, holder: this.#self }, revision, now);
    // The address may have been taken by the votes meanwhile.
    if (this.#known.holder !== this.#self || this.#known.term !== term) return [];
    this.#provedAt = madeAt;
    if (!this.#holds) return this.#take(term, true, now);
    if (!this.#yields) this.#mayNeedStore(now);
    return [];
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
    const isListening = now < this.#listensUntil && this.#gateways > 1;
    if (isListening) this.#wakeAt(this.#listensUntil);
    const vote = isListening ? null : voteOf(this.#own, this.#known, this.#liveness);
    if (vote === this.#self && this.#vote !== vote) this.#wantsSince = now;
    this.#vote = vote;
  }

  // Without the address.

  #want(now: number): readonly HolderAction[] {
    if (this.#vote !== this.#self) return [];
    if (now < this.#retryAt) return this.#wakeAt(this.#retryAt);
    const twice = 2 * (1 + count(this.#liveness, ({ vote }) => vote === this.#self));
    if (twice < this.#gateways) return [];
    const hasMost = twice > this.#gateways;
    if (!this.#reachesStore) {
      if (!hasMost || !this.#canDoWithoutStore()) return [];
      return this.#take(this.#known.term + 1, false, now);
    }
    if (!hasMost) {
      const isSilentAt = Math.max(this.#wantsSince, this.#entryMovedAt) + SILENCE_OF_HOLDER;
      if (now < isSilentAt) return this.#wakeAt(isSilentAt);
    }
    return this.#writeTerm(Math.max(this.#known.term, this.#entry?.term ?? 0) + 1, now);
  }

  #canDoWithoutStore(): boolean {
    if (this.#gateways === 1) return true;
    const { term, holder, needsStore } = this.#known;
    if (needsStore) return false;
    const others = count(
      this.#liveness,
      (heartbeat) =>
        heartbeat.vote === this.#self && heartbeat.term === term && heartbeat.holder === holder &&
        !heartbeat.needsStore,
    );
    return 2 * (1 + others) > this.#gateways;
  }

  #take(term: number, hasWord: boolean, now: number): readonly HolderAction[] {
    this.#known.taken(term);
    this.#holds = true;
    this.#lacksVotesSince = null;
    if (hasWord) this.#mayNeedStore(now);
    return [{ kind: "take-address", term }];
  }

  // With it.

  #keep(now: number): readonly HolderAction[] {
    const known = this.#known;
    if (!this.#reachesStore || this.#yields) known.needsStore = false;
    this.#learnWhoKnows(now);
    const twice = 2 * (1 + this.#supporters());
    if (twice > this.#gateways) {
      this.#lacksVotesSince = null;
      // From now on the store's word shall count as well.
      return this.#reachesStore && !this.#yields && !known.needsStore
        ? this.#writeTerm(known.term, now)
        : [];
    }
    this.#lacksVotesSince ??= now;
    const givesUpAt = Math.max(this.#lacksVotesSince, this.#provedAt) + KEEP_TIMEOUT;
    if (now >= givesUpAt) return this.#giveUp("alone", now);
    this.#wakeAt(givesUpAt);
    const hasWord = known.needsStore && (twice === this.#gateways || this.#isStoreKnown);
    if (!hasWord) return [];
    const renewsAt = this.#provedAt + RENEW_INTERVAL;
    return now < renewsAt ? this.#wakeAt(renewsAt) : this.#writeTerm(known.term, now);
  }

  /** Others that want this gateway to go on. Where it yields, they do until another has the address. */
  #supporters(): number {
    const { term } = this.#known;
    return count(
      this.#liveness,
      (heartbeat) =>
        heartbeat.vote === this.#self ||
        this.#yields && heartbeat.term === term && heartbeat.holder === this.#self,
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
    const others = count(
      this.#liveness,
      (heartbeat) =>
        heartbeat.term === term && heartbeat.holder === this.#self && heartbeat.needsStore,
    );
    this.#isStoreKnown = 2 * (1 + others) > this.#gateways;
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

  #writeTerm(term: number, now: number): readonly HolderAction[] {
    if (this.#write !== null) return [];
    if (now < this.#retryAt) return this.#wakeAt(this.#retryAt);
    this.#write = { id: ++this.#lastWrite, term, madeAt: now };
    return [{
      kind: "write-term",
      id: this.#lastWrite,
      entry: { term, holder: this.#self },
      expected: this.#revision,
    }];
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
