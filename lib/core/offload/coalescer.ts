/**
 * Coalescer: merges received packets into super-packets, so that the host's stack is entered once for many of them.
 *
 * It merges what the kernel's own GRO would (net/ipv4/tcp_offload.c, udp_offload.c, af_inet.c, net/ipv6/ip6_offload.c):
 * neighbours in one flow with equal headers and sizes and right checksums; of TCP with consecutive sequence numbers,
 * plain ACK or PSH|ACK. A packet that does not fit begins a group of its own behind the others, so the order within a
 * flow is kept; that between flows is as the groups began.
 *
 * Groups are chains through the packet queue: nothing is copied, the pieces are gathered by the write itself.
 */
import { finish, fold, pseudoHeaderSum, sum } from "../wire/checksum.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import type { Memory } from "../wire/memory.ts";
import { createSum, type Sum } from "../wire/simd_sum.ts";
import * as tcp from "../wire/tcp.ts";
import * as udp from "../wire/udp.ts";
import { GSO_TCPV4, GSO_TCPV6, writeTcpHeader, writeUdpHeader } from "./virtio_net_header.ts";

/** Packets waiting to be written: parallel arrays of their offsets and lengths. */
export interface Packets {
  readonly offsets: Int32Array;
  readonly lengths: Int32Array;
  readonly length: number;
  readonly capacity: number;
}

/** The most packets of a group; as many as one receive can bring. */
const MAX_GROUP_PACKETS = 64;
/** The most bytes of a super-packet: the length field of both families has 16 bits. */
const MAX_GROUP_BYTES = 65535;
/** Flows whose open group is found again; two that share a place only lose merging. */
const FLOW_PLACES = 256;
const NONE = -1;
/** Stands for the size of the headers in front of TCP's or UDP's. */
const FRAGMENT = -1;

/** What the first byte of a header of 20 bytes, without options, says. */
const VERSION_AND_IHL = 0x45;
const FRAGMENT_BITS = ipv4.FLAG_MORE_FRAGMENTS | ipv4.FRAGMENT_OFFSET_MASK;
/** What the flags of a packet that may be merged may say: as in `inet_gro_receive()`, DF and nothing else. */
const FLAGS_REFUSED = 0xffff & ~ipv4.FLAG_DONT_FRAGMENT;

export class Coalescer {
  /** Groups made by the last `group()`, in the order in which they are to be written. */
  count = 0;

  readonly #view: DataView;
  readonly #sum: Sum;
  /** By packet: the next one in its group. */
  readonly #next: Int32Array;
  /**
   * By group: its first and last packet, how many it has, their bytes merged, the payload size that all but the last
   * have.
   */
  readonly #first: Int32Array;
  readonly #last: Int32Array;
  readonly #packets: Int32Array;
  readonly #bytes: Int32Array;
  readonly #segmentSize: Int32Array;
  /** By group that others may join: bytes of the IP header, by which its family is told. */
  readonly #ipHeaderSize: Int32Array;
  /** By group that others may join: 1 for UDP, 0 for TCP. */
  readonly #isUdp: Uint8Array;
  /** By group: whether it is still to be checked that the first packet's checksum is right. */
  readonly #unverified: Uint8Array;
  /** By group of several: whether its packets have one IP id in common. */
  readonly #fixedIdentification: Uint8Array;
  /** By place: the group that a flow's next packet may join. */
  readonly #open: Int32Array = new Int32Array(FLOW_PLACES).fill(NONE);
  #queue: Packets | null = null;
  #mergesUdp = false;

  /** @param capacity the most packets that a queue holds */
  constructor(memory: Memory, capacity: number) {
    this.#view = memory.view;
    this.#sum = createSum(memory);
    this.#next = new Int32Array(capacity);
    this.#first = new Int32Array(capacity);
    this.#last = new Int32Array(capacity);
    this.#packets = new Int32Array(capacity);
    this.#bytes = new Int32Array(capacity);
    this.#segmentSize = new Int32Array(capacity);
    this.#ipHeaderSize = new Int32Array(capacity);
    this.#isUdp = new Uint8Array(capacity);
    this.#unverified = new Uint8Array(capacity);
    this.#fixedIdentification = new Uint8Array(capacity);
  }

  /**
   * Sorts the queue's packets, which have all passed `checkIpv4` or `checkIpv6`, into groups.
   *
   * @param mergesUdp whether the kernel takes super-packets of UDP
   */
  group(queue: Packets, mergesUdp: boolean): void {
    this.#queue = queue;
    this.#mergesUdp = mergesUdp;
    this.count = 0;
    this.#open.fill(NONE);
    for (let i = 0; i < queue.length; i++) this.#place(i, queue.offsets[i], queue.lengths[i]);
  }

  /** The first packet of a group; the others follow by `nextPacket()`. */
  firstPacket(group: number): number {
    return this.#first[group];
  }

  /** The packet behind `packet` in its group, or -1. Of it, only the payload is written. */
  nextPacket(packet: number): number {
    return this.#next[packet];
  }

  /** Whether the group is more than one packet: `prepare()` must then be called, and says where payloads begin. */
  isMerged(group: number): boolean {
    return this.#packets[group] > 1;
  }

  /** Whether a merged group is of UDP. */
  isUdp(group: number): boolean {
    return this.#isUdp[group] === 1;
  }

  /**
   * Makes the first packet's headers those of the whole group.
   *
   * @param header offset of the virtio-net header to fill in
   * @returns bytes of the IP and TCP or UDP headers, which the group's other packets are written without
   */
  prepare(group: number, header: number): number {
    const view = this.#view;
    const packet = this.#queue!.offsets[this.#first[group]];
    const ipHeaderSize = this.#ipHeaderSize[group];
    const segment = packet + ipHeaderSize;
    const bytes = this.#bytes[group];
    const isIpv6 = ipHeaderSize === ipv6.HEADER_SIZE;

    if (isIpv6) view.setUint16(packet + ipv6.PAYLOAD_LENGTH_OFFSET, bytes - ipHeaderSize);
    else {
      view.setUint16(packet + ipv4.TOTAL_LENGTH_OFFSET, bytes);
      view.setUint16(packet + ipv4.HEADER_CHECKSUM_OFFSET, 0);
      view.setUint16(packet + ipv4.HEADER_CHECKSUM_OFFSET, finish(sum(view, packet, ipHeaderSize)));
    }
    // A partial checksum: that of the pseudo-header, not complemented. The kernel adds the rest.
    if (this.#isUdp[group] === 1) {
      view.setUint16(segment + udp.LENGTH_OFFSET, bytes - ipHeaderSize);
      const partial = this.#pseudoHeader(packet, bytes, isIpv6, ipv4.PROTOCOL_UDP);
      view.setUint16(segment + udp.CHECKSUM_OFFSET, partial);
      writeUdpHeader(view, header, ipHeaderSize, this.#segmentSize[group]);
      return ipHeaderSize + udp.HEADER_SIZE;
    }
    const last = this.#queue!.offsets[this.#last[group]] + ipHeaderSize;
    const headerSize = ipHeaderSize + tcp.headerSize(view, segment);
    const flags = tcp.flags(view, segment) | (tcp.flags(view, last) & tcp.FLAG_PSH);
    view.setUint8(segment + tcp.FLAGS_OFFSET, flags);
    const partial = this.#pseudoHeader(packet, bytes, isIpv6, ipv4.PROTOCOL_TCP);
    view.setUint16(segment + tcp.CHECKSUM_OFFSET, partial);
    const type = isIpv6 ? GSO_TCPV6 : GSO_TCPV4;
    writeTcpHeader(view, header, ipHeaderSize, headerSize, this.#segmentSize[group], type);
    return headerSize;
  }

  #place(index: number, packet: number, length: number): void {
    const view = this.#view;
    const isIpv6 = ipv6.isIpv6(view, packet);
    const upper = isIpv6 ? ipv6.upperLayer(view, packet) : 0;
    const protocol = isIpv6 ? ipv6.protocolOf(upper) : ipv4.protocol(view, packet);
    const isUdp = protocol === ipv4.PROTOCOL_UDP;
    const ipHeaderSize = isIpv6 ? headersSize6(upper) : headersSize(view, packet);
    if (ipHeaderSize === FRAGMENT) {
      // Fragments do not name their flow: none may be overtaken.
      this.#open.fill(NONE);
      this.#begin(index, length);
      return;
    }
    if (isUdp ? !this.#mergesUdp : protocol !== ipv4.PROTOCOL_TCP) {
      this.#begin(index, length);
      return;
    }
    const segment = packet + ipHeaderSize;
    const place = this.#placeOf(packet, segment, isIpv6);
    const payloadSize = length - ipHeaderSize -
      (isUdp ? udp.HEADER_SIZE : tcp.headerSize(view, segment));
    const mergeable = payloadSize > 0 &&
      (isUdp
        ? isWholeDatagram(view, segment, length - ipHeaderSize)
        : (tcp.flags(view, segment) & ~tcp.FLAG_PSH) === tcp.FLAG_ACK) &&
      (isIpv6 ? ipHeaderSize === ipv6.HEADER_SIZE : view.getUint8(packet) === VERSION_AND_IHL &&
        (view.getUint16(packet + ipv4.FLAGS_OFFSET) & FLAGS_REFUSED) === 0);
    if (!mergeable) {
      this.#open[place] = NONE;
      this.#begin(index, length);
      return;
    }
    const isPushed = !isUdp && (tcp.flags(view, segment) & tcp.FLAG_PSH) !== 0;
    const group = this.#open[place];
    if (
      group !== NONE && this.#isUdp[group] === (isUdp ? 1 : 0) &&
      this.#append(group, index, packet, payloadSize, ipHeaderSize)
    ) {
      // A shorter packet, or one that asks to be delivered, is the last of its group, as in the kernel.
      if (payloadSize < this.#segmentSize[group] || isPushed) this.#open[place] = NONE;
      return;
    }
    const fresh = this.#begin(index, length);
    this.#segmentSize[fresh] = payloadSize;
    this.#ipHeaderSize[fresh] = ipHeaderSize;
    this.#isUdp[fresh] = isUdp ? 1 : 0;
    this.#open[place] = isPushed ? NONE : fresh;
  }

  #begin(index: number, length: number): number {
    const group = this.count++;
    this.#next[index] = NONE;
    this.#first[group] = index;
    this.#last[group] = index;
    this.#packets[group] = 1;
    this.#bytes[group] = length;
    this.#unverified[group] = 1;
    return group;
  }

  /** Adds a packet to a group if it is its continuation. */
  #append(
    group: number,
    index: number,
    packet: number,
    payloadSize: number,
    ipHeaderSize: number,
  ): boolean {
    const queue = this.#queue!;
    const first = queue.offsets[this.#first[group]];
    const merged = this.#bytes[group] + payloadSize;
    if (
      payloadSize > this.#segmentSize[group] || merged > MAX_GROUP_BYTES ||
      this.#packets[group] === MAX_GROUP_PACKETS || this.#ipHeaderSize[group] !== ipHeaderSize ||
      !this.#continues(group, first, packet, ipHeaderSize)
    ) return false;
    const protocol = this.#isUdp[group] === 1 ? ipv4.PROTOCOL_UDP : ipv4.PROTOCOL_TCP;
    // Checksums are looked at last, for they cost the most, and only when there is something to gain.
    if (this.#unverified[group] === 1) {
      const length = queue.lengths[this.#first[group]];
      if (!this.#isIntact(first, length, ipHeaderSize, protocol)) return false;
      this.#unverified[group] = 0;
    }
    if (!this.#isIntact(packet, queue.lengths[index], ipHeaderSize, protocol)) return false;
    this.#next[this.#last[group]] = index;
    this.#next[index] = NONE;
    this.#last[group] = index;
    this.#packets[group]++;
    this.#bytes[group] = merged;
    return true;
  }

  /** Whether `packet` is what a sender's next one after the group would be: the same headers, counted on. */
  #continues(group: number, first: number, packet: number, ipHeaderSize: number): boolean {
    const view = this.#view;
    const a = first + ipHeaderSize;
    const b = packet + ipHeaderSize;
    const isIpv6 = ipHeaderSize === ipv6.HEADER_SIZE;
    if (
      !(isIpv6 ? ipv6.haveOneHeader(view, first, packet) : haveOneHeader(view, first, packet)) ||
      // Both ports.
      view.getInt32(a) !== view.getInt32(b)
    ) return false;
    return this.#isUdp[group] === 1
      ? isIpv6 || this.#continuesDatagrams(group, first, packet)
      : this.#continuesSegments(group, a, b, ipHeaderSize) &&
        (isIpv6 || this.#continuesIdentification(group, first, packet));
  }

  /** Of two TCP headers. */
  #continuesSegments(group: number, a: number, b: number, ipHeaderSize: number): boolean {
    const view = this.#view;
    const headerSize = tcp.headerSize(view, a);
    if (
      // The header's size and the reserved bits beside it.
      view.getUint8(a + tcp.DATA_OFFSET_OFFSET) !== view.getUint8(b + tcp.DATA_OFFSET_OFFSET) ||
      view.getInt32(a + tcp.ACKNOWLEDGMENT_NUMBER_OFFSET) !==
        view.getInt32(b + tcp.ACKNOWLEDGMENT_NUMBER_OFFSET) ||
      tcp.window(view, a) !== tcp.window(view, b) ||
      tcp.urgentPointer(view, a) !== tcp.urgentPointer(view, b)
    ) return false;
    for (let at = tcp.MIN_HEADER_SIZE; at < headerSize; at += 4) {
      if (view.getInt32(a + at) !== view.getInt32(b + at)) return false;
    }
    const payload = this.#bytes[group] - ipHeaderSize - headerSize;
    const expected = (view.getInt32(a + tcp.SEQUENCE_NUMBER_OFFSET) + payload) | 0;
    return view.getInt32(b + tcp.SEQUENCE_NUMBER_OFFSET) === expected;
  }

  /** Ids count up, as they will when the group is split again; with DF they mean nothing (RFC 6864 section 4.1). */
  #continuesDatagrams(group: number, first: number, packet: number): boolean {
    const view = this.#view;
    const gap = (ipv4.identification(view, packet) - ipv4.identification(view, first)) & 0xffff;
    return ipv4.dontFragment(view, first) || gap === this.#packets[group];
  }

  /**
   * Ids must count up, as they will when the group is split again; with DF set one fixed id will do as well, for nobody
   * puts such packets together again (RFC 6864 section 4.1). Which it is the second packet says (`inet_gro_flush()`).
   */
  #continuesIdentification(group: number, first: number, packet: number): boolean {
    const view = this.#view;
    const count = this.#packets[group];
    const gap = (ipv4.identification(view, packet) - ipv4.identification(view, first)) & 0xffff;
    if (count === 1) {
      this.#fixedIdentification[group] = gap === 0 && ipv4.dontFragment(view, first) ? 1 : 0;
    }
    return gap === (this.#fixedIdentification[group] === 1 ? 0 : count);
  }

  /** Whether the checksum is right; merging would otherwise put a right one in the place of a wrong one. */
  #isIntact(packet: number, length: number, ipHeaderSize: number, protocol: number): boolean {
    const isIpv6 = ipHeaderSize === ipv6.HEADER_SIZE;
    const pseudoHeader = this.#pseudoHeader(packet, length, isIpv6, protocol);
    return finish(this.#sum(packet + ipHeaderSize, length - ipHeaderSize, pseudoHeader)) === 0;
  }

  /**
   * The sum of the pseudo-header of a packet of `bytes` bytes in all; addresses as int32, which are never on the heap.
   */
  #pseudoHeader(packet: number, bytes: number, isIpv6: boolean, protocol: number): number {
    if (isIpv6) {
      const addresses = sum(
        this.#view,
        packet + ipv6.SOURCE_ADDRESS_OFFSET,
        ipv6.ADDRESSES_SIZE,
      );
      return fold(addresses + protocol + bytes - ipv6.HEADER_SIZE);
    }
    return pseudoHeaderSum(
      this.#view.getInt32(packet + ipv4.SOURCE_ADDRESS_OFFSET),
      this.#view.getInt32(packet + ipv4.DESTINATION_ADDRESS_OFFSET),
      protocol,
      bytes - ipv4.MIN_HEADER_SIZE,
    );
  }

  #placeOf(packet: number, segment: number, isIpv6: boolean): number {
    const view = this.#view;
    // Of IPv6 the last words: those before are alike in a network.
    const source = packet +
      (isIpv6 ? ipv6.DESTINATION_ADDRESS_OFFSET - 4 : ipv4.SOURCE_ADDRESS_OFFSET);
    const destination = packet +
      (isIpv6 ? ipv6.HEADER_SIZE - 4 : ipv4.DESTINATION_ADDRESS_OFFSET);
    const mixed = view.getInt32(source) ^ view.getInt32(destination) ^ view.getInt32(segment);
    const folded = mixed ^ (mixed >>> 16);
    return (folded ^ (folded >>> 8)) & (FLOW_PLACES - 1);
  }
}

/** Bytes of the headers in front of TCP's or UDP's, or `FRAGMENT`. */
function headersSize(view: DataView, packet: number): number {
  const isFragment = (view.getUint16(packet + ipv4.FLAGS_OFFSET) & FRAGMENT_BITS) !== 0;
  return isFragment ? FRAGMENT : ipv4.headerSize(view, packet);
}

/** @param upper as `ipv6.upperLayer()` says */
function headersSize6(upper: number): number {
  return ipv6.isFragment(upper) ? FRAGMENT : ipv6.headersSizeOf(upper);
}

/** Whether `length` bytes are one datagram with a checksum, and nothing behind it. */
function isWholeDatagram(view: DataView, datagram: number, length: number): boolean {
  return udp.length(view, datagram) === length && udp.checksum(view, datagram) !== 0;
}

/**
 * Whether two packets have the same IPv4 header, but for what counts on. Words are compared as int32: code compiled for
 * what has been below 2^31 is thrown away with the first that is not, which is chance with TCP's numbers.
 */
function haveOneHeader(view: DataView, one: number, other: number): boolean {
  return view.getInt32(one + ipv4.SOURCE_ADDRESS_OFFSET) ===
      view.getInt32(other + ipv4.SOURCE_ADDRESS_OFFSET) &&
    view.getInt32(one + ipv4.DESTINATION_ADDRESS_OFFSET) ===
      view.getInt32(other + ipv4.DESTINATION_ADDRESS_OFFSET) &&
    ipv4.typeOfService(view, one) === ipv4.typeOfService(view, other) &&
    ipv4.timeToLive(view, one) === ipv4.timeToLive(view, other) &&
    view.getUint16(one + ipv4.FLAGS_OFFSET) === view.getUint16(other + ipv4.FLAGS_OFFSET);
}
