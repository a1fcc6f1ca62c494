/**
 * Clients of the DNS proxy: which peer is at an inner address, so that one with many addresses has no more than its
 * share.
 */
import type { DnsClient } from "../../core/dns/cache.ts";
import { type Ipv4Prefix, prefixMask } from "../../core/wire/ipv4_text.ts";
import type { Ipv6PrefixText } from "../../core/wire/ipv6_prefix.ts";

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

  /** @param peers by their keys, as they are now: another map when they have changed */
  constructor(peers: () => ReadonlyMap<string, PeerNetworks>) {
    this.#peers = peers;
  }

  /** The peer that has an address (host order), by its key; the address itself where none has. */
  at(address: number): DnsClient {
    const peers = this.#peers();
    if (peers !== this.#known) this.#read(peers);
    const host = this.#hosts.get(address);
    if (host !== undefined) return host;
    const found = this.#networks.find(({ network, mask }) => (address & mask) >>> 0 === network);
    return found?.key ?? address;
  }

  #read(peers: ReadonlyMap<string, PeerNetworks>): void {
    this.#known = peers;
    this.#hosts.clear();
    const networks: { prefixLength: number; network: number; mask: number; key: string }[] = [];
    for (const [key, { allowedIps }] of peers) {
      for (const { address, prefixLength } of allowedIps) {
        const mask = prefixMask(prefixLength);
        if (prefixLength === 32) this.#hosts.set(address >>> 0, key);
        else networks.push({ prefixLength, network: (address & mask) >>> 0, mask, key });
      }
    }
    this.#networks = networks.sort((a, b) => b.prefixLength - a.prefixLength);
  }
}
