/** Source key: who somebody is by the address that a service of this host sees, as text. */
import { canonicalIpv6 } from "./host_address.ts";
import { network6 } from "./ipv6_prefix.ts";

/** An IPv4 address that is mapped into IPv6, as sockets of both and proxies behind them have it, as such. */
export function plainAddress(address: string): string {
  const canonical = canonicalIpv6(address);
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical ?? "") ?? [];
  if (low === undefined) return address;
  return [high!, low].flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 255])
    .join(".");
}

/** By what of an address somebody is known who has more of them: of IPv6, the network that one customer is given. */
export function sourceKey(address: string): string {
  const plain = plainAddress(address);
  const canonical = canonicalIpv6(plain.split("%")[0]!);
  return canonical === null ? plain : network6(`${canonical}/64`);
}
