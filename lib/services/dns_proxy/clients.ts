/**
 * Clients of the DNS proxy: which peer is at an inner address, so that one with many addresses has no more than its
 * share.
 *
 * That is asked of each query before anything is known of its sender's share: it must cost as little where thousands of
 * peers have networks. So these are kept by their lengths, of which there are few.
 */
import type { DnsClient } from "../../core/dns/cache.ts";
import {
  type HostAddress,
  ipv6Bytes,
  type Ipv6Text,
  isIpv6,
} from "../../core/wire/host_address.ts";
import { prefixMask } from "../../core/wire/ipv4_text.ts";
import {
  type Ipv6PrefixText,
  maskBytes6,
  MAX_PREFIX6,
  splitCidr6,
} from "../../core/wire/ipv6_prefix.ts";
import { FollowedPeers, type PeerNetworks } from "./followed_peers.ts";

/** Peers' keys by networks of one length. */
interface Networks<Network> {
  readonly prefixLength: number;
  readonly keys: Map<Network, string>;
}

export class ClientDirectory {
  /** The longest prefixes first. Networks of IPv6 in hexadecimal, whole addresses as they are written. */
  #networks: readonly Networks<number>[] = [];
  #networks6: readonly Networks<string>[] = [];
  readonly #peers: FollowedPeers<PeerNetworks | null>;

  /** @param peers by their keys, as they are now: another map when they have changed */
  constructor(peers: () => ReadonlyMap<string, PeerNetworks>) {
    this.#peers = new FollowedPeers<PeerNetworks | null>({
      peers,
      replace: (key, peer, known) => {
        if (known) this.#remove(key, known);
        if (peer !== null) this.#add(key, peer);
        return peer;
      },
      onComplete: () => {
        this.#networks = this.#networks.filter(({ keys }) => keys.size > 0);
        this.#networks6 = this.#networks6.filter(({ keys }) => keys.size > 0);
      },
    });
  }

  /** Resolves when it is known where all peers are that are there now. */
  settled(): Promise<void> {
    return this.#peers.settled();
  }

  /** The peer that has an address, by its key; the address itself where none is known to have it. */
  at(address: HostAddress): DnsClient {
    this.#peers.look();
    if (!isIpv6(address)) {
      for (const { prefixLength, keys } of this.#networks) {
        const key = keys.get(networkOf(address, prefixLength));
        if (key !== undefined) return key;
      }
      return address;
    }
    const bytes = ipv6Bytes(address);
    for (const { prefixLength, keys } of this.#networks6) {
      const key = keys.get(networkOf6(address, bytes, prefixLength));
      if (key !== undefined) return key;
    }
    return address;
  }

  #remove(key: string, { allowedIps, allowedIps6 }: PeerNetworks): void {
    for (const { address, prefixLength } of allowedIps) {
      forget(this.#networks, prefixLength, networkOf(address, prefixLength), key);
    }
    for (const [network, prefixLength] of allowedIps6.map(read6)) {
      forget(this.#networks6, prefixLength, network, key);
    }
  }

  #add(key: string, { allowedIps, allowedIps6 }: PeerNetworks): void {
    for (const { address, prefixLength } of allowedIps) {
      this.#networks = withLength(this.#networks, prefixLength);
      keysOf(this.#networks, prefixLength)!.set(networkOf(address, prefixLength), key);
    }
    for (const [network, prefixLength] of allowedIps6.map(read6)) {
      this.#networks6 = withLength(this.#networks6, prefixLength);
      keysOf(this.#networks6, prefixLength)!.set(network, key);
    }
  }
}

/** Host order, unsigned. */
function networkOf(address: number, prefixLength: number): number {
  return (address & prefixMask(prefixLength)) >>> 0;
}

/** @param bytes those of the address */
function networkOf6(
  address: Ipv6Text,
  bytes: Uint8Array<ArrayBuffer>,
  prefixLength: number,
): string {
  return prefixLength === MAX_PREFIX6 ? address : maskBytes6(bytes, prefixLength).toHex();
}

/** A network as it is looked for, and its length. */
function read6(network: Ipv6PrefixText): [string, number] {
  const { address, prefixLength } = splitCidr6(network);
  // Most are whole addresses, and thousands may be read at once.
  const isWhole = prefixLength === MAX_PREFIX6;
  return [
    isWhole ? address : networkOf6(address, ipv6Bytes(address), prefixLength),
    prefixLength,
  ];
}

/** Forgets whose a network is, unless another has it by now. */
function forget<Network>(
  networks: readonly Networks<Network>[],
  prefixLength: number,
  network: Network,
  key: string,
): void {
  const keys = keysOf(networks, prefixLength);
  if (keys?.get(network) === key) keys.delete(network);
}

function keysOf<Network>(
  networks: readonly Networks<Network>[],
  prefixLength: number,
): Map<Network, string> | undefined {
  return networks.find((each) => each.prefixLength === prefixLength)?.keys;
}

function withLength<Network>(
  networks: readonly Networks<Network>[],
  prefixLength: number,
): readonly Networks<Network>[] {
  if (keysOf(networks, prefixLength) !== undefined) return networks;
  const keys = new Map<Network, string>();
  return [...networks, { prefixLength, keys }].sort((a, b) => b.prefixLength - a.prefixLength);
}
