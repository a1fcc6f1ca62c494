/** Four-tuples: which connection of fake TCP, of either family. */
import { hash } from "../../wire/hash.ts";
import { type HostAddress, ipv6At, ipv6Bytes, isIpv6 } from "../../wire/host_address.ts";
import * as ipv4 from "../../wire/ipv4.ts";
import * as ipv6 from "../../wire/ipv6.ts";
import * as tcp from "../../wire/tcp.ts";

/** Words of an IPv6 address; of an IPv4 address there is one. */
const IPV6_WORDS = 4;

export interface FourTuple {
  /** Both addresses in words of 32 bits, the far end's before ours, as in a packet that has come: 2 of IPv4, else 8. */
  readonly addresses: Int32Array;
  /** Host order. */
  readonly localPort: number;
  readonly remotePort: number;
}

/** The addresses of a four-tuple, both of one family. */
export function addressPair(remote: HostAddress, local: HostAddress): Int32Array {
  return Int32Array.of(...wordsOf(remote), ...wordsOf(local));
}

function wordsOf(address: HostAddress): number[] {
  if (!isIpv6(address)) return [address];
  const view = new DataView(ipv6Bytes(address).buffer);
  return Array.from({ length: IPV6_WORDS }, (_, i) => view.getInt32(4 * i));
}

/** Whether a connection is one of IPv6. */
export function isTuple6({ addresses }: Pick<FourTuple, "addresses">): boolean {
  return addresses.length > 2;
}

/** Our address: of IPv4 as a uint32. */
export function localAddressOf({ addresses }: Pick<FourTuple, "addresses">): HostAddress {
  if (addresses.length === 2) return addresses[1] >>> 0;
  const view = new DataView(new ArrayBuffer(4 * IPV6_WORDS));
  for (let i = 0; i < IPV6_WORDS; i++) view.setInt32(4 * i, addresses[IPV6_WORDS + i]);
  return ipv6At(view, 0);
}

/**
 * The party that can choose the far end's address, by a hash: an address of IPv4, a /64 of IPv6.
 *
 * @param seed a number that nobody outside knows
 */
export function partyOf({ addresses }: Pick<FourTuple, "addresses">, seed: number): number {
  return hash(addresses[0], addresses.length > 2 ? addresses[1] : 0, seed);
}

/** Bytes of the IP and TCP headers before each of its datagrams. */
export function headersSizeOf({ addresses }: Pick<FourTuple, "addresses">): number {
  return tcp.MIN_HEADER_SIZE + (addresses.length > 2 ? ipv6.HEADER_SIZE : ipv4.MIN_HEADER_SIZE);
}

/** Where the addresses of a packet stand, the sender's first. */
export function addressesOffset(view: DataView, packet: number): number {
  return packet +
    (ipv6.isIpv6(view, packet) ? ipv6.SOURCE_ADDRESS_OFFSET : ipv4.SOURCE_ADDRESS_OFFSET);
}

/** Bytes of each of them. */
export function addressSize(view: DataView, packet: number): number {
  return 4 * (ipv6.isIpv6(view, packet) ? IPV6_WORDS : 1);
}

/** The four-tuple of a packet that has come, whose TCP header stands at `segment`. */
export function readTuple(view: DataView, packet: number, segment: number): FourTuple {
  const at = addressesOffset(view, packet);
  const addresses = new Int32Array(addressSize(view, packet) / 2);
  for (let i = 0; i < addresses.length; i++) addresses[i] = view.getInt32(at + 4 * i);
  return {
    addresses,
    localPort: tcp.destinationPort(view, segment),
    remotePort: tcp.sourcePort(view, segment),
  };
}
