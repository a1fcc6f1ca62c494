/**
 * Known term: whose the virtual address is by what one gateway knows. The term rises each time that it is taken, so
 * that who has it in an earlier one gives it up when it learns of a later one.
 */
import { weightOf } from "../rendezvous.ts";
import type { GatewayHeartbeat } from "./heartbeat.ts";
import type { TermEntry } from "./term_entry.ts";

export class KnownTerm {
  term = 0;
  holder: number | null = null;
  /**
   * Whether the holder may go on by the store's word alone, unseen by the others, so that only the store can say who
   * comes after it. What is not known is taken for yes. Only the holder itself says no: that it does not reach the
   * store, or does not hold the address.
   */
  needsStore = true;
  /** Those of the term; none where nothing is known, which stands for all gateways. */
  voters: ReadonlySet<number> = new Set();
  readonly #self: number;
  readonly #addressKey: number;

  constructor(self: number, addressKey: number) {
    this.#self = self;
    this.#addressKey = addressKey;
  }

  /** A gateway has said what it knows. */
  heard(from: number, heartbeat: GatewayHeartbeat): void {
    const { term, holder, needsStore, voters } = heartbeat;
    if (holder === null || term < this.term) return;
    const isItself = holder === from;
    if (term > this.term) this.#learn(term, holder, voters, isItself ? needsStore : true);
    else if (holder !== this.holder) {
      if (isItself && heartbeat.holds && this.#comesBefore(holder, needsStore)) {
        this.#learn(term, holder, voters, needsStore);
      }
    } else if (isItself) this.needsStore = needsStore;
  }

  /** The store has this entry. */
  stored({ term, holder, voters }: TermEntry): void {
    if (term < this.term || term === this.term && holder === this.holder) return;
    this.#learn(term, holder, new Set(voters), true);
  }

  /** This gateway has the address in a new term. */
  taken(term: number, voters: ReadonlySet<number>): void {
    this.#learn(term, this.#self, voters, false);
  }

  /** What is told of this gateway, which does not know of it, it has held before its start, and does not now. */
  #learn(
    term: number,
    holder: number,
    voters: ReadonlySet<number>,
    needsStore: boolean,
  ): void {
    this.term = term;
    this.holder = holder;
    this.voters = voters;
    this.needsStore = needsStore && holder !== this.#self;
  }

  /** Two have taken the same term: the one that has the store's word has it, else the one with the greater weight. */
  #comesBefore(holder: number, needsStore: boolean): boolean {
    if (this.holder === null) return true;
    if (needsStore !== this.needsStore) return needsStore;
    return weightOf(this.#addressKey, holder) > weightOf(this.#addressKey, this.holder);
  }
}
