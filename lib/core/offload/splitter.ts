/**
 * Splitter: divides a super-packet, as a TUN with segmentation offload hands it over, into packets that fit the MTU.
 *
 * Nothing is copied but headers. Packet k's header is written right before its payload, over the end of payload k - 1,
 * which has been sealed and sent by then: so each packet is contiguous where it lies, at the price that the packets
 * must be used one after the other.
 *
 * What the kernel's own segmentation does is done here (net/ipv4/tcp_offload.c, udp_offload.c): sequence numbers and IP
 * ids count up, FIN and PSH stay with the last packet, CWR with the first, lengths and checksums are each packet's own.
 */
import { finish, fold, sum, udpChecksum } from "../wire/checksum.ts";
import { DropReason } from "../wire/drop_reason.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import type { Memory } from "../wire/memory.ts";
import { createSum, type Sum } from "../wire/simd_sum.ts";
import * as tcp from "../wire/tcp.ts";
import * as udp from "../wire/udp.ts";
import {
  CHECKSUM_OFFSET_OFFSET,
  CHECKSUM_START_OFFSET,
  FLAG_NEEDS_CHECKSUM,
  FLAGS_OFFSET,
  GSO_ECN,
  GSO_NONE,
  GSO_SIZE_OFFSET,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_TYPE_OFFSET,
  GSO_UDP_L4,
} from "./virtio_net_header.ts";

/** The longest headers of IP and TCP together: what the scratch region must hold. IPv6's may come to more: refused. */
export const SPLITTER_SCRATCH_SIZE = 120;
/** Bytes behind a packet that sealing may overwrite with padding, and that `next()` puts back: the most, and a bit. */
const GUARD_SIZE = 16;

export class Splitter {
  /** Where the packet that `next()` moved to begins, and its length in bytes. */
  offset = 0;
  length = 0;

  readonly #memory: Memory;
  readonly #view: DataView;
  readonly #sum: Sum;
  readonly #scratch: number;

  #isTcp = false;
  #isIpv6 = false;
  #segmentSize = 0;
  #ipHeaderSize = 0;
  #headerSize = 0;
  /** Where the next packet's payload begins, and where the last one's ends. */
  #payload = 0;
  #end = 0;
  #index = 0;
  #identification = 0;
  /** As int32: a field that holds 2^31 for the first time has V8 throw away all code compiled for splitters. */
  #sequenceNumber = 0;
  #flags = 0;
  /** Sums over what is alike in all packets: the IP header, and the transport header with its pseudo-header. */
  #ipSum = 0;
  #transportSum = 0;
  readonly #guard = new Uint32Array(GUARD_SIZE / 4);
  #guarded = false;

  /** @param scratch offset of `SPLITTER_SCRATCH_SIZE` bytes that are the splitter's own */
  constructor(memory: Memory, scratch: number) {
    this.#memory = memory;
    this.#view = memory.view;
    this.#sum = createSum(memory);
    this.#scratch = scratch;
  }

  /** Whether the packet behind this virtio-net header is a super-packet. */
  static isSuperPacket(view: DataView, header: number): boolean {
    return (view.getUint8(header + GSO_TYPE_OFFSET) & ~GSO_ECN) !== GSO_NONE;
  }

  /**
   * Takes a super-packet that has passed `checkIpv4` or `checkIpv6`. The memory must go on for 15 bytes behind it.
   *
   * @param header offset of its virtio-net header
   * @param packet offset of its IP header
   * @param length bytes of it
   * @returns `badTunRead` where the virtio-net header does not fit the packet
   */
  begin(header: number, packet: number, length: number): DropReason {
    const view = this.#view;
    const type = view.getUint8(header + GSO_TYPE_OFFSET) & ~GSO_ECN;
    this.#isIpv6 = ipv6.isIpv6(view, packet);
    const protocol = this.#isIpv6 ? this.#readIpv6(packet) : this.#readIpv4(packet);
    this.#isTcp = type === (this.#isIpv6 ? GSO_TCPV6 : GSO_TCPV4) &&
      protocol === ipv4.PROTOCOL_TCP;
    if (!this.#isTcp && !(type === GSO_UDP_L4 && protocol === ipv4.PROTOCOL_UDP)) {
      return DropReason.badTunRead;
    }
    this.#segmentSize = view.getUint16(header + GSO_SIZE_OFFSET, true);
    const transport = packet + this.#ipHeaderSize;
    const transportHeaderSize = this.#isTcp ? tcp.headerSize(view, transport) : udp.HEADER_SIZE;
    this.#headerSize = this.#ipHeaderSize + transportHeaderSize;
    if (
      this.#segmentSize === 0 || length <= this.#headerSize ||
      this.#headerSize > SPLITTER_SCRATCH_SIZE
    ) return DropReason.badTunRead;

    const { bytes } = this.#memory;
    bytes.copyWithin(this.#scratch, packet, packet + this.#headerSize);
    this.#readTemplate(this.#scratch, transportHeaderSize);
    this.#payload = packet + this.#headerSize;
    this.#end = packet + length;
    this.#index = 0;
    this.#guarded = false;
    return DropReason.none;
  }

  /** Bytes of each packet but the last, headers included. */
  get segmentLength(): number {
    return this.#headerSize + this.#segmentSize;
  }

  /** Gives up the packets that are left. */
  abandon(): void {
    this.#payload = this.#end;
  }

  /** Whether packets are left. */
  get hasMore(): boolean {
    return this.#payload < this.#end;
  }

  /** Makes the next packet; false when there is none left. It is good until the next call. */
  next(): boolean {
    if (!this.hasMore) return false;
    if (this.#guarded) this.#restoreGuard();
    const left = this.#end - this.#payload;
    const isLast = left <= this.#segmentSize;
    const payloadSize = isLast ? left : this.#segmentSize;
    const packet = this.#payload - this.#headerSize;
    this.#writeHeaders(packet);
    this.#finishIpHeader(packet, this.#headerSize + payloadSize);
    if (this.#isTcp) this.#finishTcp(packet + this.#ipHeaderSize, payloadSize, isLast);
    else this.#finishUdp(packet + this.#ipHeaderSize, payloadSize);

    this.offset = packet;
    this.length = this.#headerSize + payloadSize;
    this.#payload += payloadSize;
    this.#index++;
    if (!isLast) this.#saveGuard();
    return true;
  }

  /** Reads the protocol; -1 of a fragment, which is never a super-packet, and whose headers have not been checked. */
  #readIpv4(packet: number): number {
    const view = this.#view;
    this.#ipHeaderSize = ipv4.headerSize(view, packet);
    const isFragment = ipv4.moreFragments(view, packet) || ipv4.fragmentOffset(view, packet) !== 0;
    return isFragment ? -1 : ipv4.protocol(view, packet);
  }

  #readIpv6(packet: number): number {
    const upper = ipv6.upperLayer(this.#view, packet);
    this.#ipHeaderSize = ipv6.headersSizeOf(upper);
    return ipv6.isFragment(upper) ? -1 : ipv6.protocolOf(upper);
  }

  /** Reads what packets differ in from the saved headers, clears it there, and sums up the rest. */
  #readTemplate(header: number, transportHeaderSize: number): void {
    const view = this.#view;
    const transport = header + this.#ipHeaderSize;
    if (this.#isIpv6) view.setUint16(header + ipv6.PAYLOAD_LENGTH_OFFSET, 0);
    else {
      this.#identification = ipv4.identification(view, header);
      view.setUint16(header + ipv4.TOTAL_LENGTH_OFFSET, 0);
      view.setUint16(header + ipv4.IDENTIFICATION_OFFSET, 0);
      view.setUint16(header + ipv4.HEADER_CHECKSUM_OFFSET, 0);
    }
    if (this.#isTcp) {
      this.#sequenceNumber = view.getInt32(transport + tcp.SEQUENCE_NUMBER_OFFSET);
      this.#flags = tcp.flags(view, transport);
      view.setUint32(transport + tcp.SEQUENCE_NUMBER_OFFSET, 0);
      view.setUint8(transport + tcp.FLAGS_OFFSET, 0);
      view.setUint16(transport + tcp.CHECKSUM_OFFSET, 0);
    } else {
      view.setUint16(transport + udp.LENGTH_OFFSET, 0);
      view.setUint16(transport + udp.CHECKSUM_OFFSET, 0);
    }
    this.#ipSum = this.#isIpv6 ? 0 : sum(view, header, this.#ipHeaderSize);
    // The pseudo-header: both addresses and the protocol; the length is each packet's own.
    const addresses = this.#isIpv6
      ? sum(view, header + ipv6.SOURCE_ADDRESS_OFFSET, ipv6.ADDRESSES_SIZE)
      : sum(view, header + ipv4.SOURCE_ADDRESS_OFFSET, 8);
    const protocol = this.#isTcp ? ipv4.PROTOCOL_TCP : ipv4.PROTOCOL_UDP;
    this.#transportSum = sum(
      view,
      transport,
      transportHeaderSize,
      fold(addresses + protocol),
    );
  }

  /**
   * The saved headers. They are some words: writing them takes a fraction of the 100 ns that a call of `copyWithin`
   * does.
   */
  #writeHeaders(packet: number): void {
    const view = this.#view;
    const scratch = this.#scratch;
    // Both header lengths are counts of 32-bit words.
    for (let at = 0; at < this.#headerSize; at += 4) {
      view.setUint32(packet + at, view.getUint32(scratch + at));
    }
  }

  #finishIpHeader(packet: number, totalLength: number): void {
    const view = this.#view;
    if (this.#isIpv6) {
      view.setUint16(packet + ipv6.PAYLOAD_LENGTH_OFFSET, totalLength - ipv6.HEADER_SIZE);
      return;
    }
    const identification = (this.#identification + this.#index) & 0xffff;
    view.setUint16(packet + ipv4.TOTAL_LENGTH_OFFSET, totalLength);
    view.setUint16(packet + ipv4.IDENTIFICATION_OFFSET, identification);
    view.setUint16(
      packet + ipv4.HEADER_CHECKSUM_OFFSET,
      finish(fold(this.#ipSum + totalLength + identification)),
    );
  }

  #finishTcp(segment: number, payloadSize: number, isLast: boolean): void {
    const view = this.#view;
    const headerSize = this.#headerSize - this.#ipHeaderSize;
    const sequenceNumber = (this.#sequenceNumber + this.#index * this.#segmentSize) | 0;
    let flags = this.#flags;
    if (!isLast) flags &= ~(tcp.FLAG_FIN | tcp.FLAG_PSH);
    if (this.#index > 0) flags &= ~tcp.FLAG_CWR;
    view.setInt32(segment + tcp.SEQUENCE_NUMBER_OFFSET, sequenceNumber);
    view.setUint8(segment + tcp.FLAGS_OFFSET, flags);
    const headerSum = fold(
      this.#transportSum + (sequenceNumber >>> 16) + (sequenceNumber & 0xffff) + flags +
        headerSize + payloadSize,
    );
    view.setUint16(
      segment + tcp.CHECKSUM_OFFSET,
      finish(this.#sum(segment + headerSize, payloadSize, headerSum)),
    );
  }

  #finishUdp(datagram: number, payloadSize: number): void {
    const view = this.#view;
    const length = udp.HEADER_SIZE + payloadSize;
    view.setUint16(datagram + udp.LENGTH_OFFSET, length);
    // The length counts twice: in the header and in the pseudo-header.
    const headerSum = fold(this.#transportSum + 2 * length);
    view.setUint16(
      datagram + udp.CHECKSUM_OFFSET,
      udpChecksum(finish(this.#sum(datagram + udp.HEADER_SIZE, payloadSize, headerSum))),
    );
  }

  #saveGuard(): void {
    const at = this.offset + this.length;
    for (let i = 0; i < this.#guard.length; i++) {
      this.#guard[i] = this.#view.getUint32(at + 4 * i);
    }
    this.#guarded = true;
  }

  #restoreGuard(): void {
    const at = this.offset + this.length;
    for (let i = 0; i < this.#guard.length; i++) {
      this.#view.setUint32(at + 4 * i, this.#guard[i]);
    }
    this.#guarded = false;
  }
}

/**
 * Completes the checksum of a packet that the kernel left to us, as the virtio-net header says.
 *
 * The field holds the sum of the pseudo-header, so that the sum from `csum_start` to the end is the whole one.
 *
 * @returns `badTunRead` where the header points outside the packet
 */
export function completeChecksum(
  view: DataView,
  header: number,
  packet: number,
  length: number,
): DropReason {
  if ((view.getUint8(header + FLAGS_OFFSET) & FLAG_NEEDS_CHECKSUM) === 0) return DropReason.none;
  const start = view.getUint16(header + CHECKSUM_START_OFFSET, true);
  const field = start + view.getUint16(header + CHECKSUM_OFFSET_OFFSET, true);
  if (field + 2 > length) return DropReason.badTunRead;
  const checksum = finish(sum(view, packet + start, length - start));
  // A UDP checksum of 0 would say that there is none; for TCP both forms of zero are alike.
  view.setUint16(packet + field, udpChecksum(checksum));
  return DropReason.none;
}
