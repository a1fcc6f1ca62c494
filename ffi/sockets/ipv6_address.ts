/** IPv6 socket addresses: where the parts of `struct sockaddr_in6` stand, and which of them mean IPv4. */

/**
 * `struct sockaddr_in6 { u16 sin6_family; be16 sin6_port; be32 sin6_flowinfo; in6_addr sin6_addr; u32 sin6_scope_id;
 * }`; the port stands where `sockaddr_in` has it.
 */
export const SOCKADDR_IN6_SIZE = 28;
export const SOCKADDR_IN6_ADDRESS = 8;
export const SOCKADDR_IN6_SCOPE = 24;
/** In an IPv6 address that maps an IPv4 one (RFC 4291 section 2.5.5.2): the 4 bytes of that. */
export const MAPPED_IPV4 = 12;

/** Whether the 16 bytes at `at` map an IPv4 address: what a socket of both families has in IPv4's place. */
export function isMapped(view: DataView, at: number): boolean {
  return view.getInt32(at) === 0 && view.getInt32(at + 4) === 0 && view.getInt32(at + 8) === 0xffff;
}
