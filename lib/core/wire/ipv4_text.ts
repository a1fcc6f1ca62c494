/**
 * IPv4 text: addresses and prefixes in dotted decimal and CIDR, read strictly and written in one form.
 *
 * Strict because `010.0.0.1` is 8.0.0.1 to some readers and 10.0.0.1 to others, and a rule read in two ways is a hole.
 */

/** A network, or an address together with its network: host bits are kept. */
export interface Ipv4Prefix {
  /** Host order, 0 to 2^32 - 1. */
  readonly address: number;
  /** 0 to 32. */
  readonly prefixLength: number;
}

const OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
const ADDRESS = new RegExp(`^${OCTET}\\.${OCTET}\\.${OCTET}\\.${OCTET}$`);
const PREFIX_LENGTH = /^(?:3[0-2]|[12]?[0-9])$/;

/** The address of four decimal octets without leading zeros, in host order; null for any other text. */
export function parseIpv4(text: string): number | null {
  const octets = ADDRESS.exec(text);
  if (octets === null) return null;
  return octets.slice(1).reduce((address, octet) => address * 256 + Number(octet), 0);
}

/** Dotted decimal of an address in host order. */
export function formatIpv4(address: number): string {
  return `${address >>> 24}.${address >>> 16 & 0xff}.${address >>> 8 & 0xff}.${address & 0xff}`;
}

/**
 * The prefix of `ADDRESS/LENGTH`; a bare address is a /32, as `wg` reads it. Host bits are kept, since an interface's
 * `Address` means both. Null for any other text, a dotted netmask included.
 */
export function parseCidr(text: string): Ipv4Prefix | null {
  const [addressText, lengthText, more] = text.split("/");
  const address = parseIpv4(addressText!);
  if (address === null || more !== undefined) return null;
  if (lengthText === undefined) return { address, prefixLength: 32 };
  if (!PREFIX_LENGTH.test(lengthText)) return null;
  return { address, prefixLength: Number(lengthText) };
}

/** `ADDRESS/LENGTH`. */
export function formatCidr(prefix: Ipv4Prefix): string {
  return `${formatIpv4(prefix.address)}/${prefix.prefixLength}`;
}

/** The netmask of a prefix length of 0 to 32, host order. */
export function prefixMask(prefixLength: number): number {
  // A shift by 32 is a shift by 0 in JavaScript, hence the case of its own.
  return prefixLength === 0 ? 0 : -1 << (32 - prefixLength) >>> 0;
}
