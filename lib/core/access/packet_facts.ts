/**
 * Packet facts: what of a packet access is decided by, and the key of its flow, which is the same for both directions.
 *
 * A family has a reader here that fills in the same fields; nothing behind it knows which family a packet is of.
 */
import { IPV4_WORD } from "./inner_address.ts";
import { isLaterFragment } from "../nat/rewrite.ts";
import * as icmp from "../wire/icmp.ts";
import * as icmpv6 from "../wire/icmpv6.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import * as tcp from "../wire/tcp.ts";
import * as udp from "../wire/udp.ts";

/** Words of a key: the lower address, the higher one, their ports, and what the flow is. */
export const KEY_WORDS = 10;
/** Where its parts are behind the lower address; the protocol is the lowest byte of what the flow is. */
export const HIGHER = 4;
export const PORTS = 8;
export const KIND = 9;

/** Above the protocol in the last word: the asker of an ICMP query, or the sender of a fragment, is the lower end. */
const LOWER_SENDS = 1 << 8;
/** The fragments of one packet: the identification stands for the ports. */
const TRAIN = 1 << 9;

/** Stands for a port where there is none. */
export const NO_PORT = -1;

export class PacketFacts {
  readonly source: Int32Array = new Int32Array(4);
  readonly destination: Int32Array = new Int32Array(4);
  /** Of ICMPv6 that of ICMP, as rules know one; of each in the other's family, where it is neither, ICMPv6's. */
  protocol = 0;
  /** Of which family's ICMP the packet is: 4, 6, or 0 for none. */
  #icmpFamily: 0 | 4 | 6 = 0;
  /** `NO_PORT` where the protocol has none, or the packet is a later fragment; an ICMP query's identifier as both. */
  sourcePort = NO_PORT;
  destinationPort = NO_PORT;
  /** Whether it is one of several fragments; whether it is one without ports. */
  isFragment = false;
  isLater = false;
  identification = 0;
  /** Of TCP, 0 else. */
  flags = 0;
  isIcmpError = false;
  /** Whether it answers an ICMP query. */
  isReply = false;
  /** Where what an ICMP error quotes begins. */
  quoted = 0;
  readonly key: Int32Array = new Int32Array(KEY_WORDS);
  /** Whether the sender is the lower end of the key. */
  isFromLower = false;

  /** Whether a segment asks for a connection. */
  get asksForConnection(): boolean {
    return (this.flags & (tcp.FLAG_SYN | tcp.FLAG_ACK)) === tcp.FLAG_SYN;
  }

  /** Reads a packet that has passed `checkIpv4()` or `checkIpv6()`. Returns where it ends. */
  read(view: DataView, packet: number): number {
    if (ipv6.isIpv6(view, packet)) {
      const upper = ipv6.upperLayer(view, packet);
      this.#readIpv6Header(view, packet, upper);
      if (!this.isLater) this.#readTransport(view, packet + ipv6.headersSizeOf(upper));
      return packet + ipv6.totalLength(view, packet);
    }
    this.#readIpv4Header(view, packet);
    if (!this.isLater) this.#readTransport(view, packet + ipv4.headerSize(view, packet));
    return packet + ipv4.totalLength(view, packet);
  }

  /**
   * Reads what an ICMP error quotes, as far as it goes.
   *
   * @param end of the packet that quotes it
   * @returns false where that is no packet with a flow
   */
  readQuoted(view: DataView, packet: number, end: number): boolean {
    if (packet + ipv4.MIN_HEADER_SIZE > end) return false;
    if (ipv6.isIpv6(view, packet)) return this.#readQuotedIpv6(view, packet, end);
    if (ipv4.version(view, packet) !== 4) return false;
    const header = ipv4.headerSize(view, packet);
    // RFC 792: eight bytes of the transport header, which has the ports, and an ICMP query's identifier.
    if (header < ipv4.MIN_HEADER_SIZE || packet + header + udp.HEADER_SIZE > end) return false;
    this.#readIpv4Header(view, packet);
    if (this.isLater) return false;
    this.#readTransport(view, packet + header, true);
    return !this.isIcmpError;
  }

  /** Extension headers are not looked behind: what is quoted may be cut off anywhere. */
  #readQuotedIpv6(view: DataView, packet: number, end: number): boolean {
    if (packet + ipv6.HEADER_SIZE + udp.HEADER_SIZE > end) return false;
    const protocol = view.getUint8(packet + ipv6.NEXT_HEADER_OFFSET);
    this.#readIpv6Header(view, packet, protocol);
    this.#readTransport(view, packet + ipv6.HEADER_SIZE, true);
    return !this.isIcmpError;
  }

  #readIpv4Header(view: DataView, packet: number): void {
    const { source, destination } = this;
    source[0] =
      source[1] =
      destination[0] =
      destination[1] =
        0;
    source[2] = destination[2] = IPV4_WORD;
    source[3] = view.getInt32(packet + ipv4.SOURCE_ADDRESS_OFFSET);
    destination[3] = view.getInt32(packet + ipv4.DESTINATION_ADDRESS_OFFSET);
    this.protocol = ipv4.protocol(view, packet);
    this.#icmpFamily = this.protocol === ipv4.PROTOCOL_ICMP ? 4 : 0;
    this.isLater = isLaterFragment(view, packet);
    this.isFragment = this.isLater || ipv4.moreFragments(view, packet);
    this.identification = ipv4.identification(view, packet);
    this.sourcePort = this.destinationPort = NO_PORT;
    this.flags = 0;
    this.isIcmpError = this.isReply = false;
  }

  /** @param upper what `ipv6.upperLayer()` says of it */
  #readIpv6Header(view: DataView, packet: number, upper: number): void {
    for (let i = 0; i < 4; i++) {
      this.source[i] = view.getInt32(packet + ipv6.SOURCE_ADDRESS_OFFSET + 4 * i);
      this.destination[i] = view.getInt32(packet + ipv6.DESTINATION_ADDRESS_OFFSET + 4 * i);
    }
    const protocol = ipv6.protocolOf(upper);
    this.#icmpFamily = protocol === ipv6.PROTOCOL_ICMPV6 ? 6 : 0;
    this.protocol = protocol === ipv6.PROTOCOL_ICMPV6
      ? ipv4.PROTOCOL_ICMP
      : protocol === ipv4.PROTOCOL_ICMP
      ? ipv6.PROTOCOL_ICMPV6
      : protocol;
    this.isLater = ipv6.isLaterFragment(upper);
    this.isFragment = ipv6.isFragment(upper);
    this.identification = this.isFragment ? ipv6.identification(view, packet) : 0;
    this.sourcePort = this.destinationPort = NO_PORT;
    this.flags = 0;
    this.isIcmpError = this.isReply = false;
  }

  /** @param isQuoted whether the header may be cut off behind its first eight bytes */
  #readTransport(view: DataView, transport: number, isQuoted = false): void {
    const { protocol } = this;
    if (protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP) {
      this.sourcePort = view.getUint16(transport + udp.SOURCE_PORT_OFFSET);
      this.destinationPort = view.getUint16(transport + udp.DESTINATION_PORT_OFFSET);
      if (protocol === ipv4.PROTOCOL_TCP && !isQuoted) this.flags = tcp.flags(view, transport);
    } else if (this.#icmpFamily === 4) {
      const type = icmp.type(view, transport);
      this.isIcmpError = icmp.isError(type);
      this.isReply = icmp.isReply(type);
      this.quoted = transport + icmp.HEADER_SIZE;
      if (icmp.isQuery(type)) {
        this.sourcePort = this.destinationPort = icmp.identifier(view, transport);
      }
    } else if (this.#icmpFamily === 6) {
      const type = icmpv6.type(view, transport);
      this.isIcmpError = icmpv6.isError(type);
      this.isReply = type === icmpv6.TYPE_ECHO_REPLY;
      this.quoted = transport + icmpv6.HEADER_SIZE;
      if (this.isReply || type === icmpv6.TYPE_ECHO) {
        this.sourcePort = this.destinationPort = icmpv6.identifier(view, transport);
      }
    }
  }

  /** Makes `key` that of the packet's flow. */
  nameFlow(): void {
    const { sourcePort, destinationPort, key } = this;
    const isFromLower = this.#nameEnds();
    key[PORTS] = isFromLower
      ? sourcePort << 16 | destinationPort & 0xffff
      : destinationPort << 16 | sourcePort & 0xffff;
    // What asks the other way round is another flow, though it may have the same identifier.
    const asks = this.protocol === ipv4.PROTOCOL_ICMP && isFromLower !== this.isReply;
    key[KIND] = this.protocol | (asks ? LOWER_SENDS : 0);
  }

  /** Makes `key` that of the fragments which the packet is one of. */
  nameTrain(): void {
    const isFromLower = this.#nameEnds();
    this.key[PORTS] = this.identification;
    this.key[KIND] = this.protocol | TRAIN | (isFromLower ? LOWER_SENDS : 0);
  }

  #nameEnds(): boolean {
    const { source, destination, key } = this;
    const isFromLower = this.isFromLower = isLower(source, destination);
    const lower = isFromLower ? source : destination;
    const higher = isFromLower ? destination : source;
    // One by one: it is done for each packet, and a loop costs more.
    key[0] = lower[0];
    key[1] = lower[1];
    key[2] = lower[2];
    key[3] = lower[3];
    key[4] = higher[0];
    key[5] = higher[1];
    key[6] = higher[2];
    key[7] = higher[3];
    return isFromLower;
  }

  /** Makes it a packet of the same flow from the other end. */
  turnRound(): void {
    const { source, destination, sourcePort } = this;
    for (let i = 0; i < 4; i++) {
      const word = source[i];
      source[i] = destination[i];
      destination[i] = word;
    }
    this.sourcePort = this.destinationPort;
    this.destinationPort = sourcePort;
    this.isReply = !this.isReply;
    this.isFromLower = !this.isFromLower;
  }
}

/** Any order of addresses does; this is that of their words. */
function isLower(one: Int32Array, other: Int32Array): boolean {
  if (one[0] !== other[0]) return one[0] < other[0];
  if (one[1] !== other[1]) return one[1] < other[1];
  if (one[2] !== other[2]) return one[2] < other[2];
  return one[3] < other[3];
}
