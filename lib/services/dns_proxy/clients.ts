/**
 * Clients of the DNS proxy: which peer is at an inner address, so that one with many addresses has no more than its
 * share.
 *
 * That is asked of each query before anything is known of its sender's share: it must cost as little where thousands of
 * peers have networks. So these are kept by their lengths, of which there are few.
 */
import type { DnsClient } from "../../core/dns/cache.ts";
import { type HostAddress, ipv6Bytes, isIpv6 } from "../../core/wire/host_address.ts";
import { type Ipv4Prefix, prefixMask } from "../../core/wire/ipv4_text.ts";
import { type Ipv6PrefixText, maskBytes6, splitCidr6 } from "../../core/wire/ipv6_prefix.ts";

/** A peer, as far as its networks go, and what it is called. */
export interface PeerNetworks {
  readonly name: string | null;
  readonly allowedIps: readonly Ipv4Prefix[];
  readonly allowedIps6: readonly Ipv6PrefixText[];
}

/** Peers' keys by networks of one length. */
interface Networks<Network> {
  readonly prefixLength: number;
  readonly keys: Map<Network, string>;
}

export class ClientDirectory {
  readonly #peers: () => ReadonlyMap<string, PeerNetworks>;
  #known: ReadonlyMap<string, PeerNetworks> | null = null;
  /** The longest prefixes first. Networks of IPv6 in hexadecimal. */
  #networks: readonly Networks<number>[] = [];
  #networks6: readonly Networks<string>[] = [];

  /** @param peers by their keys, as they are now: another map when they have changed */
  constructor(peers: () => ReadonlyMap<string, PeerNetworks>) {
    this.#peers = peers;
  }

  /** The peer that has an address, by its key; the address itself where none has. */
  at(address: HostAddress): DnsClient {
    const peers = this.#peers();
    if (peers !== this.#known) this.#read(peers);
    if (!isIpv6(address)) {
      for (const { prefixLength, keys } of this.#networks) {
        const key = keys.get(networkOf(address, prefixLength));
        if (key !== undefined) return key;
      }
      return address;
    }
    const bytes = ipv6Bytes(address);
    for (const { prefixLength, keys } of this.#networks6) {
      const key = keys.get(networkOf6(bytes, prefixLength));
      if (key !== undefined) return key;
    }
    return address;
  }

  #read(peers: ReadonlyMap<string, PeerNetworks>): void {
    this.#known = peers;
    const networks = new Map<number, Map<number, string>>();
    const networks6 = new Map<number, Map<string, string>>();
    for (const [key, { allowedIps, allowedIps6 }] of peers) {
      for (const { address, prefixLength } of allowedIps) {
        ofLength(networks, prefixLength).set(networkOf(address, prefixLength), key);
      }
      for (const network of allowedIps6) {
        const { address, prefixLength } = splitCidr6(network);
        const bytes = ipv6Bytes(address);
        ofLength(networks6, prefixLength).set(networkOf6(bytes, prefixLength), key);
      }
    }
    this.#networks = longestFirst(networks);
    this.#networks6 = longestFirst(networks6);
  }
}

/** Host order, unsigned. */
function networkOf(address: number, prefixLength: number): number {
  return (address & prefixMask(prefixLength)) >>> 0;
}

function networkOf6(address: Uint8Array<ArrayBuffer>, prefixLength: number): string {
  return maskBytes6(address, prefixLength).toHex();
}

function ofLength<Network>(
  networks: Map<number, Map<Network, string>>,
  prefixLength: number,
): Map<Network, string> {
  const known = networks.get(prefixLength) ?? new Map<Network, string>();
  networks.set(prefixLength, known);
  return known;
}

function longestFirst<Network>(
  networks: ReadonlyMap<number, Map<Network, string>>,
): Networks<Network>[] {
  return Array.from(networks, ([prefixLength, keys]) => ({ prefixLength, keys }))
    .sort((a, b) => b.prefixLength - a.prefixLength);
}
