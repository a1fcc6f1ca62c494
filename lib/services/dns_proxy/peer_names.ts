/** Peer names: the peers of a gateway as hosts of a domain, by the names that they have now. */
import { LocalZone, type NamedHost } from "../../core/dns/local_zone.ts";
import type { Parsed } from "../../core/dns/message.ts";
import { type Ipv4Prefix, prefixMask } from "../../core/wire/ipv4_text.ts";
import { addressOf6, type Ipv6PrefixText } from "../../core/wire/ipv6_prefix.ts";
import type { PeerNetworks } from "./clients.ts";

/** What the gateway is called where no peer is. */
const GATEWAY = "gateway";

export interface PeerNamesOptions {
  /** In ASCII; null where peers have no names in DNS. */
  readonly domain: string | null;
  /** The gateway's, with the networks of its clients. */
  readonly addresses: readonly Ipv4Prefix[];
  /** The same of IPv6; where there is none, peers have no addresses of IPv6 either. */
  readonly addresses6: readonly Ipv6PrefixText[];
  /** By their keys, as they are now: another map when they have changed. */
  readonly peers: () => ReadonlyMap<string, PeerNetworks>;
}

export class PeerNames {
  readonly #options: PeerNamesOptions;
  #domain: string | null;
  #zone: LocalZone | null = null;
  /** The peers that the zone has the names of. */
  #known: ReadonlyMap<string, PeerNetworks> | null = null;

  constructor(options: PeerNamesOptions) {
    this.#options = options;
    this.#domain = options.domain;
  }

  /** Answers for this domain from now on; null for none. */
  setDomain(domain: string | null): void {
    this.#domain = domain;
    this.#known = null;
  }

  /** The answer to a query, as `LocalZone.answer()` has it. */
  answer(query: Uint8Array, parsed: Parsed, limit: number): Uint8Array | null {
    if (this.#domain === null) return null;
    const peers = this.#options.peers();
    if (this.#zone === null || peers !== this.#known) {
      this.#known = peers;
      this.#zone = this.#zoneOf(this.#domain, peers);
    }
    return this.#zone.answer(query, parsed, limit);
  }

  #zoneOf(domain: string, peers: ReadonlyMap<string, PeerNetworks>): LocalZone {
    const { addresses, addresses6 } = this.#options;
    const hosts = Array.from(peers.values()).flatMap((peer): NamedHost[] => {
      if (peer.name === null) return [];
      const six = addresses6.length === 0 ? [] : hostsAmong6(peer.allowedIps6);
      return [{ name: peer.name, addresses: [...hostsAmong(peer.allowedIps), ...six] }];
    });
    const own = {
      name: GATEWAY,
      addresses: [...addresses.map(({ address }) => address), ...addresses6.map(addressOf6)],
    };
    return new LocalZone({
      domain,
      hosts: [...hosts, own],
      networks: addresses.map(({ address, prefixLength }) => ({
        address,
        mask: prefixMask(prefixLength),
      })),
      networks6: addresses6,
    });
  }
}

function hostsAmong(networks: readonly Ipv4Prefix[]): number[] {
  return networks.filter(({ prefixLength }) => prefixLength === 32).map(({ address }) => address);
}

function hostsAmong6(networks: readonly Ipv6PrefixText[]): string[] {
  return networks.filter((network) => network.endsWith("/128")).map(addressOf6);
}
