/** Network owners: which peer has which allowed network, as changes give them from one to another. */
import type { Ipv4Prefix } from "../wire/ipv4_text.ts";
import type { Ipv6PrefixText } from "../wire/ipv6_prefix.ts";

/** Peers by their key, in base64. */
type Key = string;
/** Of either family. */
type Network = Ipv4Prefix | Ipv6PrefixText;
/** A number of IPv4, of IPv6 the text. */
type NetworkId = number | Ipv6PrefixText;

interface Networks {
  readonly allowedIps: readonly Ipv4Prefix[];
  readonly allowedIps6: readonly Ipv6PrefixText[];
}

export class NetworkOwners {
  /** Peers that lost a network to another. */
  readonly bereft = new Set<Key>();
  readonly #owners = new Map<NetworkId, Key>();
  readonly #networks = new Map<Key, Map<NetworkId, Network>>();

  /** Those of these peers, of whom none shares a network with another; in steps. */
  static *of(
    peers: ReadonlyMap<Key, Networks>,
  ): Generator<void, NetworkOwners> {
    const owners = new NetworkOwners();
    for (const [key, { allowedIps, allowedIps6 }] of peers) {
      for (const network of allowedIps) owners.give(network, key);
      for (const network of allowedIps6) owners.give(network, key);
      yield;
    }
    owners.bereft.clear();
    return owners;
  }

  /** The networks of a peer, in the order in which it was given them. */
  networksOf(key: Key): Networks {
    const networks = [...this.#networks.get(key)?.values() ?? []];
    return {
      allowedIps: networks.filter((network) => typeof network === "object"),
      allowedIps6: networks.filter((network) => typeof network === "string"),
    };
  }

  /** Gives a network to a peer, no matter who had it. */
  give(network: Network, key: Key): void {
    const id = networkId(network);
    const owner = this.#owners.get(id);
    if (owner === key) return;
    if (owner !== undefined) {
      this.#networks.get(owner)!.delete(id);
      this.bereft.add(owner);
    }
    this.#owners.set(id, key);
    const networks = this.#networks.get(key);
    if (networks === undefined) this.#networks.set(key, new Map([[id, network]]));
    else networks.set(id, network);
  }

  /** Takes a network from a peer, if it is that peer's. */
  take(network: Network, key: Key): void {
    const id = networkId(network);
    if (this.#networks.get(key)?.delete(id)) this.#owners.delete(id);
  }

  /** Takes all its networks from a peer. */
  release(key: Key): void {
    for (const id of this.#networks.get(key)?.keys() ?? []) this.#owners.delete(id);
    this.#networks.delete(key);
    this.bereft.delete(key);
  }
}

/** What tells a network from all others; lengths of IPv4 are 0 to 32. */
function networkId(network: Network): NetworkId {
  if (typeof network === "string") return network;
  return network.address * 64 + network.prefixLength;
}
