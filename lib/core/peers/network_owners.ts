/** Network owners: which peer has which allowed network, as changes give them from one to another. */
import type { Ipv4Prefix } from "../wire/ipv4_text.ts";

/** Peers by their key, in base64. */
type Key = string;

export class NetworkOwners {
  /** Peers that lost a network to another. */
  readonly bereft = new Set<Key>();
  readonly #owners = new Map<number, Key>();
  readonly #networks = new Map<Key, Map<number, Ipv4Prefix>>();

  /** Those of these peers, of whom none shares a network with another; in steps. */
  static *of(
    peers: ReadonlyMap<Key, { readonly allowedIps: readonly Ipv4Prefix[] }>,
  ): Generator<void, NetworkOwners> {
    const owners = new NetworkOwners();
    for (const [key, { allowedIps }] of peers) {
      for (const network of allowedIps) owners.give(network, key);
      yield;
    }
    owners.bereft.clear();
    return owners;
  }

  /** The networks of a peer, in the order in which it was given them. */
  networksOf(key: Key): Ipv4Prefix[] {
    return [...this.#networks.get(key)?.values() ?? []];
  }

  /** Gives a network to a peer, no matter who had it. */
  give(network: Ipv4Prefix, key: Key): void {
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
  take(network: Ipv4Prefix, key: Key): void {
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

/** A number for a network; lengths are 0 to 32. */
function networkId({ address, prefixLength }: Ipv4Prefix): number {
  return address * 64 + prefixLength;
}
