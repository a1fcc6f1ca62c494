/** Address pool of IPv6: the network of a new gateway, and the lowest address of it that nobody has. */
import { IPV6_SIZE, ipv6At, ipv6Bytes, type Ipv6Text } from "../wire/host_address.ts";
import {
  addressOf6,
  formatCidr6,
  type Ipv6PrefixText,
  isWithin6,
  MAX_PREFIX6,
  network6,
  splitCidr6,
} from "../wire/ipv6_prefix.ts";
import { MAX_PEERS } from "../limits/max_peers.ts";
import type { Pool } from "./address_pool.ts";

/** A unique local prefix whose global ID is chosen by who uses it (RFC 4193 section 3.1). */
const LOCAL = 0xfd;
/** Bits of a network of hosts. */
const NETWORK_LENGTH = 64;

/**
 * The gateway's address in a network that nobody else is likely to have, as two such networks may have to be joined one
 * day (RFC 4193 section 3.2).
 *
 * @param globalId 5 random bytes
 */
export function gatewayAddress6(globalId: Uint8Array): Ipv6PrefixText {
  const bytes = new Uint8Array(IPV6_SIZE);
  bytes[0] = LOCAL;
  bytes.set(globalId, 1);
  bytes[IPV6_SIZE - 1] = 1;
  return formatCidr6({ address: textOf(bytes), prefixLength: NETWORK_LENGTH });
}

/**
 * The lowest address in the first network of the gateway's `Address` that is neither the gateway's nor in a peer's
 * AllowedIPs; null where the gateway has no IPv6, or all are taken.
 */
export function freeAddress6({ interface: { addresses6 }, peers }: Pool): Ipv6Text | null {
  const pool = addresses6[0];
  if (pool === undefined) return null;
  const { prefixLength } = splitCidr6(pool);
  const own = new Set(addresses6.map(addressOf6));
  // As with IPv4, a network as wide as the pool or wider is a route by way of a peer.
  const given = peers.flatMap(({ allowedIps6 }) => allowedIps6)
    .filter((network) => splitCidr6(network).prefixLength > prefixLength);
  const single = new Set(given.filter(isSingle).map(addressOf6));
  const networks = given.filter((network) => !isSingle(network));
  const hosts = Math.min(2 ** (MAX_PREFIX6 - prefixLength), 2 * MAX_PEERS + addresses6.length);
  // The first of a network is that of its routers (RFC 4291 section 2.6.1).
  for (let host = 1; host < hosts; host++) {
    const address = hostOf(pool, host);
    const isTaken = own.has(address) || single.has(address) ||
      networks.some((network) => isWithin6(`${address}/${MAX_PREFIX6}`, network));
    if (!isTaken) return address;
  }
  return null;
}

function isSingle(network: Ipv6PrefixText): boolean {
  return splitCidr6(network).prefixLength === MAX_PREFIX6;
}

function hostOf(pool: Ipv6PrefixText, host: number): Ipv6Text {
  const bytes = ipv6Bytes(addressOf6(network6(pool)));
  const view = new DataView(bytes.buffer);
  view.setUint32(IPV6_SIZE - 4, view.getUint32(IPV6_SIZE - 4) + host);
  return textOf(bytes);
}

function textOf(bytes: Uint8Array<ArrayBuffer>): Ipv6Text {
  return ipv6At(new DataView(bytes.buffer), 0);
}
