/**
 * IPv6 headers, as the NAT reads and writes them. Addresses are their numbers in a table; ICMPv6 is called ICMP, and
 * no other protocol is.
 *
 * No router divides a packet of IPv6, and only one that is a fragment has an identification. All transport checksums,
 * ICMPv6's too, cover the addresses (RFC 8200 section 8.1).
 */
import { finish, fold, pseudoHeaderSum6, sum, udpChecksum } from "../../wire/checksum.ts";
import { hash } from "../../wire/hash.ts";
import { type HostAddress, IPV6_SIZE, ipv6Bytes, isIpv6 } from "../../wire/host_address.ts";
import * as icmp from "../../wire/icmp.ts";
import * as icmpv6 from "../../wire/icmpv6.ts";
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from "../../wire/ipv4.ts";
import * as ipv6 from "../../wire/ipv6.ts";
import type { Memory } from "../../wire/memory.ts";
import * as tcp from "../../wire/tcp.ts";
import * as udp from "../../wire/udp.ts";
import { mayAnswer6, writeIcmpv6Checksum, writeIcmpv6Error } from "../icmp/icmpv6_error.ts";
import { AddressTable, AS_IT_IS } from "./address_table.ts";
import { type End, type Headers, IcmpKind, RefusedAs, SOURCE } from "./headers.ts";

/** Bytes of the quoted transport header where the ports are; all errors have many more (RFC 4443 section 2.4 (c)). */
const QUOTED_TRANSPORT_SIZE = 8;
/** Of a protocol that is none of those which are translated. */
const OTHER = 0xff;

export class Ipv6Headers implements Headers {
  readonly holds: AddressTable;
  readonly minPathMtu: number = ipv6.MIN_LINK_MTU;
  readonly mssOverhead: number = ipv6.HEADER_SIZE + tcp.MIN_HEADER_SIZE;
  readonly identificationMask = -1;
  readonly addressesOffset: number = ipv6.SOURCE_ADDRESS_OFFSET;
  readonly addressesSize: number = ipv6.ADDRESSES_SIZE;
  readonly #memory: Memory;
  readonly #view: DataView;
  readonly #seed: number;

  /** @param seed random and secret */
  constructor(memory: Memory, seed: number) {
    this.#memory = memory;
    this.#view = memory.view;
    this.#seed = seed | 0;
    this.holds = new AddressTable(seed);
  }

  numberOf(address: HostAddress | null): number {
    if (address === null || !isIpv6(address)) return AS_IT_IS;
    const number = this.holds.enter(new DataView(ipv6Bytes(address).buffer), 0);
    this.holds.retain(number);
    return number;
  }

  enter(packet: number): void {
    this.holds.tidy();
    this.holds.enter(this.#view, packet + ipv6.SOURCE_ADDRESS_OFFSET);
    this.holds.enter(this.#view, packet + ipv6.DESTINATION_ADDRESS_OFFSET);
  }

  source(packet: number): number {
    return this.holds.find(this.#view, packet + ipv6.SOURCE_ADDRESS_OFFSET);
  }

  destination(packet: number): number {
    return this.holds.find(this.#view, packet + ipv6.DESTINATION_ADDRESS_OFFSET);
  }

  senderKey(packet: number): number {
    const view = this.#view;
    const at = packet + ipv6.SOURCE_ADDRESS_OFFSET;
    const network = hash(view.getInt32(at), view.getInt32(at + 4), this.#seed);
    return hash(view.getInt32(at + 8), view.getInt32(at + 12), network);
  }

  totalLength(packet: number): number {
    return ipv6.totalLength(this.#view, packet);
  }

  transport(packet: number): number {
    return packet + ipv6.headersSizeOf(ipv6.upperLayer(this.#view, packet));
  }

  protocol(packet: number): number {
    const upper = ipv6.upperLayer(this.#view, packet);
    const protocol = ipv6.protocolOf(upper);
    // It cannot be given other addresses.
    if (ipv6.isAuthenticated(upper)) return ipv6.AUTHENTICATION;
    if (protocol === ipv6.PROTOCOL_ICMPV6) return PROTOCOL_ICMP;
    return protocol === PROTOCOL_ICMP ? OTHER : protocol;
  }

  hopLimit(packet: number): number {
    return ipv6.hopLimit(this.#view, packet);
  }

  isLaterFragment(packet: number): boolean {
    return ipv6.isLaterFragment(ipv6.upperLayer(this.#view, packet));
  }

  isFirstFragment(packet: number): boolean {
    return ipv6.isFragment(ipv6.upperLayer(this.#view, packet));
  }

  mayBeDivided(): boolean {
    return false;
  }

  isIdentified(packet: number): boolean {
    return ipv6.isFragment(ipv6.upperLayer(this.#view, packet));
  }

  identification(packet: number): number {
    return ipv6.identification(this.#view, packet);
  }

  rewriteAddress(packet: number, end: End, address: number): void {
    this.#replaceAddress(packet + addressOffset(end), address);
  }

  rewriteEndpoint(
    packet: number,
    available: number,
    end: End,
    address: number,
    port: number,
  ): void {
    const view = this.#view;
    const upper = ipv6.upperLayer(view, packet);
    const protocol = ipv6.protocolOf(upper);
    const transport = packet + ipv6.headersSizeOf(upper);
    const change = this.#replaceAddress(packet + addressOffset(end), address);

    const isIcmp = protocol === ipv6.PROTOCOL_ICMPV6;
    const portAt = transport + (isIcmp ? icmp.IDENTIFIER_OFFSET : 2 * end);
    const oldPort = view.getUint16(portAt);
    view.setUint16(portAt, port);

    const checksumAt = transport + checksumOffset(protocol);
    if (checksumAt + 2 > packet + available) return;
    const checksum = view.getUint16(checksumAt);
    // No checksum stays none: tunnels may do without (RFC 6935).
    if (checksum === 0 && protocol === PROTOCOL_UDP) return;
    // RFC 1624 equation 3, of all that has changed.
    const updated = finish(fold((~checksum & 0xffff) + change + (~oldPort & 0xffff) + port));
    view.setUint16(checksumAt, protocol === PROTOCOL_UDP ? udpChecksum(updated) : updated);
  }

  /** Replaces the address at `at`. Returns what that adds to a checksum's complement: `~m + m'` of each word. */
  #replaceAddress(at: number, address: number): number {
    if (address === AS_IT_IS) return 0;
    const view = this.#view;
    const { view: known } = this.holds;
    const from = this.holds.offsetOf(address);
    let change = 0;
    for (let i = 0; i < IPV6_SIZE; i += 4) {
      const before = ~view.getInt32(at + i);
      const after = known.getInt32(from + i);
      view.setInt32(at + i, after);
      change += (before >>> 16) + (before & 0xffff) + (after >>> 16) + (after & 0xffff);
    }
    return change;
  }

  rewriteIdentification(packet: number, identification: number): void {
    this.#view.setInt32(ipv6.identificationAt(this.#view, packet), identification);
  }

  decrementHopLimit(packet: number): void {
    this.#view.setUint8(
      packet + ipv6.HOP_LIMIT_OFFSET,
      ipv6.hopLimit(this.#view, packet) - 1,
    );
  }

  icmpKind(message: number): IcmpKind {
    const type = icmpv6.type(this.#view, message);
    if (icmpv6.isError(type)) return IcmpKind.error;
    if (type === icmpv6.TYPE_ECHO) return IcmpKind.echo;
    return type === icmpv6.TYPE_ECHO_REPLY ? IcmpKind.echoReply : IcmpKind.other;
  }

  /** What is between neighbours comes no further than `checkIpv6()`. */
  isRoutable(): boolean {
    return true;
  }

  /** Of extension headers, a fragment's is looked behind: what is quoted may be cut off anywhere. */
  isQuotable(quoted: number, end: number): boolean {
    const view = this.#view;
    let headers = ipv6.HEADER_SIZE;
    if (quoted + headers + QUOTED_TRANSPORT_SIZE > end || !ipv6.isIpv6(view, quoted)) return false;
    let protocol = ipv6.nextHeader(view, quoted);
    if (protocol === ipv6.FRAGMENT) {
      protocol = view.getUint8(quoted + headers);
      headers += ipv6.FRAGMENT_HEADER_SIZE;
    }
    if (
      quoted + headers + QUOTED_TRANSPORT_SIZE > end ||
      protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP && protocol !== ipv6.PROTOCOL_ICMPV6
    ) return false;
    // Its own length may be as wrong as all else.
    const upper = ipv6.upperLayer(view, quoted);
    return upper >= 0 && !ipv6.isLaterFragment(upper);
  }

  isIntact(packet: number, message: number): boolean {
    const view = this.#view;
    const size = packet + ipv6.totalLength(view, packet) - message;
    const addresses = packet + ipv6.SOURCE_ADDRESS_OFFSET;
    const pseudoHeader = pseudoHeaderSum6(view, addresses, ipv6.PROTOCOL_ICMPV6, size);
    return finish(sum(view, message, size, pseudoHeader)) === 0;
  }

  writeIcmpChecksum(packet: number, message: number): void {
    const size = packet + ipv6.totalLength(this.#view, packet) - message;
    writeIcmpv6Checksum(this.#view, packet, message, size);
  }

  mayAnswer(packet: number): boolean {
    return mayAnswer6(this.#view, packet);
  }

  writeError(at: number, packet: number, refusal: RefusedAs, mtu: number, source: number): void {
    const error = { type: TYPES[refusal], code: CODES[refusal], mtu };
    const { holds } = this;
    writeIcmpv6Error(this.#memory, at, packet, error, holds.view, holds.offsetOf(source));
  }
}

/** By `RefusedAs`. */
const TYPES = [
  icmpv6.TYPE_PACKET_TOO_BIG,
  icmpv6.TYPE_TIME_EXCEEDED,
  icmpv6.TYPE_DESTINATION_UNREACHABLE,
  icmpv6.TYPE_DESTINATION_UNREACHABLE,
] as const;
const CODES = [0, 0, icmpv6.CODE_PROHIBITED, icmpv6.CODE_PROHIBITED] as const;

function addressOffset(end: End): number {
  return end === SOURCE ? ipv6.SOURCE_ADDRESS_OFFSET : ipv6.DESTINATION_ADDRESS_OFFSET;
}

function checksumOffset(protocol: number): number {
  return protocol === PROTOCOL_TCP
    ? tcp.CHECKSUM_OFFSET
    : protocol === PROTOCOL_UDP
    ? udp.CHECKSUM_OFFSET
    : icmpv6.CHECKSUM_OFFSET;
}
