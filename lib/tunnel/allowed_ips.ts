/**
 * Owns the table of allowed IPs: which peer an inner address belongs to, by the longest prefix that contains it.
 *
 * It is a binary trie with path compression: a node stands for a prefix, its children for longer prefixes within it that
 * differ in the bit behind it. A walk from the root is at most 32 steps deep however many prefixes there are.
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

/** A longest-prefix-match table from IPv4 prefixes to values, which are compared by identity. */
export class AllowedIps<T extends NonNullable<unknown>> {
  #root: Node<T> | null = null;

  /**
   * Gives the prefix to `value`. Host bits are ignored. A prefix has one owner: if another has this very prefix, it
   * moves, as WireGuard does it.
   *
   * @param address IPv4 address, host order
   * @param prefixLength 0 to 32
   */
  insert(address: number, prefixLength: number, value: T): void {
    const mask = prefixMask(prefixLength) | 0;
    const leaf = node<T>(address & mask, prefixLength, value);
    let parent: Node<T> | null = null;
    let child = this.#root;
    while (child !== null && child.prefixLength <= prefixLength && contains(child, address)) {
      if (child.prefixLength === prefixLength) {
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

  /** Takes all prefixes from `value`. Costs a walk through the whole table. */
  removeByValue(value: T): void {
    this.#root = without(this.#root, value);
  }

  /** The prefixes of `value`, by address, the shorter before the longer. */
  entries(value: T): Ipv4Prefix[] {
    const found: Ipv4Prefix[] = [];
    collect(this.#root, value, found);
    return found;
  }

  /** The prefixes of all values, each value's ordered as `entries()` has them. One walk through the table. */
  byValue(): Map<T, Ipv4Prefix[]> {
    const found = new Map<T, Ipv4Prefix[]>();
    collectAll(this.#root, found);
    return found;
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

/** The subtree without the values of one owner, and without the nodes that then neither hold a value nor fork. */
function without<T>(at: Node<T> | null, value: T): Node<T> | null {
  if (at === null) return null;
  if (at.value === value) at.value = null;
  at.zero = without(at.zero, value);
  at.one = without(at.one, value);
  if (at.value !== null || (at.zero !== null && at.one !== null)) return at;
  return at.zero ?? at.one;
}

function collect<T>(at: Node<T> | null, value: T, found: Ipv4Prefix[]): void {
  if (at === null) return;
  if (at.value === value) found.push({ address: at.bits >>> 0, prefixLength: at.prefixLength });
  collect(at.zero, value, found);
  collect(at.one, value, found);
}

function collectAll<T>(at: Node<T> | null, found: Map<T, Ipv4Prefix[]>): void {
  if (at === null) return;
  if (at.value !== null) {
    const prefix = { address: at.bits >>> 0, prefixLength: at.prefixLength };
    const prefixes = found.get(at.value);
    if (prefixes === undefined) found.set(at.value, [prefix]);
    else prefixes.push(prefix);
  }
  collectAll(at.zero, found);
  collectAll(at.one, found);
}
