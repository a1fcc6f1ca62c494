/** Addresses of peers that are many: inner ones for allowed IPs, outer ones for a storm of handshakes. */
import { formatIpv4, parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";

/** Inner addresses, from RFC 1918. */
const INSIDE = parseIpv4("10.77.0.0")!;
/** An address of the server's own in the inner addresses' network, behind all of theirs. */
export const PEERS_SERVER = "10.77.255.254/16";
/** Outer addresses, from the network for benchmarks (RFC 2544). */
const OUTSIDE = parseIpv4("198.18.0.0")!;
/** The network of the outer addresses. */
export const OUTSIDE_NETWORK = "198.18.0.0/16";

/** The inner address of peer `index`, from 0 on. */
export function peerAddress(index: number): string {
  return formatIpv4(INSIDE + 1 + index);
}

/** The outer address of peer `index`, host order. */
export function peerOutside(index: number): number {
  return OUTSIDE + 1 + index;
}
