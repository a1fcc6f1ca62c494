/**
 * Allowed IPs of IPv6: which peer an inner address belongs to, by the longest prefix that contains it. As
 * `AllowedIps`, with addresses of four words.
 */
import { ipv6Bytes } from "../wire/host_address.ts";
import { type Ipv6PrefixText, MAX_PREFIX6, network6, splitCidr6 } from "../wire/ipv6_prefix.ts";
import { PrefixTrie, type TrieNode } from "./prefix_trie.ts";

/** Words and masks are int32, host order. */
interface Node<T> extends TrieNode<Node<T>, T> {
  readonly word0: number;
  readonly word1: number;
  readonly word2: number;
  readonly word3: number;
  readonly mask0: number;
  readonly mask1: number;
  readonly mask2: number;
  readonly mask3: number;
}

/** A longest-prefix-match table from IPv6 prefixes to values, which are compared by identity. */
export class AllowedIps6<T extends NonNullable<unknown>>
  extends PrefixTrie<T, Node<T>, Ipv6PrefixText> {
  /** Gives the prefix to `value`, and takes it from whom had this very prefix. Host bits are ignored. */
  insert(prefix: Ipv6PrefixText, value: T): void {
    const text = network6(prefix);
    this.give(this.leafOf(text, value), text, value);
  }

  /** The owner of the longest prefix that contains the 16 bytes at `offset`, or null. Allocates nothing. */
  lookup(view: DataView, offset: number): T | null {
    const word0 = view.getInt32(offset);
    const word1 = view.getInt32(offset + 4);
    const word2 = view.getInt32(offset + 8);
    const word3 = view.getInt32(offset + 12);
    let best: T | null = null;
    let at = this.root;
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

  /** The prefixes of `value`, by their text. */
  entries(value: T): Ipv6PrefixText[] {
    return [...this.idsOf(value)].sort();
  }

  protected override leafOf(text: Ipv6PrefixText, value: T): Node<T> {
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

  protected override forkOf(leaf: Node<T>, length: number): Node<T> {
    return node<T>(leaf, length, null);
  }

  protected override contains(at: Node<T>, leaf: Node<T>): boolean {
    return ((at.word0 ^ leaf.word0) & at.mask0 | (at.word1 ^ leaf.word1) & at.mask1 |
      (at.word2 ^ leaf.word2) & at.mask2 | (at.word3 ^ leaf.word3) & at.mask3) === 0;
  }

  protected override hasBit({ word0, word1, word2, word3 }: Node<T>, index: number): boolean {
    const word = [word0, word1, word2, word3][index >>> 5]!;
    return (word << (index & 31)) < 0;
  }

  protected override firstDifference(one: Node<T>, other: Node<T>): number {
    if (one.word0 !== other.word0) return Math.clz32(one.word0 ^ other.word0);
    if (one.word1 !== other.word1) return 32 + Math.clz32(one.word1 ^ other.word1);
    if (one.word2 !== other.word2) return 64 + Math.clz32(one.word2 ^ other.word2);
    return 96 + Math.clz32(one.word3 ^ other.word3);
  }
}

/** Four words of an address. */
type Words = Pick<Node<never>, "word0" | "word1" | "word2" | "word3">;

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
