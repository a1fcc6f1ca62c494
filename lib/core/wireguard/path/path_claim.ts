/**
 * Path claims: what a router says of the path to a peer, "fragmentation needed" (RFC 1191 section 4) or "packet too
 * big" (RFC 4443 section 3.2), read from the message of ICMP or ICMPv6 as it came.
 *
 * Anybody can send one. It counts only if it quotes a probe of ours up to the index that the peer drew for the session,
 * 32 random bits: who cannot see our datagrams does not know those. The kernel compares addresses and ports alone, and
 * would believe a forged one for ten minutes. A router that quotes no more than 8 bytes behind the IP header, as RFC
 * 792 lets it, cannot be told from a forger, and is not believed.
 */
import { finish, sum } from "../../wire/checksum.ts";
import { IPV6_SIZE, ipv6At, isIpv6 } from "../../wire/host_address.ts";
import * as icmp from "../../wire/icmp.ts";
import * as icmpv6 from "../../wire/icmpv6.ts";
import * as ipv4 from "../../wire/ipv4.ts";
import * as ipv6 from "../../wire/ipv6.ts";
import { MESSAGE_TRANSPORT, TRANSPORT_RECEIVER_OFFSET } from "../../wire/messages.ts";
import * as udp from "../../wire/udp.ts";
import { Transport } from "../../transport/transport.ts";
import type { SocketAddress } from "../../wire/socket_address.ts";
import { OUTER_HEADERS6_SIZE, OUTER_HEADERS_SIZE } from "../constants.ts";

const CODE_FRAGMENTATION_NEEDED = 4;
/** Bytes of a message of ours that have to be quoted: its type and the index. */
const QUOTED_SIZE = TRANSPORT_RECEIVER_OFFSET + 4;
/** What every path takes (RFC 791 section 3.2). Less is no claim; an older router says 0 (RFC 1191 section 5). */
const LEAST_MTU = 68;

/** The same of IPv6 (RFC 8201 section 4: a smaller one must not count). */
const LEAST_MTU6 = 1280;

/** One claim, for the use with many messages in turn: a flood of them is to cost no memory. */
export class PathClaim {
  /** Bytes of the longest packet that the path takes; over IPv6 less what its header is longer, as with all paths. */
  mtu = 0;
  /** Where the quoted datagram went, host order; where that was by IPv6, of no meaning. */
  address = 0;
  #isIpv6 = false;
  /** The same of IPv6: texts would cost memory before it is known whether the claim is a forger's. */
  readonly #address6 = new DataView(new ArrayBuffer(IPV6_SIZE));
  port = 0;
  /** The peer's index of the session. */
  remoteIndex = 0;

  /**
   * Takes the claim from `length` bytes of an ICMP packet, IP header included.
   *
   * @param port ours, that the quoted datagram came from
   * @returns false where there is no claim that could count
   */
  read(view: DataView, length: number, port: number): boolean {
    const message = headerEnd(view, 0, length);
    if (message < 0 || length < message + icmp.HEADER_SIZE) return false;
    if (
      icmp.type(view, message) !== icmp.TYPE_DESTINATION_UNREACHABLE ||
      icmp.code(view, message) !== CODE_FRAGMENTATION_NEEDED
    ) return false;
    const quoted = message + icmp.HEADER_SIZE;
    const transport = headerEnd(view, quoted, length);
    if (transport < 0 || ipv4.protocol(view, quoted) !== ipv4.PROTOCOL_UDP) return false;
    const payload = transport + udp.HEADER_SIZE;
    if (length < payload + QUOTED_SIZE) return false;
    // Nothing but probes has DF, and without it no router complains.
    if (!ipv4.dontFragment(view, quoted) || ipv4.fragmentOffset(view, quoted) !== 0) return false;
    if (udp.sourcePort(view, transport) !== port) return false;
    if (view.getUint32(payload, true) !== MESSAGE_TRANSPORT) return false;
    const mtu = view.getUint16(message + icmp.NEXT_HOP_MTU_OFFSET);
    if (mtu < LEAST_MTU || mtu >= ipv4.totalLength(view, quoted)) return false;
    // Raw sockets are given messages before the kernel checks them.
    if (finish(sum(view, message, length - message)) !== 0) return false;
    this.mtu = mtu;
    this.#isIpv6 = false;
    this.address = ipv4.destinationAddress(view, quoted);
    this.port = udp.destinationPort(view, transport);
    this.remoteIndex = view.getUint32(payload + TRANSPORT_RECEIVER_OFFSET, true);
    return true;
  }

  /**
   * The same of `length` bytes of ICMPv6, which begin with its header. It needs no DF, which IPv6 has none of, and the
   * kernel has looked at the checksum.
   */
  readIpv6(view: DataView, length: number, port: number): boolean {
    const quoted = icmpv6.HEADER_SIZE;
    const transport = quoted + ipv6.HEADER_SIZE;
    const payload = transport + udp.HEADER_SIZE;
    if (length < payload + QUOTED_SIZE) return false;
    if (
      icmpv6.type(view, 0) !== icmpv6.TYPE_PACKET_TOO_BIG || !ipv6.isIpv6(view, quoted) ||
      view.getUint8(quoted + ipv6.NEXT_HEADER_OFFSET) !== ipv4.PROTOCOL_UDP ||
      udp.sourcePort(view, transport) !== port ||
      view.getUint32(payload, true) !== MESSAGE_TRANSPORT
    ) return false;
    const mtu = view.getUint32(icmpv6.MTU_OFFSET);
    if (mtu < LEAST_MTU6 || mtu >= ipv6.totalLength(view, quoted)) return false;
    this.mtu = mtu - (OUTER_HEADERS6_SIZE - OUTER_HEADERS_SIZE);
    this.#isIpv6 = true;
    for (let i = 0; i < IPV6_SIZE; i += 4) {
      this.#address6.setInt32(i, view.getInt32(quoted + ipv6.DESTINATION_ADDRESS_OFFSET + i));
    }
    this.port = udp.destinationPort(view, transport);
    this.remoteIndex = view.getUint32(payload + TRANSPORT_RECEIVER_OFFSET, true);
    return true;
  }

  /** Whether the quoted datagram went to this endpoint. */
  isAbout(
    { address, port, transport }: SocketAddress & { readonly transport: Transport },
  ): boolean {
    if (transport !== Transport.udp || port !== this.port) return false;
    if (isIpv6(address) !== this.#isIpv6) return false;
    return address === (this.#isIpv6 ? ipv6At(this.#address6, 0) : this.address >>> 0);
  }
}

/** Where an IPv4 header ends; -1 where it is none, or cut off. */
export function headerEnd(view: DataView, at: number, length: number): number {
  if (length < at + ipv4.MIN_HEADER_SIZE || ipv4.version(view, at) !== 4) return -1;
  const size = ipv4.headerSize(view, at);
  return size < ipv4.MIN_HEADER_SIZE || length < at + size ? -1 : at + size;
}
