/**
 * NAT64: which IPv6 address stands for an IPv4 one in a network that has IPv6 alone and a translator (RFC 6052), found
 * by a name that has IPv4 addresses and nothing else (RFC 7050).
 */
import { type HostAddress, IPV6_SIZE, ipv6At, ipv6Bytes, isIpv6 } from "../wire/host_address.ts";

/** An address of it in AAAA records is one that the network's resolver has made. */
export const IPV4_ONLY_NAME = "ipv4only.arpa";
/** Its IPv4 addresses, 192.0.0.170 and 192.0.0.171 (RFC 7050 section 2.2). */
const IPV4_ONLY_ADDRESSES: readonly number[] = [0xc00000aa, 0xc00000ab];

/** Bytes of a prefix, and where the IPv4 address stands behind it: byte 8 is left out (RFC 6052 section 2.2). */
const LAYOUTS: readonly (readonly [prefix: number, places: readonly number[]])[] = [
  [12, [12, 13, 14, 15]],
  [8, [9, 10, 11, 12]],
  [7, [7, 9, 10, 11]],
  [6, [6, 7, 9, 10]],
  [5, [5, 6, 7, 9]],
  [4, [4, 5, 6, 7]],
];

/** Makes the IPv6 address of an IPv4 one. */
export type Synthesis = (ipv4: number) => string;

/** What the addresses of `IPV4_ONLY_NAME` tell; null where they are of no translator. */
export function synthesisOf(addresses: readonly HostAddress[]): Synthesis | null {
  for (const address of addresses) {
    if (!isIpv6(address)) continue;
    const bytes = ipv6Bytes(address);
    for (const [prefix, places] of LAYOUTS) {
      const ipv4 = places.reduce((value, place) => value * 256 + bytes[place]!, 0);
      if (IPV4_ONLY_ADDRESSES.includes(ipv4)) {
        return (wanted) => synthesize(bytes, prefix, places, wanted);
      }
    }
  }
  return null;
}

function synthesize(
  model: Uint8Array,
  prefix: number,
  places: readonly number[],
  ipv4: number,
): string {
  const bytes = new Uint8Array(IPV6_SIZE);
  bytes.set(model.subarray(0, prefix));
  places.forEach((place, i) => bytes[place] = ipv4 >>> 8 * (3 - i));
  return ipv6At(new DataView(bytes.buffer), 0);
}
