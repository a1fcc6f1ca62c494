/** Peer names: the peers of a gateway as hosts of a domain, by the names that they have now. */
import { LocalZone, type NamedHost } from "../../core/dns/local_zone.ts";
import type { Parsed } from "../../core/dns/message.ts";
import { type Ipv4Prefix, prefixMask } from "../../core/wire/ipv4_text.ts";
import { addressOf6, type Ipv6PrefixText } from "../../core/wire/ipv6_prefix.ts";
import { FollowedPeers, type PeerNetworks } from "./followed_peers.ts";

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
  readonly #own: NamedHost;
  #zone: LocalZone | null = null;
  #peers: FollowedPeers<NamedHost | null> | null = null;

  constructor(options: PeerNamesOptions) {
    this.#options = options;
    const { addresses, addresses6 } = options;
    this.#own = {
      name: GATEWAY,
      addresses: [...addresses.map(({ address }) => address), ...addresses6.map(addressOf6)],
    };
    this.setDomain(options.domain);
  }

  /** Answers for this domain from now on; null for none. */
  setDomain(domain: string | null): void {
    const { addresses, addresses6: networks6, peers } = this.#options;
    const networks = addresses.map(({ address, prefixLength }) => ({
      address,
      mask: prefixMask(prefixLength),
    }));
    if (domain === null) {
      this.#zone = this.#peers = null;
      return;
    }
    const zone = this.#zone = new LocalZone({ domain, hosts: [], networks, networks6 });
    zone.isComplete = false;
    this.#peers = new FollowedPeers<NamedHost | null>({
      peers,
      replace: (_, peer, kept) => {
        zone.isComplete = false;
        const host = peer && this.#hostOf(peer);
        if (kept) zone.remove(kept);
        if (host !== null) zone.add(host);
        return host;
      },
      onComplete: () => {
        // Peers come first.
        zone.remove(this.#own);
        zone.add(this.#own);
        zone.isComplete = true;
      },
    });
  }

  /** Resolves when the names of all peers that are there now are known. */
  async settled(): Promise<void> {
    await this.#peers?.settled();
  }

  /** The answer to a query, as `LocalZone.answer()` has it. */
  answer(query: Uint8Array, parsed: Parsed, limit: number): Uint8Array | null {
    this.#peers?.look();
    return this.#zone?.answer(query, parsed, limit) ?? null;
  }

  #hostOf({ name, allowedIps, allowedIps6 }: PeerNetworks): NamedHost | null {
    if (name === null) return null;
    const six = this.#options.addresses6.length === 0 ? [] : hostsAmong6(allowedIps6);
    return { name, addresses: [...hostsAmong(allowedIps), ...six] };
  }
}

function hostsAmong(networks: readonly Ipv4Prefix[]): number[] {
  return networks.filter(({ prefixLength }) => prefixLength === 32).map(({ address }) => address);
}

function hostsAmong6(networks: readonly Ipv6PrefixText[]): string[] {
  return networks.filter((network) => network.endsWith("/128")).map(addressOf6);
}
