/** Address pool: gives a new peer the lowest address of a gateway's networks that nobody has. */
import { type Ipv4Prefix, prefixMask } from "../wire/ipv4_text.ts";
import type { Config, PeerConfig } from "./config.ts";

/** A network that a pool can be: host bits clear. */
export type Subnet = Ipv4Prefix;

/** What addresses there are, and who has which. */
export interface Pool {
  readonly interface: Pick<Config["interface"], "addresses" | "addresses6">;
  readonly peers: readonly Pick<PeerConfig, "allowedIps" | "allowedIps6">[];
}

/** Addresses in host order, both ends included. */
interface Range {
  readonly first: number;
  readonly last: number;
}

/**
 * The lowest address, uint32 in host order, in the networks of the gateway's `Address`, in their order, that is neither
 * the gateway's nor in a peer's AllowedIPs; `null` where all are taken.
 */
export function freeAddress({ interface: { addresses }, peers }: Pool): number | null {
  const peerNetworks = peers.flatMap(({ allowedIps }) => allowedIps);
  for (const pool of addresses) {
    const taken = [
      ...addresses.map(({ address }) => ({ first: address, last: address })),
      // A network as wide as the pool or wider is a route by way of a peer; the most specific one wins (WireGuard
      // paper, section 2), so addresses out of it can still be given away.
      ...peerNetworks.filter(({ prefixLength }) => prefixLength > pool.prefixLength).map(rangeOf),
    ];
    const address = lowestFree(rangeOf(pool), taken);
    if (address !== null) return address;
  }
  return null;
}

/**
 * The lowest address inside `pool` that is in none of `taken`, its first and last left out (RFC 1122 section 3.2.1.3).
 */
function lowestFree(pool: Range, taken: readonly Range[]): number | null {
  let candidate = pool.first + 1;
  for (const { first, last } of taken.toSorted((one, other) => one.first - other.first)) {
    if (first > candidate) break;
    candidate = Math.max(candidate, last + 1);
  }
  return candidate < pool.last ? candidate : null;
}

function rangeOf({ address, prefixLength }: Ipv4Prefix): Range {
  const mask = prefixMask(prefixLength);
  return { first: (address & mask) >>> 0, last: (address | ~mask) >>> 0 };
}
