/** IPv4 headers, as the NAT reads and writes them. Addresses are themselves, signed; those that are no host's, none. */
import { finish, sum } from "../../wire/checksum.ts";
import { type HostAddress, isIpv6 } from "../../wire/host_address.ts";
import * as icmp from "../../wire/icmp.ts";
import * as ipv4 from "../../wire/ipv4.ts";
import type { Memory } from "../../wire/memory.ts";
import * as tcp from "../../wire/tcp.ts";
import { destinationAddress, sourceAddress } from "../addresses.ts";
import {
  CODE_ADMINISTRATIVELY_PROHIBITED,
  CODE_FRAGMENTATION_NEEDED,
  CODE_PROTOCOL_UNREACHABLE,
  CODE_TIME_TO_LIVE,
  mayAnswer,
  writeIcmpError,
} from "../icmp/icmp_error.ts";
import {
  decrementTimeToLive,
  isAtomic,
  isLaterFragment,
  isTranslated,
  rewriteAddress,
  rewriteEndpoint,
  rewriteIdentification,
} from "../rewrite.ts";
import { type AddressHolds, AS_IT_IS, NO_HOLDS } from "./address_table.ts";
import { type End, type Headers, IcmpKind, RefusedAs } from "./headers.ts";

/** Bytes of the quoted transport header: what every error has (RFC 792), and where the ports are. */
const QUOTED_TRANSPORT_SIZE = 8;
/** RFC 791 section 3.1. */
const MIN_PATH_MTU = 576;

export class Ipv4Headers implements Headers {
  readonly holds: AddressHolds = NO_HOLDS;
  readonly minPathMtu = MIN_PATH_MTU;
  readonly mssOverhead: number = ipv4.MIN_HEADER_SIZE + tcp.MIN_HEADER_SIZE;
  readonly identificationMask = 0xffff;
  readonly addressesOffset: number = ipv4.SOURCE_ADDRESS_OFFSET;
  readonly addressesSize = 8;
  readonly #memory: Memory;
  readonly #view: DataView;

  constructor(memory: Memory) {
    this.#memory = memory;
    this.#view = memory.view;
  }

  numberOf(address: HostAddress | null): number {
    return address === null || isIpv6(address) ? 0 : address | 0;
  }

  enter(): void {}

  source(packet: number): number {
    return sourceAddress(this.#view, packet);
  }

  destination(packet: number): number {
    return destinationAddress(this.#view, packet);
  }

  senderKey(packet: number): number {
    return sourceAddress(this.#view, packet);
  }

  totalLength(packet: number): number {
    return ipv4.totalLength(this.#view, packet);
  }

  transport(packet: number): number {
    return packet + ipv4.headerSize(this.#view, packet);
  }

  protocol(packet: number): number {
    return ipv4.protocol(this.#view, packet);
  }

  hopLimit(packet: number): number {
    return ipv4.timeToLive(this.#view, packet);
  }

  isLaterFragment(packet: number): boolean {
    return isLaterFragment(this.#view, packet);
  }

  isFirstFragment(packet: number): boolean {
    return ipv4.moreFragments(this.#view, packet);
  }

  mayBeDivided(packet: number): boolean {
    return !ipv4.dontFragment(this.#view, packet);
  }

  isIdentified(packet: number): boolean {
    return !isAtomic(this.#view, packet);
  }

  identification(packet: number): number {
    return ipv4.identification(this.#view, packet);
  }

  rewriteAddress(packet: number, end: End, address: number): void {
    if (address !== AS_IT_IS) rewriteAddress(this.#view, packet, end, address);
  }

  rewriteEndpoint(
    packet: number,
    available: number,
    end: End,
    address: number,
    port: number,
  ): void {
    rewriteEndpoint(this.#view, packet, available, end, address, port);
  }

  rewriteIdentification(packet: number, identification: number): void {
    rewriteIdentification(this.#view, packet, identification);
  }

  decrementHopLimit(packet: number): void {
    decrementTimeToLive(this.#view, packet);
  }

  icmpKind(message: number): IcmpKind {
    const type = icmp.type(this.#view, message);
    if (icmp.isError(type)) return IcmpKind.error;
    if (type === icmp.TYPE_ECHO) return IcmpKind.echo;
    return type === icmp.TYPE_ECHO_REPLY ? IcmpKind.echoReply : IcmpKind.other;
  }

  /** Redirects and source quenches are between neighbours (RFC 1812 section 5.2.7.2) or obsolete (RFC 6633). */
  isRoutable(message: number): boolean {
    const type = icmp.type(this.#view, message);
    return type !== icmp.TYPE_REDIRECT && type !== icmp.TYPE_SOURCE_QUENCH;
  }

  isQuotable(quoted: number, end: number): boolean {
    const view = this.#view;
    const available = end - quoted;
    if (available < ipv4.MIN_HEADER_SIZE || ipv4.version(view, quoted) !== 4) return false;
    const headerSize = ipv4.headerSize(view, quoted);
    return headerSize >= ipv4.MIN_HEADER_SIZE &&
      available >= headerSize + QUOTED_TRANSPORT_SIZE &&
      !isLaterFragment(view, quoted) && isTranslated(ipv4.protocol(view, quoted));
  }

  isIntact(packet: number, message: number, quoted: number): boolean {
    const view = this.#view;
    const end = packet + ipv4.totalLength(view, packet);
    return finish(sum(view, quoted, ipv4.headerSize(view, quoted))) === 0 &&
      finish(sum(view, message, end - message)) === 0;
  }

  writeIcmpChecksum(packet: number, message: number): void {
    const view = this.#view;
    const length = packet + ipv4.totalLength(view, packet) - message;
    const at = message + icmp.CHECKSUM_OFFSET;
    view.setUint16(at, 0);
    view.setUint16(at, finish(sum(view, message, length)));
  }

  mayAnswer(packet: number): boolean {
    return mayAnswer(this.#view, packet);
  }

  writeError(at: number, packet: number, refusal: RefusedAs, mtu: number, source: number): void {
    const isExpired = refusal === RefusedAs.expired;
    writeIcmpError(this.#memory, at, packet, {
      type: isExpired ? icmp.TYPE_TIME_EXCEEDED : icmp.TYPE_DESTINATION_UNREACHABLE,
      code: CODES[refusal],
      nextHopMtu: mtu,
      source,
    });
  }
}

/** By `RefusedAs`; where a protocol is not carried, its sender would otherwise wait (RFC 1812 section 5.2.7.1). */
const CODES = [
  CODE_FRAGMENTATION_NEEDED,
  CODE_TIME_TO_LIVE,
  CODE_PROTOCOL_UNREACHABLE,
  CODE_ADMINISTRATIVELY_PROHIBITED,
] as const;
