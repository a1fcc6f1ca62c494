/**
 * Path claims: what a router says of the path to a peer, "fragmentation needed" (RFC 1191 section 4), read from the
 * ICMP message as it came.
 *
 * Anybody can send one. It counts only if it quotes a probe of ours up to the index that the peer drew for the session,
 * 32 random bits: who cannot see our datagrams does not know those. The kernel compares addresses and ports alone, and
 * would believe a forged one for ten minutes. A router that quotes no more than 8 bytes behind the IP header, as RFC
 * 792 lets it, cannot be told from a forger, and is not believed.
 */
import { finish, sum } from "../../wire/checksum.ts";
import * as icmp from "../../wire/icmp.ts";
import * as ipv4 from "../../wire/ipv4.ts";
import { MESSAGE_TRANSPORT, TRANSPORT_RECEIVER_OFFSET } from "../../wire/messages.ts";
import * as udp from "../../wire/udp.ts";
import { Transport } from "../../transport/transport.ts";
import type { SocketAddress } from "../../wire/socket_address.ts";

const CODE_FRAGMENTATION_NEEDED = 4;
/** Bytes of a message of ours that have to be quoted: its type and the index. */
const QUOTED_SIZE = TRANSPORT_RECEIVER_OFFSET + 4;
/** What every path takes (RFC 791 section 3.2). Less is no claim; an older router says 0 (RFC 1191 section 5). */
const LEAST_MTU = 68;

/** One claim, for the use with many messages in turn: a flood of them is to cost no memory. */
export class PathClaim {
  /** Bytes of the longest packet that the path takes. */
  mtu = 0;
  /** Where the quoted datagram went, host order. */
  address = 0;
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
    this.address = ipv4.destinationAddress(view, quoted);
    this.port = udp.destinationPort(view, transport);
    this.remoteIndex = view.getUint32(payload + TRANSPORT_RECEIVER_OFFSET, true);
    return true;
  }

  /** Whether the quoted datagram went to this endpoint. */
  isAbout(
    { address, port, transport }: SocketAddress & { readonly transport: Transport },
  ): boolean {
    return transport === Transport.udp && port === this.port && address === this.address >>> 0;
  }
}

/** Where an IPv4 header ends; -1 where it is none, or cut off. */
export function headerEnd(view: DataView, at: number, length: number): number {
  if (length < at + ipv4.MIN_HEADER_SIZE || ipv4.version(view, at) !== 4) return -1;
  const size = ipv4.headerSize(view, at);
  return size < ipv4.MIN_HEADER_SIZE || length < at + size ? -1 : at + size;
}
