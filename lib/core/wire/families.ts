/** Families: the order in which the addresses of one name are tried. */
import { type HostAddress, isIpv6 } from "./host_address.ts";

/**
 * The addresses, first of one family, then of the other, and so on in turn, from the family of the first (RFC 8305
 * section 4): where one family does not work at all, the second attempt is by the other.
 */
export function inTurn(addresses: readonly HostAddress[]): HostAddress[] {
  const [first] = addresses;
  if (first === undefined) return [];
  const same = addresses.filter((address) => isIpv6(address) === isIpv6(first));
  const other = addresses.filter((address) => isIpv6(address) !== isIpv6(first));
  const rounds = Math.max(same.length, other.length);
  return Array.from(
    { length: rounds },
    (_, i) => [...same.slice(i, i + 1), ...other.slice(i, i + 1)],
  )
    .flat();
}

/** Those that there is a route to, as far as IPv6 is concerned; all of them where there would be none left. */
export function withoutUnrouted(
  addresses: readonly HostAddress[],
  hasRoute: (address: HostAddress) => boolean,
): readonly HostAddress[] {
  const routed = addresses.filter((address) => !isIpv6(address) || hasRoute(address));
  return routed.length > 0 ? routed : addresses;
}
