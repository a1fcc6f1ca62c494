/**
 * TCP runs: finds TCP segments that follow one another in a queue of packets and can leave as one super-packet, and
 * writes that packet's headers. The kernel's segmentation (net/ipv4/tcp_offload.c) must make of it what went in: equal
 * headers, sequence numbers that count on, equal sizes but for the last.
 *
 * Unlike the coalescer, which sorts flows out of a mixture and may take its time, this looks at neighbours only: they
 * are sent in the order in which they stand.
 */
import { finish, pseudoHeaderSum, pseudoHeaderSum6, sum } from "../wire/checksum.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import type { Memory } from "../wire/memory.ts";
import { createSum, type Sum } from "../wire/simd_sum.ts";
import * as tcp from "../wire/tcp.ts";

/** Packets in a queue: parallel arrays of their offsets and lengths in bytes. */
export interface QueuedPackets {
  readonly offsets: Int32Array;
  readonly lengths: Int32Array;
}

export interface TcpRunsOptions {
  /** The most packets of a run, and bytes of the super-packet. */
  readonly maxPackets: number;
  readonly maxBytes: number;
  /**
   * Whether the packets are segments made here: their checksums are still to be written, and PSH means nothing. Those
   * of others must arrive as they are: PSH ends a run, and a segment with a wrong checksum is in none, since it would
   * get a right one.
   */
  readonly own: boolean;
}

/** The most bytes that `writeHeaders()` writes: TCP's header has up to 60. */
export const MAX_HEADERS_SIZE: number = ipv6.HEADER_SIZE + 60;
const VERSION_AND_IHL = 0x45;
/** PSH in the word that begins with the data offset. */
const PUSH_IN_WORD = tcp.FLAG_PSH << 16;
const FRAGMENT_BITS = ipv4.FLAG_MORE_FRAGMENTS | ipv4.FRAGMENT_OFFSET_MASK;

export class TcpRuns {
  readonly #view: DataView;
  readonly #sum: Sum;
  readonly #options: TcpRunsOptions;
  /** Of the run being measured. */
  #ipHeaderSize = 0;
  #headersSize = 0;
  #payloadSize = 0;

  constructor(memory: Memory, options: TcpRunsOptions) {
    this.#view = memory.view;
    this.#sum = createSum(memory);
    this.#options = options;
  }

  /** Bytes of the IP and TCP headers of the last run of several packets that `measure()` found. */
  get headersSize(): number {
    return this.#headersSize;
  }

  /** Bytes of payload of each of its packets but the last. */
  get payloadSize(): number {
    return this.#payloadSize;
  }

  /**
   * How many packets, of those from `first` (inclusive) to `to` (exclusive), can be one super-packet: 1 if only the
   * first.
   */
  measure(packets: QueuedPackets, first: number, to: number): number {
    const { offsets, lengths } = packets;
    const { maxPackets, maxBytes } = this.#options;
    if (!this.#begin(offsets[first], lengths[first])) return 1;
    const end = to - first < maxPackets ? to : first + maxPackets;
    let bytes = lengths[first];
    let next = first + 1;
    // Whether another one may follow: it may not follow a shorter one.
    let open = next < end;
    while (open) {
      const payloadSize = lengths[next] - this.#headersSize;
      if (
        payloadSize <= 0 || payloadSize > this.#payloadSize || bytes + payloadSize > maxBytes ||
        !this.#continues(offsets[first], offsets[next], next - first) ||
        (!this.#options.own && !this.#mayMerge(packets, first, next))
      ) break;
      bytes += payloadSize;
      next++;
      open = next < end && payloadSize === this.#payloadSize;
    }
    return next - first;
  }

  /**
   * Writes the headers of the super-packet that a run makes: the first packet's, with the length of all, PSH if the
   * last has it, and in the place of TCP's checksum the sum of the pseudo-header, which the kernel goes on from.
   *
   * @param at where to, a multiple of 4; `headersSize` bytes
   * @param count packets of the run, as `measure()` said
   * @returns bytes of the super-packet
   */
  writeHeaders(packets: QueuedPackets, first: number, count: number, at: number): number {
    const view = this.#view;
    const packet = packets.offsets[first];
    const last = first + count - 1;
    const headersSize = this.#headersSize;
    const bytes = headersSize + (count - 1) * this.#payloadSize + packets.lengths[last] -
      headersSize;
    for (let i = 0; i < headersSize; i += 4) view.setInt32(at + i, view.getInt32(packet + i));
    const ipHeaderSize = this.#ipHeaderSize;
    if (ipHeaderSize === ipv6.HEADER_SIZE) {
      view.setUint16(at + ipv6.PAYLOAD_LENGTH_OFFSET, bytes - ipHeaderSize);
    } else {
      view.setUint16(at + ipv4.TOTAL_LENGTH_OFFSET, bytes);
      writeHeaderChecksum(view, at);
    }
    const push = tcp.flags(view, packets.offsets[last] + ipHeaderSize) & tcp.FLAG_PSH;
    const segment = at + ipHeaderSize;
    view.setUint8(segment + tcp.FLAGS_OFFSET, tcp.flags(view, segment) | push);
    writePartialChecksum(view, at, bytes);
    return bytes;
  }

  /** Takes the measures of a packet; whether it can begin a run. */
  #begin(packet: number, length: number): boolean {
    const view = this.#view;
    const ipHeaderSize = ipHeaderSizeOf(view, packet);
    const segment = packet + ipHeaderSize;
    if (
      !(ipHeaderSize === ipv6.HEADER_SIZE ? isTcp6(view, packet, length) : isTcp4(view, packet)) ||
      !tcp.isWhole(view, segment, length - ipHeaderSize) ||
      (tcp.flags(view, segment) & ~tcp.FLAG_PSH) !== tcp.FLAG_ACK
    ) return false;
    this.#ipHeaderSize = ipHeaderSize;
    this.#headersSize = ipHeaderSize + tcp.headerSize(view, segment);
    this.#payloadSize = length - this.#headersSize;
    return this.#payloadSize > 0;
  }

  /** Whether `packet` has the headers of the one that comes `distance` packets behind `first` in a run. */
  #continues(first: number, packet: number, distance: number): boolean {
    const view = this.#view;
    const ipHeaderSize = this.#ipHeaderSize;
    const a = first + ipHeaderSize;
    const b = packet + ipHeaderSize;
    const isIpv6 = ipHeaderSize === ipv6.HEADER_SIZE;
    const sequence = view.getInt32(a + tcp.SEQUENCE_NUMBER_OFFSET) + distance * this.#payloadSize;
    if (
      // Version, header size and type of service; of IPv6, version, and most of traffic class and flow label.
      view.getUint16(first) !== view.getUint16(packet) ||
      view.getInt32(b + tcp.SEQUENCE_NUMBER_OFFSET) !== (sequence | 0) ||
      // Both ports.
      view.getInt32(a) !== view.getInt32(b) ||
      !(isIpv6 ? ipv6.haveOneHeader(view, first, packet) : haveOneHeader4(view, first, packet)) ||
      view.getInt32(a + tcp.ACKNOWLEDGMENT_NUMBER_OFFSET) !==
        view.getInt32(b + tcp.ACKNOWLEDGMENT_NUMBER_OFFSET) ||
      // Header size, reserved bits, flags but for PSH, window.
      (view.getInt32(a + tcp.DATA_OFFSET_OFFSET) | PUSH_IN_WORD) !==
        (view.getInt32(b + tcp.DATA_OFFSET_OFFSET) | PUSH_IN_WORD) ||
      tcp.urgentPointer(view, a) !== tcp.urgentPointer(view, b)
    ) return false;
    for (let at = ipHeaderSize + tcp.MIN_HEADER_SIZE; at < this.#headersSize; at += 4) {
      if (view.getInt32(first + at) !== view.getInt32(packet + at)) return false;
    }
    // The kernel counts ids up. With DF they mean nothing (RFC 6864 section 4.1).
    return isIpv6 || ipv4.dontFragment(view, first) ||
      ((ipv4.identification(view, first) + distance) & 0xffff) ===
        ipv4.identification(view, packet);
  }

  /** Whether somebody else's packet may follow its neighbour in a run without loss of what its sender said. */
  #mayMerge({ offsets, lengths }: QueuedPackets, first: number, next: number): boolean {
    const view = this.#view;
    // PSH would be lost from within; the checksum of each was looked at when it came, the first one's when it gets
    // company.
    return (tcp.flags(view, offsets[next - 1] + this.#ipHeaderSize) & tcp.FLAG_PSH) === 0 &&
      (next > first + 1 || isIntact(view, this.#sum, offsets[first], lengths[first])) &&
      isIntact(view, this.#sum, offsets[next], lengths[next]);
  }
}

/** Bytes of the IP header of a packet, of IPv4 without options, of IPv6 without extension headers. */
export function ipHeaderSizeOf(view: DataView, packet: number): number {
  return ipv6.isIpv6(view, packet) ? ipv6.HEADER_SIZE : ipv4.MIN_HEADER_SIZE;
}

function isTcp4(view: DataView, packet: number): boolean {
  return view.getUint8(packet) === VERSION_AND_IHL &&
    ipv4.protocol(view, packet) === ipv4.PROTOCOL_TCP &&
    (view.getUint16(packet + ipv4.FLAGS_OFFSET) & FRAGMENT_BITS) === 0;
}

function isTcp6(view: DataView, packet: number, length: number): boolean {
  return length >= ipv6.HEADER_SIZE &&
    view.getUint8(packet + ipv6.NEXT_HEADER_OFFSET) === ipv4.PROTOCOL_TCP;
}

/** Whether two packets have the same addresses, flags and fragment offset, time to live and protocol. */
function haveOneHeader4(view: DataView, one: number, other: number): boolean {
  return view.getInt32(one + ipv4.DESTINATION_ADDRESS_OFFSET) ===
      view.getInt32(other + ipv4.DESTINATION_ADDRESS_OFFSET) &&
    view.getInt32(one + ipv4.SOURCE_ADDRESS_OFFSET) ===
      view.getInt32(other + ipv4.SOURCE_ADDRESS_OFFSET) &&
    view.getUint16(one + ipv4.FLAGS_OFFSET) === view.getUint16(other + ipv4.FLAGS_OFFSET) &&
    view.getUint16(one + ipv4.TIME_TO_LIVE_OFFSET) ===
      view.getUint16(other + ipv4.TIME_TO_LIVE_OFFSET);
}

/** Writes the checksum of an IPv4 header of 20 bytes. */
export function writeHeaderChecksum(view: DataView, packet: number): void {
  view.setUint16(packet + ipv4.HEADER_CHECKSUM_OFFSET, 0);
  view.setUint16(
    packet + ipv4.HEADER_CHECKSUM_OFFSET,
    finish(sum(view, packet, ipv4.MIN_HEADER_SIZE)),
  );
}

/** Writes the checksum of a TCP segment behind an IP header without options; `length` is that of the packet. */
export function writeChecksum(view: DataView, packet: number, length: number): void {
  const ipHeaderSize = ipHeaderSizeOf(view, packet);
  const segment = packet + ipHeaderSize;
  view.setUint16(segment + tcp.CHECKSUM_OFFSET, 0);
  const pseudoHeader = pseudoHeaderOf(view, packet, length);
  const checksum = finish(sum(view, segment, length - ipHeaderSize, pseudoHeader));
  view.setUint16(segment + tcp.CHECKSUM_OFFSET, checksum);
}

/** Writes what the kernel, or the interface, completes to the checksum: the sum of the pseudo-header. */
export function writePartialChecksum(view: DataView, packet: number, length: number): void {
  const pseudoHeader = pseudoHeaderOf(view, packet, length);
  view.setUint16(packet + ipHeaderSizeOf(view, packet) + tcp.CHECKSUM_OFFSET, pseudoHeader);
}

/**
 * Whether the checksum of what is behind an IP header without options is right.
 *
 * @param sumOf the sum of a piece of the same memory
 */
export function isIntact(view: DataView, sumOf: Sum, packet: number, length: number): boolean {
  const ipHeaderSize = ipHeaderSizeOf(view, packet);
  const pseudoHeader = pseudoHeaderOf(view, packet, length);
  return finish(sumOf(packet + ipHeaderSize, length - ipHeaderSize, pseudoHeader)) === 0;
}

/**
 * The sum of the pseudo-header of a packet of `length` bytes, TCP or UDP; addresses as int32, which are never on the
 * heap.
 */
export function pseudoHeaderOf(view: DataView, packet: number, length: number): number {
  if (ipv6.isIpv6(view, packet)) {
    return pseudoHeaderSum6(
      view,
      packet + ipv6.SOURCE_ADDRESS_OFFSET,
      view.getUint8(packet + ipv6.NEXT_HEADER_OFFSET),
      length - ipv6.HEADER_SIZE,
    );
  }
  return pseudoHeaderSum(
    view.getInt32(packet + ipv4.SOURCE_ADDRESS_OFFSET),
    view.getInt32(packet + ipv4.DESTINATION_ADDRESS_OFFSET),
    ipv4.protocol(view, packet),
    length - ipv4.MIN_HEADER_SIZE,
  );
}
