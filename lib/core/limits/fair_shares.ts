/**
 * Fair shares: decides which entry of a bounded table is evicted, so that no owner takes the places that others need.
 *
 * The table itself is the caller's; this keeps who owns which entry, and in what order. An owner is a client, or a
 * source address where there is no client yet. An entry starts unproven; `prove()` says that its owner has
 * authenticated it.
 *
 * - An owner at its share loses its own oldest entry, an unproven one first.
 * - In a full table, the owner with the most unproven entries loses its oldest one: a flood from one address evicts
 *   itself, and a flood from forged addresses, one entry each, evicts in the order of arrival.
 * - Proven entries are never evicted for the sake of another owner while there is an unproven one; and then only from
 *   an owner that still keeps as many as the newcomer has. Where every owner has its one proven entry, the newcomer is
 *   refused.
 *
 * All calls take constant time.
 */

/** An entry's place in the shares: what `add()` returns and the other calls take. */
export class Place<Owner, Item> {
  readonly item: Item;
  /** @internal */
  readonly holder: Holder<Owner, Item>;
  /** @internal The list it stands in; null once it is removed or evicted. */
  list: EntryList<Owner, Item> | null = null;
  /** @internal */
  older: Place<Owner, Item> | null = null;
  /** @internal */
  newer: Place<Owner, Item> | null = null;

  constructor(holder: Holder<Owner, Item>, item: Item) {
    this.holder = holder;
    this.item = item;
  }

  get owner(): Owner {
    return this.holder.owner;
  }

  get isProven(): boolean {
    return this.list !== null && this.list === this.holder.proven;
  }
}

/** Entries of one owner, linked from the oldest to the newest. */
class EntryList<Owner, Item> {
  oldest: Place<Owner, Item> | null = null;
  newest: Place<Owner, Item> | null = null;
  count = 0;

  append(place: Place<Owner, Item>): void {
    place.list = this;
    place.older = this.newest;
    place.newer = null;
    if (this.newest === null) this.oldest = place;
    else this.newest.newer = place;
    this.newest = place;
    this.count++;
  }

  unlink(place: Place<Owner, Item>): void {
    if (place.older === null) this.oldest = place.newer;
    else place.older.newer = place.newer;
    if (place.newer === null) this.newest = place.older;
    else place.newer.older = place.older;
    place.list = place.older = place.newer = null;
    this.count--;
  }
}

class Holder<Owner, Item> {
  readonly owner: Owner;
  readonly unproven = new EntryList<Owner, Item>();
  readonly proven = new EntryList<Owner, Item>();

  constructor(owner: Owner) {
    this.owner = owner;
  }

  get count(): number {
    return this.unproven.count + this.proven.count;
  }
}

/** Holders by how many entries they have in one kind of list. */
class Ranking<Owner, Item> {
  /** Per count: holders in the order in which they reached it. */
  readonly #levels = new Map<number, Set<Holder<Owner, Item>>>();
  #highest = 0;

  /** Moves a holder whose count has changed by one. */
  move(holder: Holder<Owner, Item>, before: number, after: number): void {
    if (before > 0) {
      const level = this.#levels.get(before)!;
      level.delete(holder);
      if (level.size === 0) {
        this.#levels.delete(before);
        if (before === this.#highest) this.#highest = before - 1;
      }
    }
    if (after === 0) return;
    const level = this.#levels.get(after);
    if (level === undefined) this.#levels.set(after, new Set([holder]));
    else level.add(holder);
    if (after > this.#highest) this.#highest = after;
  }

  /** The most entries that one holder has. */
  get highest(): number {
    return this.#highest;
  }

  /** Of the holders with the most entries, the one that has had so many for longest; null when there is none. */
  get largest(): Holder<Owner, Item> | null {
    const level = this.#levels.get(this.#highest);
    return level === undefined ? null : level.values().next().value!;
  }
}

export interface FairSharesOptions<Item> {
  /** Entries in all. */
  readonly capacity: number;
  /** Entries of one owner; without it, only `capacity` bounds them. */
  readonly share?: number;
  /** Is called with each entry that is evicted, after it has lost its place: the caller removes it from its table. */
  readonly evict: (item: Item) => void;
}

export class FairShares<Owner, Item> {
  readonly #capacity: number;
  readonly #share: number;
  readonly #evict: (item: Item) => void;
  readonly #holders = new Map<Owner, Holder<Owner, Item>>();
  readonly #unproven = new Ranking<Owner, Item>();
  readonly #proven = new Ranking<Owner, Item>();
  #size = 0;

  constructor({ capacity, share = capacity, evict }: FairSharesOptions<Item>) {
    if (!(capacity >= 1 && share >= 1)) throw new RangeError("capacity and share are at least 1");
    this.#capacity = capacity;
    this.#share = share;
    this.#evict = evict;
  }

  /** Entries in all. */
  get size(): number {
    return this.#size;
  }

  /** Entries of one owner. */
  countOf(owner: Owner): number {
    return this.#holders.get(owner)?.count ?? 0;
  }

  /**
   * Gives an entry a place as its owner's newest, unproven; evicts at most one other for it.
   *
   * @returns null where it is refused: the table is full of proven entries, and no owner has more than its part
   */
  add(owner: Owner, item: Item): Place<Owner, Item> | null {
    const known = this.#holders.get(owner);
    const count = known?.count ?? 0;
    if (count >= this.#share) {
      this.#evictOldestOf(known!);
    } else if (this.#size >= this.#capacity) {
      const victim = this.#victim(known);
      if (victim === null) return null;
      this.#evictOldestOf(victim);
    }
    // The eviction may have removed the holder of the owner's only entry.
    let holder = this.#holders.get(owner);
    if (holder === undefined) {
      holder = new Holder(owner);
      this.#holders.set(owner, holder);
    }
    const place = new Place(holder, item);
    this.#append(place, holder.unproven);
    this.#size++;
    return place;
  }

  /** Makes an entry its owner's newest of its kind: it was in use. */
  touch(place: Place<Owner, Item>): void {
    const { list } = place;
    if (list === null || list.newest === place) return;
    list.unlink(place);
    list.append(place);
  }

  /** Says that an entry's owner has authenticated it. */
  prove(place: Place<Owner, Item>): void {
    if (place.list === null || place.isProven) return;
    this.#unlink(place);
    this.#append(place, place.holder.proven);
  }

  /** Ends an entry; one that was evicted or removed already is left alone. */
  remove(place: Place<Owner, Item>): void {
    if (place.list === null) return;
    this.#unlink(place);
    this.#size--;
    const { holder } = place;
    if (holder.count === 0) this.#holders.delete(holder.owner);
  }

  /** Who loses an entry in a full table to an owner with `newcomer`'s entries; null where nobody does. */
  #victim(newcomer: Holder<Owner, Item> | undefined): Holder<Owner, Item> | null {
    const unproven = newcomer?.unproven.count ?? 0;
    if (this.#unproven.highest > 0) {
      return unproven === this.#unproven.highest ? newcomer! : this.#unproven.largest;
    }
    const proven = newcomer?.proven.count ?? 0;
    if (proven > 0 && proven === this.#proven.highest) return newcomer!;
    return this.#proven.highest > proven + 1 ? this.#proven.largest : null;
  }

  #evictOldestOf({ unproven, proven }: Holder<Owner, Item>): void {
    const place = (unproven.oldest ?? proven.oldest)!;
    this.remove(place);
    this.#evict(place.item);
  }

  #append(place: Place<Owner, Item>, list: EntryList<Owner, Item>): void {
    list.append(place);
    this.#ranking(place).move(place.holder, list.count - 1, list.count);
  }

  #unlink(place: Place<Owner, Item>): void {
    const list = place.list!;
    const ranking = this.#ranking(place);
    list.unlink(place);
    ranking.move(place.holder, list.count + 1, list.count);
  }

  #ranking(place: Place<Owner, Item>): Ranking<Owner, Item> {
    return place.isProven ? this.#proven : this.#unproven;
  }
}
