/**
 * Allowed IPs of IPv6: which peer an inner address belongs to, by the longest prefix that contains it. As
 * `AllowedIps`, with addresses of four words.
 */
import { ipv6Bytes } from "../wire/host_address.ts";
import { type Ipv6PrefixText, MAX_PREFIX6, network6, splitCidr6 } from "../wire/ipv6_prefix.ts";

/** A prefix that was inserted, or (value null) one where the trie forks. Words and masks are int32, host order. */
interface Node<T> {
  readonly word0: number;
  readonly word1: number;
  readonly word2: number;
  readonly word3: number;
  readonly mask0: number;
  readonly mask1: number;
  readonly mask2: number;
  readonly mask3: number;
  readonly prefixLength: number;
  value: T | null;
  /** Where the bit behind the prefix is 0. */
  zero: Node<T> | null;
  /** Where the bit behind the prefix is 1. */
  one: Node<T> | null;
}

/** A longest-prefix-match table from IPv6 prefixes to values, which are compared by identity. */
export class AllowedIps6<T extends NonNullable<unknown>> {
  #root: Node<T> | null = null;
  /** What each value owns, without host bits. */
  readonly #owned = new Map<T, Set<Ipv6PrefixText>>();
  /** Grows with each change; may wrap around. */
  changes = 0;

  /** Gives the prefix to `value`, and takes it from whom had this very prefix. Host bits are ignored. */
  insert(prefix: Ipv6PrefixText, value: T): void {
    this.changes = (this.changes + 1) | 0;
    const text = network6(prefix);
    const leaf = leafOf<T>(text, value);
    const owned = this.#owned.get(value);
    if (owned === undefined) this.#owned.set(value, new Set([text]));
    else owned.add(text);
    let parent: Node<T> | null = null;
    let child = this.#root;
    while (child !== null && child.prefixLength <= leaf.prefixLength && contains(child, leaf)) {
      if (child.prefixLength === leaf.prefixLength) {
        if (child.value !== null && child.value !== value) this.#disown(child.value, text);
        child.value = value;
        return;
      }
      parent = child;
      child = next(child, leaf);
    }
    if (child !== null) {
      // Here the paths part: at the end of the new prefix, or at the first bit in which the two differ.
      const common = Math.min(leaf.prefixLength, firstDifference(child, leaf));
      if (common < leaf.prefixLength) {
        const fork = node<T>(leaf, common, null);
        attach(fork, child);
        attach(fork, leaf);
        this.#attachBelow(parent, fork);
        return;
      }
      attach(leaf, child);
    }
    this.#attachBelow(parent, leaf);
  }

  /** The owner of the longest prefix that contains the 16 bytes at `offset`, or null. Allocates nothing. */
  lookup(view: DataView, offset: number): T | null {
    const word0 = view.getInt32(offset);
    const word1 = view.getInt32(offset + 4);
    const word2 = view.getInt32(offset + 8);
    const word3 = view.getInt32(offset + 12);
    let best: T | null = null;
    let at = this.#root;
    while (
      at !== null &&
      ((at.word0 ^ word0) & at.mask0 | (at.word1 ^ word1) & at.mask1 |
          (at.word2 ^ word2) & at.mask2 | (at.word3 ^ word3) & at.mask3) === 0
    ) {
      if (at.value !== null) best = at.value;
      const length = at.prefixLength;
      if (length === MAX_PREFIX6) break;
      const word = length < 64 ? length < 32 ? word0 : word1 : length < 96 ? word2 : word3;
      at = (word << (length & 31)) < 0 ? at.one : at.zero;
    }
    return best;
  }

  /** Takes all prefixes from `value`. Costs a walk from the root for each of them. */
  removeByValue(value: T): void {
    this.changes = (this.changes + 1) | 0;
    for (const text of this.#owned.get(value) ?? []) this.#remove(leafOf<T>(text, value));
    this.#owned.delete(value);
  }

  /** The prefixes of `value`, by their text. */
  entries(value: T): Ipv6PrefixText[] {
    return [...this.#owned.get(value) ?? []].sort();
  }

  #disown(value: T, text: Ipv6PrefixText): void {
    const owned = this.#owned.get(value)!;
    owned.delete(text);
    if (owned.size === 0) this.#owned.delete(value);
  }

  /** Takes out a prefix that is there, and with it the fork that it leaves without a purpose. */
  #remove(leaf: Node<T>): void {
    let grandparent: Node<T> | null = null;
    let parent: Node<T> | null = null;
    let at = this.#root!;
    while (at.prefixLength < leaf.prefixLength) {
      grandparent = parent;
      parent = at;
      at = next(at, leaf)!;
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

/** Four words of an address. */
type Words = Pick<Node<never>, "word0" | "word1" | "word2" | "word3">;

function leafOf<T>(text: Ipv6PrefixText, value: T): Node<T> {
  const { address, prefixLength } = splitCidr6(text);
  const view = new DataView(ipv6Bytes(address).buffer);
  const words: Words = {
    word0: view.getInt32(0),
    word1: view.getInt32(4),
    word2: view.getInt32(8),
    word3: view.getInt32(12),
  };
  return node(words, prefixLength, value);
}

function node<T>({ word0, word1, word2, word3 }: Words, length: number, value: T | null): Node<T> {
  const mask0 = wordMask(length);
  const mask1 = wordMask(length - 32);
  const mask2 = wordMask(length - 64);
  const mask3 = wordMask(length - 96);
  return {
    word0: word0 & mask0,
    word1: word1 & mask1,
    word2: word2 & mask2,
    word3: word3 & mask3,
    mask0,
    mask1,
    mask2,
    mask3,
    prefixLength: length,
    value,
    zero: null,
    one: null,
  };
}

/** The mask of a word of which so many bits, less than none and more than all included, are the prefix's. */
function wordMask(bits: number): number {
  return bits <= 0 ? 0 : bits >= 32 ? -1 : -1 << 32 - bits;
}

function contains<T>(at: Node<T>, words: Words): boolean {
  return ((at.word0 ^ words.word0) & at.mask0 | (at.word1 ^ words.word1) & at.mask1 |
    (at.word2 ^ words.word2) & at.mask2 | (at.word3 ^ words.word3) & at.mask3) === 0;
}

function next<T>(at: Node<T>, words: Words): Node<T> | null {
  return hasBit(words, at.prefixLength) ? at.one : at.zero;
}

function attach<T>(parent: Node<T>, child: Node<T>): void {
  if (hasBit(child, parent.prefixLength)) parent.one = child;
  else parent.zero = child;
}

/** The bit at `index`, of 0 to 127. */
function hasBit(words: Words, index: number): boolean {
  const word = [words.word0, words.word1, words.word2, words.word3][index >>> 5]!;
  return (word << (index & 31)) < 0;
}

/** The index of the first bit in which two addresses differ; 128 for none. */
function firstDifference(one: Words, other: Words): number {
  if (one.word0 !== other.word0) return Math.clz32(one.word0 ^ other.word0);
  if (one.word1 !== other.word1) return 32 + Math.clz32(one.word1 ^ other.word1);
  if (one.word2 !== other.word2) return 64 + Math.clz32(one.word2 ^ other.word2);
  return 96 + Math.clz32(one.word3 ^ other.word3);
}
