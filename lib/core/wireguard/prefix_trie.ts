/**
 * Prefix trie: prefixes of one family with what each belongs to, for a walk to the longest one that holds an address.
 *
 * It is a binary trie with path compression: a node stands for a prefix, its children for longer prefixes within it
 * that differ in the bit behind it. A walk from the root is at most as many steps deep as an address has bits, however
 * many prefixes there are. The walk itself is each family's own: it is done for each packet.
 */

/** A prefix: one that was inserted, or (value null) one where the trie forks. */
export interface TrieNode<Self, T> {
  readonly prefixLength: number;
  value: T | null;
  /** Where the bit behind the prefix is 0. */
  zero: Self | null;
  /** Where the bit behind the prefix is 1. */
  one: Self | null;
}

/** No number of `PrefixTrie.changes`, as that is an int32. */
export const NO_COUNT = 2 ** 31;

/** `Id` names a prefix without host bits: equal ones are `===`. Values are compared by identity. */
export abstract class PrefixTrie<
  T extends NonNullable<unknown>,
  Node extends TrieNode<Node, T>,
  Id extends number | string,
> {
  protected root: Node | null = null;
  /** What each value owns: it is found without a walk through the trie. */
  readonly #owned = new Map<T, Set<Id>>();
  /** Grows with each change; may wrap around. */
  changes = 0;

  /** A node of this prefix alone. */
  protected abstract leafOf(id: Id, value: T): Node;
  /** The node of what the first `length` bits of a prefix are, for a fork. */
  protected abstract forkOf(leaf: Node, length: number): Node;
  /** Whether the prefix of `node` holds that of a leaf which is as long at least. */
  protected abstract contains(node: Node, leaf: Node): boolean;
  /** The bit at `index` of a prefix that is longer than that. */
  protected abstract hasBit(node: Node, index: number): boolean;
  /** The index of the first bit in which two prefixes differ; the number of an address's bits, or more, for none. */
  protected abstract firstDifference(one: Node, other: Node): number;

  /** Gives a prefix to `value`, and takes it from whom had this very prefix, as WireGuard does it. */
  protected give(leaf: Node, id: Id, value: T): void {
    this.changes = (this.changes + 1) | 0;
    const owned = this.#owned.get(value);
    if (owned === undefined) this.#owned.set(value, new Set([id]));
    else owned.add(id);
    let parent: Node | null = null;
    let child = this.root;
    while (
      child !== null && child.prefixLength <= leaf.prefixLength && this.contains(child, leaf)
    ) {
      if (child.prefixLength === leaf.prefixLength) {
        if (child.value !== null && child.value !== value) this.#disown(child.value, id);
        child.value = value;
        return;
      }
      parent = child;
      child = this.#next(child, leaf);
    }
    if (child !== null) {
      // Here the paths part: at the end of the new prefix, or at the first bit in which the two differ.
      const common = Math.min(leaf.prefixLength, this.firstDifference(child, leaf));
      if (common < leaf.prefixLength) {
        const fork = this.forkOf(leaf, common);
        this.#attach(fork, child);
        this.#attach(fork, leaf);
        this.#attachBelow(parent, fork);
        return;
      }
      this.#attach(leaf, child);
    }
    this.#attachBelow(parent, leaf);
  }

  /** Takes all prefixes from `value`. Costs a walk from the root for each of them. */
  removeByValue(value: T): void {
    const owned = this.#owned.get(value);
    if (owned === undefined) return;
    this.changes = (this.changes + 1) | 0;
    for (const id of owned) this.#remove(this.leafOf(id, value));
    this.#owned.delete(value);
  }

  /** What a value owns, in no order. */
  protected idsOf(value: T): Iterable<Id> {
    return this.#owned.get(value) ?? [];
  }

  #disown(value: T, id: Id): void {
    const owned = this.#owned.get(value)!;
    owned.delete(id);
    if (owned.size === 0) this.#owned.delete(value);
  }

  /** Takes out a prefix that is there, and with it the fork that it leaves without a purpose. */
  #remove(leaf: Node): void {
    let grandparent: Node | null = null;
    let parent: Node | null = null;
    let at = this.root!;
    while (at.prefixLength < leaf.prefixLength) {
      grandparent = parent;
      parent = at;
      at = this.#next(at, leaf)!;
    }
    at.value = null;
    if (at.zero !== null && at.one !== null) return;
    const child = at.zero ?? at.one;
    this.#replace(parent, at, child);
    if (child !== null || parent === null || parent.value !== null) return;
    this.#replace(grandparent, parent, parent.zero ?? parent.one);
  }

  #next(at: Node, leaf: Node): Node | null {
    return this.hasBit(leaf, at.prefixLength) ? at.one : at.zero;
  }

  #replace(parent: Node | null, at: Node, child: Node | null): void {
    if (parent === null) this.root = child;
    else if (parent.zero === at) parent.zero = child;
    else parent.one = child;
  }

  #attachBelow(parent: Node | null, child: Node): void {
    if (parent === null) this.root = child;
    else this.#attach(parent, child);
  }

  #attach(parent: Node, child: Node): void {
    if (this.hasBit(child, parent.prefixLength)) parent.one = child;
    else parent.zero = child;
  }
}
