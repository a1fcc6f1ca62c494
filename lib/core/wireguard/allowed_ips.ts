/** Allowed IPs: which peer an inner address belongs to, by the longest prefix that contains it. */
import { type Ipv4Prefix, prefixMask } from "../wire/ipv4_text.ts";
import { PrefixTrie, type TrieNode } from "./prefix_trie.ts";

/** Bits and mask are kept as int32, so that the engine stores and compares them as small integers. */
interface Node<T> extends TrieNode<Node<T>, T> {
  readonly bits: number;
  readonly mask: number;
}

/** More than there are lengths of a prefix, 0 to 32. */
const ID_LENGTHS = 64;

/** A longest-prefix-match table from IPv4 prefixes to values, which are compared by identity. */
export class AllowedIps<T extends NonNullable<unknown>> extends PrefixTrie<T, Node<T>, number> {
  /**
   * Gives the prefix to `value`. Host bits are ignored. A prefix has one owner: if another has this very prefix, it
   * moves, as WireGuard does it.
   *
   * @param address IPv4 address, host order
   * @param prefixLength 0 to 32
   */
  insert(address: number, prefixLength: number, value: T): void {
    const leaf = node<T>(address, prefixLength, value);
    this.give(leaf, prefixId(leaf), value);
  }

  /** The owner of the longest prefix that contains `address` (host order), or null. Allocates nothing. */
  lookup(address: number): T | null {
    let best: T | null = null;
    let at = this.root;
    while (at !== null && ((at.bits ^ address) & at.mask) === 0) {
      if (at.value !== null) best = at.value;
      // A /32 has no children, so that shifting its whole length away does no harm.
      at = (address << at.prefixLength) < 0 ? at.one : at.zero;
    }
    return best;
  }

  /** The prefixes of `value`, by address, the shorter before the longer. */
  entries(value: T): Ipv4Prefix[] {
    return [...this.idsOf(value)].sort((one, other) => one - other)
      .map((id) => ({ address: addressOf(id), prefixLength: lengthOf(id) }));
  }

  protected override leafOf(id: number, value: T): Node<T> {
    return node(addressOf(id) | 0, lengthOf(id), value);
  }

  protected override forkOf({ bits }: Node<T>, length: number): Node<T> {
    return node<T>(bits, length, null);
  }

  protected override contains({ bits, mask }: Node<T>, leaf: Node<T>): boolean {
    return ((bits ^ leaf.bits) & mask) === 0;
  }

  protected override hasBit({ bits }: Node<T>, index: number): boolean {
    return (bits << index) < 0;
  }

  protected override firstDifference(one: Node<T>, other: Node<T>): number {
    return Math.clz32(one.bits ^ other.bits);
  }
}

function node<T>(bits: number, prefixLength: number, value: T | null): Node<T> {
  const mask = prefixMask(prefixLength) | 0;
  return { bits: bits & mask, mask, prefixLength, value, zero: null, one: null };
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
