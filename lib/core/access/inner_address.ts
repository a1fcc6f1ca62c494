/**
 * Inner addresses as access rules compare them: four words of 32 bits, the first the uppermost. An IPv4 address is the
 * IPv6 address that stands for it (RFC 4291 section 2.5.5.2), so that one table serves both families.
 *
 * What a translator with the well-known prefix stands for (RFC 6052 section 2.1) is in the prefixes of IPv4 as well as
 * in its own: it is another way to the same host, and must not be one around a rule.
 */
import { ipv6Bytes } from "../wire/host_address.ts";
import type { Ipv4Prefix } from "../wire/ipv4_text.ts";
import { type Ipv6PrefixText, splitCidr6 } from "../wire/ipv6_prefix.ts";

export const ADDRESS_WORDS = 4;
/** The third word of an IPv4 address; the two before it are 0. */
export const IPV4_WORD = 0xffff;
/** The first word of an address of a translator; the next two are 0, and the last is the IPv4 address. */
const TRANSLATED_WORD = 0x0064ff9b;
const IPV4_BITS = 96;

/** Four words (signed) of an address, and how many of its bits count. */
export type PrefixWords = readonly [number, number, number, number, number];

/** The words of a prefix; host bits are kept, and do not count. */
export function prefixWords(prefix: Ipv4Prefix | Ipv6PrefixText): PrefixWords {
  if (typeof prefix !== "string") {
    return [0, 0, IPV4_WORD, prefix.address | 0, IPV4_BITS + prefix.prefixLength];
  }
  const { address, prefixLength } = splitCidr6(prefix);
  const { buffer } = ipv6Bytes(address);
  const view = new DataView(buffer);
  const word = (index: number) => view.getInt32(4 * index);
  return [word(0), word(1), word(2), word(3), prefixLength];
}

/** The mask of word `index` (0 to 3) of a prefix of `bits` bits, signed. */
function maskWord(bits: number, index: number): number {
  const own = Math.min(32, Math.max(0, bits - 32 * index));
  return own === 0 ? 0 : -1 << (32 - own);
}

/** A few prefixes, compared with an address one by one. */
export class PrefixSet {
  /** An address and a mask for each. */
  readonly #words: Int32Array;

  constructor(prefixes: readonly PrefixWords[]) {
    this.#words = new Int32Array(2 * ADDRESS_WORDS * prefixes.length);
    prefixes.forEach((prefix, i) => {
      writePrefix(this.#words, 2 * ADDRESS_WORDS * i, prefix);
    });
  }

  contains(address: Int32Array): boolean {
    const words = this.#words;
    for (let at = 0; at < words.length; at += 2 * ADDRESS_WORDS) {
      if (isInPrefix(address, words, at)) return true;
    }
    return false;
  }
}

/** Writes the words of a prefix without host bits, and its mask behind them. */
export function writePrefix(words: Int32Array, at: number, prefix: PrefixWords): void {
  for (let i = 0; i < ADDRESS_WORDS; i++) {
    const mask = maskWord(prefix[4], i);
    words[at + i] = prefix[i]! & mask;
    words[at + ADDRESS_WORDS + i] = mask;
  }
}

/**
 * Whether an address is within what `writePrefix()` has written at `at`. A prefix of IPv6 that is so short that it
 * contains the addresses which stand for those of IPv4, as `::/0` does, is about none of these.
 */
export function isInPrefix(address: Int32Array, words: Int32Array, at: number): boolean {
  // The last word first: it is the one in which most prefixes differ.
  if (((address[3] & words[at + 7]) ^ words[at + 3]) !== 0) return false;
  if (
    ((address[2] & words[at + 6]) ^ words[at + 2]) === 0 &&
    ((address[1] & words[at + 5]) ^ words[at + 1]) === 0 &&
    ((address[0] & words[at + 4]) ^ words[at]) === 0
  ) return words[at + 6] === -1 || !isIpv4(address);
  return isTranslated(address) && words[at + 6] === -1 && words[at + 2] === IPV4_WORD &&
    words[at + 1] === 0 && words[at] === 0;
}

function isTranslated(address: Int32Array): boolean {
  return address[0] === TRANSLATED_WORD && address[1] === 0 && address[2] === 0;
}

function isIpv4(address: Int32Array): boolean {
  return address[2] === IPV4_WORD && address[1] === 0 && address[0] === 0;
}
