/**
 * UDP runs: finds datagrams of one flow that stand next to one another in a queue of packets and can leave as one
 * super-packet, and writes that packet's headers. What `TcpRuns` is for TCP; QUIC above all comes this way. The
 * kernel's segmentation (`__udp_gso_segment()`, net/ipv4/udp_offload.c) must make of it what went in: equal headers,
 * equal sizes but for the last.
 */
import * as ipv4 from "../wire/ipv4.ts";
import type { Memory } from "../wire/memory.ts";
import { createSum, type Sum } from "../wire/simd_sum.ts";
import * as udp from "../wire/udp.ts";
import { isIntact, pseudoHeaderOf, type QueuedPackets, writeHeaderChecksum } from "./tcp_runs.ts";

const IP_HEADER_SIZE = ipv4.MIN_HEADER_SIZE;
/** Bytes of the headers of each packet: nobody's IP header has options here. */
export const UDP_HEADERS_SIZE: number = IP_HEADER_SIZE + udp.HEADER_SIZE;
const VERSION_AND_IHL = 0x45;
const FRAGMENT_BITS = ipv4.FLAG_MORE_FRAGMENTS | ipv4.FRAGMENT_OFFSET_MASK;

export interface UdpRunsOptions {
  /** The most packets of a run, and bytes of the super-packet. */
  readonly maxPackets: number;
  readonly maxBytes: number;
}

export class UdpRuns {
  readonly #view: DataView;
  readonly #sum: Sum;
  readonly #options: UdpRunsOptions;

  constructor(memory: Memory, options: UdpRunsOptions) {
    this.#view = memory.view;
    this.#sum = createSum(memory);
    this.#options = options;
  }

  /**
   * How many packets, of those from `first` (inclusive) to `to` (exclusive), can be one super-packet: 1 if only the
   * first. A datagram with a wrong checksum, or none, is in no run: it would get a right one.
   */
  measure({ offsets, lengths }: QueuedPackets, first: number, to: number): number {
    const { maxPackets, maxBytes } = this.#options;
    const packet = offsets[first];
    const length = lengths[first];
    if (!this.#isPlain(packet, length)) return 1;
    const end = to - first < maxPackets ? to : first + maxPackets;
    let bytes = length;
    let next = first + 1;
    // It may not follow a shorter one.
    for (let last = length; next < end && last === length; next++) {
      const size = lengths[next];
      if (
        size > length || bytes + size - UDP_HEADERS_SIZE > maxBytes ||
        !this.#isPlain(offsets[next], size) ||
        !this.#continues(packet, offsets[next], next - first) ||
        (next === first + 1 && !this.#isIntact(packet, length)) ||
        !this.#isIntact(offsets[next], size)
      ) break;
      bytes += size - UDP_HEADERS_SIZE;
      last = size;
    }
    return next - first;
  }

  /**
   * Writes the headers of the super-packet that a run makes: the first packet's, with the lengths of all, and in the
   * place of the checksum the sum of the pseudo-header, which the kernel goes on from.
   *
   * @param at where to, a multiple of 4; `UDP_HEADERS_SIZE` bytes
   * @param count packets of the run, as `measure()` said
   */
  writeHeaders(
    { offsets, lengths }: QueuedPackets,
    first: number,
    count: number,
    at: number,
  ): void {
    const view = this.#view;
    const packet = offsets[first];
    const bytes = lengths[first] * (count - 1) + lengths[first + count - 1] -
      UDP_HEADERS_SIZE * (count - 1);
    for (let i = 0; i < UDP_HEADERS_SIZE; i += 4) view.setInt32(at + i, view.getInt32(packet + i));
    view.setUint16(at + ipv4.TOTAL_LENGTH_OFFSET, bytes);
    writeHeaderChecksum(view, at);
    const datagram = at + IP_HEADER_SIZE;
    view.setUint16(datagram + udp.LENGTH_OFFSET, bytes - IP_HEADER_SIZE);
    view.setUint16(datagram + udp.CHECKSUM_OFFSET, pseudoHeaderOf(view, at, bytes));
  }

  /** Whether a packet is one datagram, with something in it and nothing behind it. */
  #isPlain(packet: number, length: number): boolean {
    const view = this.#view;
    return length > UDP_HEADERS_SIZE &&
      view.getUint8(packet) === VERSION_AND_IHL &&
      ipv4.protocol(view, packet) === ipv4.PROTOCOL_UDP &&
      (view.getUint16(packet + ipv4.FLAGS_OFFSET) & FRAGMENT_BITS) === 0 &&
      udp.length(view, packet + IP_HEADER_SIZE) === length - IP_HEADER_SIZE;
  }

  /** Whether `packet` has the headers of the one that comes `distance` packets behind `first` in a run. */
  #continues(first: number, packet: number, distance: number): boolean {
    const view = this.#view;
    return view.getInt32(first + IP_HEADER_SIZE) === view.getInt32(packet + IP_HEADER_SIZE) &&
      view.getInt32(first + ipv4.DESTINATION_ADDRESS_OFFSET) ===
        view.getInt32(packet + ipv4.DESTINATION_ADDRESS_OFFSET) &&
      view.getInt32(first + ipv4.SOURCE_ADDRESS_OFFSET) ===
        view.getInt32(packet + ipv4.SOURCE_ADDRESS_OFFSET) &&
      // Version, header size and type of service; flags; time to live and protocol.
      view.getUint16(first) === view.getUint16(packet) &&
      view.getUint16(first + ipv4.FLAGS_OFFSET) === view.getUint16(packet + ipv4.FLAGS_OFFSET) &&
      view.getUint16(first + ipv4.TIME_TO_LIVE_OFFSET) ===
        view.getUint16(packet + ipv4.TIME_TO_LIVE_OFFSET) &&
      // The kernel counts ids up. With DF they mean nothing (RFC 6864 section 4.1).
      (ipv4.dontFragment(view, first) ||
        ((ipv4.identification(view, first) + distance) & 0xffff) ===
          ipv4.identification(view, packet));
  }

  /** Whether a datagram has a checksum, and the right one. */
  #isIntact(packet: number, length: number): boolean {
    return udp.checksum(this.#view, packet + IP_HEADER_SIZE) !== 0 &&
      isIntact(this.#view, this.#sum, packet, length);
  }
}
