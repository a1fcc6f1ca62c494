/**
 * IPv6 prefixes as text, `ADDRESS/LENGTH` in the one spelling of RFC 5952: so equal ones are `===`, and the same behind
 * JSON. What the packet path needs of them are four words.
 */
import type { Ipv4Prefix } from "./ipv4_text.ts";
import { canonicalIpv6, IPV6_SIZE, ipv6At, ipv6Bytes, type Ipv6Text } from "./host_address.ts";

/** A network, or an address together with its network: host bits are kept. */
export type Ipv6PrefixText = string;

export interface Ipv6Prefix {
  readonly address: Ipv6Text;
  /** 0 to 128. */
  readonly prefixLength: number;
}

export const MAX_PREFIX6 = 128;
export const ALL_IPV6: Ipv6PrefixText = "::/0";
export const LINK_LOCAL6: Ipv6PrefixText = "fe80::/10";

/** The prefix of `ADDRESS/LENGTH`; a bare address is a /128. Null for any other text. */
export function parseCidr6(text: string): Ipv6Prefix | null {
  const [addressText, lengthText, more] = text.split("/");
  const address = canonicalIpv6(addressText!);
  if (address === null || more !== undefined) return null;
  if (lengthText === undefined) return { address, prefixLength: MAX_PREFIX6 };
  const prefixLength = /^\d{1,3}$/.test(lengthText) ? Number(lengthText) : NaN;
  return prefixLength <= MAX_PREFIX6 ? { address, prefixLength } : null;
}

/** `ADDRESS/LENGTH`. */
export function formatCidr6({ address, prefixLength }: Ipv6Prefix): Ipv6PrefixText {
  return `${address}/${prefixLength}`;
}

/** The two halves of a prefix that is in canonical text, as all behind the configuration are. */
export function splitCidr6(text: Ipv6PrefixText): Ipv6Prefix {
  const at = text.indexOf("/");
  return { address: text.slice(0, at), prefixLength: Number(text.slice(at + 1)) };
}

/** The address without its network. */
export function addressOf6(text: Ipv6PrefixText): Ipv6Text {
  return splitCidr6(text).address;
}

/** The same prefix with its host bits clear. */
export function network6(text: Ipv6PrefixText): Ipv6PrefixText {
  const { address, prefixLength } = splitCidr6(text);
  const { buffer } = maskBytes6(ipv6Bytes(address), prefixLength);
  return formatCidr6({ address: ipv6At(new DataView(buffer), 0), prefixLength });
}

/** The bytes of an address with those bits clear that are behind so many. */
export function maskBytes6(
  address: Uint8Array<ArrayBuffer>,
  prefixLength: number,
): Uint8Array<ArrayBuffer> {
  const masked = address.slice();
  for (let i = prefixLength >> 3; i < IPV6_SIZE; i++) masked[i]! &= byteMask(prefixLength, i);
  return masked;
}

/** Whether all of `inner` lies in `outer`; host bits do not matter. */
export function isWithin6(inner: Ipv6PrefixText, outer: Ipv6PrefixText): boolean {
  const { address, prefixLength } = splitCidr6(outer);
  const one = splitCidr6(inner);
  if (one.prefixLength < prefixLength) return false;
  const [a, b] = [ipv6Bytes(one.address), ipv6Bytes(address)];
  return a.every((byte, i) => ((byte ^ b[i]!) & byteMask(prefixLength, i)) === 0);
}

/** The addresses by which a translator with the well-known prefix stands for those of IPv4 (RFC 6052 section 2.1). */
export function translated({ address, prefixLength }: Ipv4Prefix): Ipv6Prefix {
  const groups = `${(address >>> 16).toString(16)}:${(address & 0xffff).toString(16)}`;
  return { address: canonicalIpv6(`64:ff9b::${groups}`)!, prefixLength: 96 + prefixLength };
}

/** Those that are not within another one, each once. */
export function outermostOf6(networks: readonly Ipv6PrefixText[]): Ipv6PrefixText[] {
  const once = [...new Set(networks.map(network6))];
  return once.filter((network) =>
    !once.some((other) => other !== network && isWithin6(network, other))
  );
}

/** Whether networks are all of IPv6 together: `::/0`, or its parts. */
export function isAllIpv6(networks: readonly Ipv6PrefixText[]): boolean {
  // Lengths whose sizes a double cannot add up exactly are no part of such a set that anybody writes.
  const shares = outermostOf6(networks).map((network) => 2 ** -splitCidr6(network).prefixLength);
  return shares.reduce((sum, share) => sum + share, 0) === 1;
}

/** The bits of byte `index` that a prefix of this length has. */
function byteMask(prefixLength: number, index: number): number {
  const bits = Math.min(8, Math.max(0, prefixLength - 8 * index));
  return 0xff << 8 - bits & 0xff;
}
