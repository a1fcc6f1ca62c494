/**
 * Clients of the DNS proxy: which peer is at an inner address, so that one with many addresses has no more than its
 * share.
 */
import type { DnsClient } from "../../core/dns/cache.ts";
import { type HostAddress, type Ipv6Text, isIpv6 } from "../../core/wire/host_address.ts";
import { type Ipv4Prefix, prefixMask } from "../../core/wire/ipv4_text.ts";
import {
  addressOf6,
  type Ipv6PrefixText,
  isWithin6,
  splitCidr6,
} from "../../core/wire/ipv6_prefix.ts";

/** Behind an address of IPv6 that stands alone. */
const HOST = "/128";

/** A peer, as far as its networks go, and what it is called. */
export interface PeerNetworks {
  readonly name: string | null;
  readonly allowedIps: readonly Ipv4Prefix[];
  readonly allowedIps6: readonly Ipv6PrefixText[];
}

export class ClientDirectory {
  readonly #peers: () => ReadonlyMap<string, PeerNetworks>;
  #known: ReadonlyMap<string, PeerNetworks> | null = null;
  readonly #hosts = new Map<number, string>();
  /** The longest prefixes first. */
  #networks: { readonly network: number; readonly mask: number; readonly key: string }[] = [];

  readonly #hosts6 = new Map<Ipv6Text, string>();
  #networks6: { readonly network: Ipv6PrefixText; readonly key: string }[] = [];

  /** @param peers by their keys, as they are now: another map when they have changed */
  constructor(peers: () => ReadonlyMap<string, PeerNetworks>) {
    this.#peers = peers;
  }

  /** The peer that has an address, by its key; the address itself where none has. */
  at(address: HostAddress): DnsClient {
    const peers = this.#peers();
    if (peers !== this.#known) this.#read(peers);
    if (isIpv6(address)) {
      return this.#hosts6.get(address) ??
        this.#networks6.find(({ network }) => isWithin6(address + HOST, network))?.key ?? address;
    }
    const host = this.#hosts.get(address);
    if (host !== undefined) return host;
    const found = this.#networks.find(({ network, mask }) => (address & mask) >>> 0 === network);
    return found?.key ?? address;
  }

  #read(peers: ReadonlyMap<string, PeerNetworks>): void {
    this.#known = peers;
    this.#hosts.clear();
    this.#hosts6.clear();
    this.#networks6 = [];
    const networks: { prefixLength: number; network: number; mask: number; key: string }[] = [];
    for (const [key, { allowedIps, allowedIps6 }] of peers) {
      for (const network of allowedIps6) {
        if (network.endsWith(HOST)) this.#hosts6.set(addressOf6(network), key);
        else this.#networks6.push({ network, key });
      }
      for (const { address, prefixLength } of allowedIps) {
        const mask = prefixMask(prefixLength);
        if (prefixLength === 32) this.#hosts.set(address >>> 0, key);
        else networks.push({ prefixLength, network: (address & mask) >>> 0, mask, key });
      }
    }
    this.#networks6.sort((a, b) =>
      splitCidr6(b.network).prefixLength - splitCidr6(a.network).prefixLength
    );
    this.#networks = networks.sort((a, b) => b.prefixLength - a.prefixLength);
  }
}
