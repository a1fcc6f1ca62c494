/**
 * Path slot: the 64 bytes of a path, which begin with the far end's socket address as the kernel takes it (`struct
 * sockaddr_in` or `sockaddr_in6`):
 *
 * ```text
 *              IPv4                       IPv6
 *  0  family   2, AF_INET                 2, AF_INET6           in the host's order
 *  2  port     2                          2                     network order, as all below
 *  4           4, the address             4, flow label: zero
 *  8          16, zeros                  16, the address
 * 24           4, zeros                   4, interface of a link-local address, in the host's order; else zero
 * 28  ours     4, and zeros              16, our own address; 0 lets the kernel choose
 * 44  transport                           1
 * 45  zeros                              19
 * ```
 */
import { hash } from "../wire/hash.ts";
import { type HostAddress, ipv6At, ipv6Bytes } from "../wire/host_address.ts";

export const PATH_SLOT_SIZE = 64;
export const PATH_PORT_OFFSET = 2;
export const PATH_ADDRESS_OFFSET = 4;
export const PATH_ADDRESS6_OFFSET = 8;
const PATH_SCOPE_OFFSET = 24;
export const PATH_SOURCE_OFFSET = 28;
export const PATH_TRANSPORT_OFFSET = 44;
/** Bytes by which two paths are told apart; a multiple of 4. */
export const IDENTITY_SIZE = 48;
/** Bytes of `struct sockaddr_in6`. */
const SOCKET_ADDRESS_SIZE = 28;

/** AF_INET and AF_INET6, of which the first byte is enough. */
const FAMILY_IPV4 = 2;
const FAMILY_IPV6 = 10;

/** A slot's first four bytes, less the port of IPv4, read as one number. */
export const IPV4_PREFIX: number = FAMILY_IPV4 << 24;

/** Whether the slot at `at` is one of IPv6. */
export function isSlot6(view: DataView, at: number): boolean {
  return view.getUint8(at) === FAMILY_IPV6;
}

/** Writes family, port and address of IPv6 to the beginning of a slot that is zero there. */
export function writeSocketAddress6(
  view: DataView<ArrayBuffer>,
  at: number,
  address: string,
  port: number,
): void {
  view.setUint8(at, FAMILY_IPV6);
  view.setUint16(at + PATH_PORT_OFFSET, port);
  new Uint8Array(view.buffer).set(ipv6Bytes(address), at + PATH_ADDRESS6_OFFSET);
}

/**
 * Writes a slot's identity from a `struct sockaddr_in6` at `name` of `from`, and our own address from the 16 bytes at
 * `source` of it, none if that is less than 0. What the sender had in the flow label is left out.
 */
export function copySlot6(
  into: DataView,
  from: DataView,
  name: number,
  source: number,
  transport: number,
): void {
  for (let i = 0; i < SOCKET_ADDRESS_SIZE; i += 4) into.setInt32(i, from.getInt32(name + i));
  into.setInt32(PATH_ADDRESS_OFFSET, 0);
  for (let i = 0; i < 16; i += 4) {
    into.setInt32(PATH_SOURCE_OFFSET + i, source < 0 ? 0 : from.getInt32(source + i));
  }
  into.setInt32(PATH_TRANSPORT_OFFSET, 0);
  into.setUint8(PATH_TRANSPORT_OFFSET, transport);
}

/** Writes a slot's identity from words: the far end's address, and ours behind it, which counts if `hasSource`. */
export function writeSlot6(
  into: DataView,
  words: Int32Array,
  port: number,
  hasSource: boolean,
  transport: number,
): void {
  for (let i = 0; i < IDENTITY_SIZE; i += 4) into.setInt32(i, 0);
  into.setUint8(0, FAMILY_IPV6);
  into.setUint16(PATH_PORT_OFFSET, port);
  for (let i = 0; i < 4; i++) {
    into.setInt32(PATH_ADDRESS6_OFFSET + 4 * i, words[i]);
    if (hasSource) into.setInt32(PATH_SOURCE_OFFSET + 4 * i, words[4 + i]);
  }
  into.setUint8(PATH_TRANSPORT_OFFSET, transport);
}

/** The far end's address. */
export function addressOf(view: DataView, at: number): HostAddress {
  return isSlot6(view, at)
    ? ipv6At(view, at + PATH_ADDRESS6_OFFSET)
    : view.getUint32(at + PATH_ADDRESS_OFFSET);
}

/** A hash of all that an IPv6 slot is told apart by. */
export function hashOfSlot6(view: DataView, at: number, seed: number): number {
  return hashOf(view, at, at + IDENTITY_SIZE, seed);
}

/** A hash of an IPv6 slot's address and interface. */
export function hashOfAddress6(view: DataView, at: number, seed: number): number {
  return hashOf(view, at + PATH_ADDRESS6_OFFSET, at + PATH_SCOPE_OFFSET + 4, seed);
}

/** A hash of the first 64 bits of an IPv6 slot's address: what one subscriber has to choose addresses from. */
export function hashOfNetwork6(view: DataView, at: number, seed: number): number {
  return hashOf(view, at + PATH_ADDRESS6_OFFSET, at + PATH_ADDRESS6_OFFSET + 8, seed);
}

function hashOf(view: DataView, from: number, to: number, seed: number): number {
  let hashed = seed;
  for (let at = from; at < to; at += 4) hashed = hash(hashed, view.getInt32(at), seed);
  return hashed;
}

/** Our own address as an int32: that of IPv4 itself, a digest of that of IPv6; 0 where the kernel chooses. */
export function sourceDigestOf(view: DataView, at: number): number {
  const source = at + PATH_SOURCE_OFFSET;
  const first = view.getInt32(source);
  if (!isSlot6(view, at)) return first;
  const [second, third, fourth] = [
    view.getInt32(source + 4),
    view.getInt32(source + 8),
    view.getInt32(source + 12),
  ];
  if ((first | second | third | fourth) === 0) return 0;
  return first ^ second ^ third ^ fourth || 1;
}
