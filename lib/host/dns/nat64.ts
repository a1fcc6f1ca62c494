/** Addresses by NAT64: those of a server with IPv4 alone, on a host that has IPv6 alone. */
import { IPV4_ONLY_NAME, synthesisOf } from "../../core/dns/nat64.ts";
import { type HostAddress, isIpv6 } from "../../core/wire/host_address.ts";

/** Of the IPv6 internet: whether a route leads there says whether to ask for a translator at all. */
const SOMEWHERE = "2000::1";

export interface Nat64Options {
  readonly hasRoute: (address: HostAddress) => boolean;
  /** Looks up a name's addresses; none where it fails. */
  readonly lookUp: (name: string) => Promise<readonly HostAddress[]>;
}

/**
 * The addresses, with those that stand for them behind a translator in front where none of them has a route. A host
 * with IPv4, or without IPv6, asks nobody.
 */
export async function withNat64(
  addresses: readonly HostAddress[],
  { hasRoute, lookUp }: Nat64Options,
): Promise<readonly HostAddress[]> {
  if (addresses.some(hasRoute) || !hasRoute(SOMEWHERE)) return addresses;
  const ipv4 = addresses.filter((address) => !isIpv6(address));
  if (ipv4.length === 0) return addresses;
  const synthesis = synthesisOf(await lookUp(IPV4_ONLY_NAME));
  return synthesis === null
    ? addresses
    : [...ipv4.map((address) => synthesis(address)), ...addresses];
}
