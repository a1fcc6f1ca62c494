/**
 * Allowed IPs: which peer an inner address belongs to, by the longest prefix that contains it.
 *
 * It is a binary trie with path compression: a node stands for a prefix, its children for longer prefixes within it
 * that differ in the bit behind it. A walk from the root is at most 32 steps deep however many prefixes there are.
 */
import { type Ipv4Prefix, prefixMask } from "../wire/ipv4_text.ts";

/**
 * A prefix: one that was inserted, or (value null) one where the trie forks. Bits and mask are kept as int32, so that
 * the engine stores and compares them as small integers.
 */
interface Node<T> {
  readonly bits: number;
  readonly mask: number;
  readonly prefixLength: number;
  value: T | null;
  /** Where the bit behind the prefix is 0. */
  zero: Node<T> | null;
  /** Where the bit behind the prefix is 1. */
  one: Node<T> | null;
}

/** More than there are lengths of a prefix, 0 to 32. */
const ID_LENGTHS = 64;

/** A longest-prefix-match table from IPv4 prefixes to values, which are compared by identity. */
export class AllowedIps<T extends NonNullable<unknown>> {
  #root: Node<T> | null = null;
  /** What each value owns, see `prefixId()`: it is found without a walk through the table. */
  readonly #owned = new Map<T, Set<number>>();
  /** Grows with each change; may wrap around. */
  changes = 0;

  /**
   * Gives the prefix to `value`. Host bits are ignored. A prefix has one owner: if another has this very prefix, it
   * moves, as WireGuard does it.
   *
   * @param address IPv4 address, host order
   * @param prefixLength 0 to 32
   */
  insert(address: number, prefixLength: number, value: T): void {
    this.changes = (this.changes + 1) | 0;
    const mask = prefixMask(prefixLength) | 0;
    const leaf = node<T>(address & mask, prefixLength, value);
    const id = prefixId(leaf);
    const owned = this.#owned.get(value);
    if (owned === undefined) this.#owned.set(value, new Set([id]));
    else owned.add(id);
    let parent: Node<T> | null = null;
    let child = this.#root;
    while (child !== null && child.prefixLength <= prefixLength && contains(child, address)) {
      if (child.prefixLength === prefixLength) {
        if (child.value !== null && child.value !== value) this.#disown(child.value, id);
        child.value = value;
        return;
      }
      parent = child;
      child = next(child, address);
    }
    if (child !== null) {
      // Here the paths part: at the end of the new prefix, or at the first bit in which the two differ.
      const common = Math.min(prefixLength, Math.clz32(child.bits ^ leaf.bits));
      if (common === prefixLength) {
        attach(leaf, child);
      } else {
        const fork = node<T>(leaf.bits & (prefixMask(common) | 0), common, null);
        attach(fork, child);
        attach(fork, leaf);
        this.#attachBelow(parent, fork);
        return;
      }
    }
    this.#attachBelow(parent, leaf);
  }

  /** The owner of the longest prefix that contains `address` (host order), or null. Allocates nothing. */
  lookup(address: number): T | null {
    let best: T | null = null;
    let at = this.#root;
    while (at !== null && ((at.bits ^ address) & at.mask) === 0) {
      if (at.value !== null) best = at.value;
      // A /32 has no children, so that shifting its whole length away does no harm.
      at = (address << at.prefixLength) < 0 ? at.one : at.zero;
    }
    return best;
  }

  /** Takes all prefixes from `value`. Costs a walk from the root for each of them. */
  removeByValue(value: T): void {
    const owned = this.#owned.get(value);
    if (owned === undefined) return;
    this.changes = (this.changes + 1) | 0;
    for (const id of owned) this.#remove(addressOf(id), lengthOf(id));
    this.#owned.delete(value);
  }

  /** The prefixes of `value`, by address, the shorter before the longer. */
  entries(value: T): Ipv4Prefix[] {
    const owned = this.#owned.get(value);
    if (owned === undefined) return [];
    return [...owned].sort((one, other) => one - other)
      .map((id) => ({ address: addressOf(id), prefixLength: lengthOf(id) }));
  }

  #disown(value: T, id: number): void {
    const owned = this.#owned.get(value)!;
    owned.delete(id);
    if (owned.size === 0) this.#owned.delete(value);
  }

  /** Takes out a prefix that is there, and with it the fork that it leaves without a purpose. */
  #remove(address: number, prefixLength: number): void {
    let grandparent: Node<T> | null = null;
    let parent: Node<T> | null = null;
    let at = this.#root!;
    while (at.prefixLength < prefixLength) {
      grandparent = parent;
      parent = at;
      at = next(at, address)!;
    }
    at.value = null;
    if (at.zero !== null && at.one !== null) return;
    const child = at.zero ?? at.one;
    this.#replace(parent, at, child);
    if (child !== null || parent === null || parent.value !== null) return;
    this.#replace(grandparent, parent, parent.zero ?? parent.one);
  }

  #replace(parent: Node<T> | null, at: Node<T>, child: Node<T> | null): void {
    if (parent === null) this.#root = child;
    else if (parent.zero === at) parent.zero = child;
    else parent.one = child;
  }

  #attachBelow(parent: Node<T> | null, child: Node<T>): void {
    if (parent === null) this.#root = child;
    else attach(parent, child);
  }
}

function node<T>(bits: number, prefixLength: number, value: T | null): Node<T> {
  return { bits, mask: prefixMask(prefixLength) | 0, prefixLength, value, zero: null, one: null };
}

function contains<T>(at: Node<T>, address: number): boolean {
  return ((at.bits ^ address) & at.mask) === 0;
}

function next<T>(at: Node<T>, address: number): Node<T> | null {
  return (address << at.prefixLength) < 0 ? at.one : at.zero;
}

function attach<T>(parent: Node<T>, child: Node<T>): void {
  if ((child.bits << parent.prefixLength) < 0) parent.one = child;
  else parent.zero = child;
}

/** A number for a prefix: in order of addresses, the shorter before the longer. */
function prefixId<T>({ bits, prefixLength }: Node<T>): number {
  return (bits >>> 0) * ID_LENGTHS + prefixLength;
}

function addressOf(id: number): number {
  return Math.floor(id / ID_LENGTHS);
}

function lengthOf(id: number): number {
  return id % ID_LENGTHS;
}
