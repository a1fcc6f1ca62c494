/** Sets of networks: which contain which, and whether they are all of IPv4 together. */
import { formatCidr, type Ipv4Prefix, prefixMask } from "../../wire/ipv4_text.ts";

/** Each network once. */
export function withoutRepetitions(networks: readonly Ipv4Prefix[]): Ipv4Prefix[] {
  return [...new Map(networks.map((network) => [formatCidr(network), network])).values()];
}

/** Whether all of `inner` lies in `outer`; host bits do not matter. */
export function isWithin(inner: Ipv4Prefix, outer: Ipv4Prefix): boolean {
  if (inner.prefixLength < outer.prefixLength) return false;
  return ((inner.address ^ outer.address) & prefixMask(outer.prefixLength)) === 0;
}

/** Those that are not within another one. */
export function outermostOf(networks: readonly Ipv4Prefix[]): Ipv4Prefix[] {
  return networks.filter((network) =>
    !networks.some((other) => other !== network && isWithin(network, other))
  );
}

/**
 * Whether networks are all of IPv4 together: `0.0.0.0/0` itself, or its parts, such as the two halves by which some
 * configurations spare the default route.
 */
export function isAllIpv4(networks: readonly Ipv4Prefix[]): boolean {
  const sizes = outermostOf(withoutRepetitions(networks))
    .map(({ prefixLength }) => 2 ** (32 - prefixLength));
  return sizes.reduce((sum, size) => sum + size, 0) === 2 ** 32;
}
