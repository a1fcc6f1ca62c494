/**
 * Slow and obvious statement of what splitting and merging have to do, for judging the fast ones.
 *
 * It is written from RFC 791, 768 and 9293 and from what the kernel's segmentation (GSO) and receive offload (GRO) are
 * documented and seen to do. It shares no code with `lib/`: packets are arrays of bytes, each a new one.
 */
import { type Bytes, referenceChecksum } from "../packets/packet_builder.ts";

export const TCP = 6;
export const UDP = 17;

export const FIN = 0x01;
export const PSH = 0x08;
export const ACK = 0x10;
export const CWR = 0x80;

const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;
const FRAGMENT_OFFSET = 0x1fff;

/** `struct virtio_net_hdr` of ten bytes. */
export interface VirtioHeader {
  /** 1: the checksum is partial. */
  readonly flags?: number;
  /** 0 none, 1 TCP over IPv4, 5 UDP; 0x80 is added for ECN. */
  readonly type?: number;
  readonly headerLength?: number;
  /** Payload bytes of each packet but the last. */
  readonly segmentSize?: number;
  readonly checksumStart?: number;
  readonly checksumOffset?: number;
}

/** The header's bytes, as the kernel of a little-endian machine has them. */
export function virtioHeader(fields: VirtioHeader): Bytes {
  const bytes = new Uint8Array(10);
  const view = new DataView(bytes.buffer);
  bytes[0] = fields.flags ?? 0;
  bytes[1] = fields.type ?? 0;
  view.setUint16(2, fields.headerLength ?? 0, true);
  view.setUint16(4, fields.segmentSize ?? 0, true);
  view.setUint16(6, fields.checksumStart ?? 0, true);
  view.setUint16(8, fields.checksumOffset ?? 0, true);
  return bytes;
}

/** A packet taken apart. */
interface Parts {
  readonly ipHeader: Bytes;
  readonly transportHeader: Bytes;
  readonly payload: Bytes;
}

function takeApart(packet: Bytes): Parts {
  const ipEnd = (packet[0]! & 15) * 4;
  const size = packet[9] === TCP ? (packet[ipEnd + 12]! >> 4) * 4 : 8;
  return {
    ipHeader: packet.slice(0, ipEnd),
    transportHeader: packet.slice(ipEnd, ipEnd + size),
    payload: packet.slice(ipEnd + size),
  };
}

/** Puts a packet together: its lengths and both checksums are made right. */
function putTogether({ ipHeader, transportHeader, payload }: Parts): Bytes {
  const protocol = ipHeader[9]!;
  const packet = concatenate(ipHeader, transportHeader, payload);
  const transport = packet.subarray(ipHeader.length);
  set16(packet, 2, packet.length);
  set16(packet, 10, 0);
  set16(packet, 10, referenceChecksum(packet.subarray(0, ipHeader.length)));
  const checksumAt = protocol === TCP ? 16 : 6;
  if (protocol === UDP) set16(transport, 4, transport.length);
  set16(transport, checksumAt, 0);
  const checksum = referenceChecksum(
    concatenate(pseudoHeader(packet, transport.length), transport),
  );
  // RFC 768: "If the computed checksum is zero, it is transmitted as all ones".
  set16(transport, checksumAt, protocol === UDP && checksum === 0 ? 0xffff : checksum);
  return packet;
}

/** The packet with lengths and checksums made right, for tests that change a byte of it. */
export function withRightChecksums(packet: Bytes): Bytes {
  return putTogether(takeApart(packet));
}

/** RFC 768, RFC 9293 section 3.1: both addresses, a zero, the protocol, and the length of header and payload. */
export function pseudoHeader(packet: Bytes, length: number): Bytes {
  return concatenate(
    packet.subarray(12, 20),
    Uint8Array.of(0, packet[9]!, length >> 8, length & 255),
  );
}

/** The packets that a super-packet stands for. */
export function split(superPacket: Bytes, segmentSize: number): Bytes[] {
  const { ipHeader, transportHeader, payload } = takeApart(superPacket);
  const count = Math.ceil(payload.length / segmentSize);
  return Array.from({ length: count }, (_, index) => {
    const ip = ipHeader.slice();
    const transport = transportHeader.slice();
    set16(ip, 4, (get16(ipHeader, 4) + index) % 2 ** 16);
    if (ip[9] === TCP) {
      set32(transport, 4, (get32(transportHeader, 4) + index * segmentSize) % 2 ** 32);
      if (index < count - 1) transport[13]! &= 0xff - FIN - PSH;
      if (index > 0) transport[13]! &= 0xff - CWR;
    }
    return putTogether({
      ipHeader: ip,
      transportHeader: transport,
      payload: payload.slice(index * segmentSize, (index + 1) * segmentSize),
    });
  });
}

/** The packet with its partial checksum completed, or null where the header points outside of it. */
export function complete(packet: Bytes, header: Required<VirtioHeader>): Bytes | null {
  const completed = packet.slice();
  if ((header.flags & 1) === 0) return completed;
  const at = header.checksumStart + header.checksumOffset;
  if (at + 2 > packet.length) return null;
  const checksum = referenceChecksum(packet.subarray(header.checksumStart));
  set16(completed, at, checksum === 0 ? 0xffff : checksum);
  return completed;
}

/** The groups that packets are merged to, as indices, in the order in which the groups began. */
export function groups(packets: readonly Bytes[]): number[][] {
  const all: { members: number[]; flow: string; open: boolean }[] = [];
  packets.forEach((packet, index) => {
    const flow = flowOf(packet);
    const open = all.findLast((group) => group.open && group.flow === flow);
    const members = open?.members.map((member) => packets[member]!) ?? [];
    if (open !== undefined && mayJoin(members, packet)) {
      open.members.push(index);
      const { payload } = takeApart(packet);
      if (payload.length < takeApart(members[0]!).payload.length || isPushed(packet)) {
        open.open = false;
      }
      return;
    }
    // Nothing may be overtaken by what belongs to the same flow, and a fragment may belong to any.
    for (const group of all) if (isFragment(packet) || group.flow === flow) group.open = false;
    all.push({ members: [index], flow, open: isMergeable(packet) && !isPushed(packet) });
  });
  return all.map(({ members }) => members);
}

/** The super-packet that merged packets become, with the checksum that the kernel is left to complete. */
export function merge(packets: readonly Bytes[]): { header: Bytes; packet: Bytes } {
  const parts = packets.map(takeApart);
  const { ipHeader, transportHeader, payload } = parts[0]!;
  const headerLength = ipHeader.length + transportHeader.length;
  const isTcp = ipHeader[9] === TCP;
  const checksumOffset = isTcp ? 16 : 6;
  if (isTcp) transportHeader[13]! |= packets.at(-1)![ipHeader.length + 13]! & PSH;
  const merged = putTogether({
    ipHeader,
    transportHeader,
    payload: concatenate(...parts.map((part) => part.payload)),
  });
  const length = merged.length - ipHeader.length;
  const partial = 0xffff - referenceChecksum(pseudoHeader(merged, length));
  set16(merged, ipHeader.length + checksumOffset, partial);
  const header = virtioHeader({
    flags: 1,
    type: isTcp ? 1 : 5,
    headerLength,
    segmentSize: payload.length,
    checksumStart: ipHeader.length,
    checksumOffset,
  });
  return { header, packet: merged };
}

/**
 * Whether a packet is the next of a group of one flow: the rules of `tcp_gro_receive()`, `udp_gro_receive()` and
 * `inet_gro_receive()`.
 */
function mayJoin(group: readonly Bytes[], packet: Bytes): boolean {
  const first = group[0]!;
  const last = takeApart(group.at(-1)!);
  const next = takeApart(packet);
  const size = takeApart(first).payload.length;
  const total = group.reduce((sum, member) => sum + takeApart(member).payload.length, 0);
  return isMergeable(packet) && isIntact(packet) && isIntact(first) &&
    group.length < 64 && total + packet.length <= 65_535 &&
    next.payload.length <= size && last.payload.length === size &&
    equal(constantPart(first), constantPart(packet)) &&
    (packet[9] === UDP ||
      get32(next.transportHeader, 4) ===
        (get32(last.transportHeader, 4) + last.payload.length) % 2 ** 32) &&
    hasNextIdentification(group, packet);
}

/** Ids that count up, or, where DF makes them meaningless, one id for all of TCP, and any for UDP. */
function hasNextIdentification(group: readonly Bytes[], packet: Bytes): boolean {
  if (packet[9] === UDP && (get16(packet, 6) & DONT_FRAGMENT) !== 0) return true;
  const ids = [...group, packet].map((member) => get16(member, 4));
  const counting = ids.every((id, index) => id === (ids[0]! + index) % 2 ** 16);
  const fixed = (get16(packet, 6) & DONT_FRAGMENT) !== 0 && ids.every((id) => id === ids[0]);
  return counting || fixed;
}

/** All of the headers but what differs from packet to packet: length, id, checksums, sequence number, PSH. */
function constantPart(packet: Bytes): Bytes {
  const { ipHeader, transportHeader } = takeApart(packet);
  ipHeader.fill(0, 2, 6).fill(0, 10, 12);
  transportHeader.fill(0, 4, 8);
  if (packet[9] === TCP) {
    transportHeader.fill(0, 16, 18);
    transportHeader[13]! &= 0xff - PSH;
  }
  return concatenate(ipHeader, transportHeader);
}

/**
 * Whether anything can be merged with it: data without IP options, not a fragment; of TCP with ACK and at most PSH set,
 * of UDP with a checksum and nothing behind the datagram.
 */
function isMergeable(packet: Bytes): boolean {
  if (packet[0] !== 0x45 || (packet[9] !== TCP && packet[9] !== UDP)) return false;
  if ((get16(packet, 6) & (0xffff - DONT_FRAGMENT)) !== 0) return false;
  const { transportHeader, payload } = takeApart(packet);
  if (packet[9] === UDP) {
    return payload.length > 0 && get16(transportHeader, 4) === 8 + payload.length &&
      get16(transportHeader, 6) !== 0;
  }
  return payload.length > 0 && (transportHeader[13]! | PSH) === (ACK | PSH);
}

function isPushed(packet: Bytes): boolean {
  return packet[9] === TCP && (takeApart(packet).transportHeader[13]! & PSH) !== 0;
}

function isFragment(packet: Bytes): boolean {
  return (get16(packet, 6) & (MORE_FRAGMENTS | FRAGMENT_OFFSET)) !== 0;
}

function isIntact(packet: Bytes): boolean {
  const segment = packet.slice((packet[0]! & 15) * 4);
  return referenceChecksum(concatenate(pseudoHeader(packet, segment.length), segment)) === 0;
}

/** Of TCP and UDP: both addresses and ports. Other packets are alone. */
function flowOf(packet: Bytes): string {
  if ((packet[9] !== TCP && packet[9] !== UDP) || isFragment(packet)) return "none";
  const transport = (packet[0]! & 15) * 4;
  return [packet[9], ...packet.subarray(12, 20), ...packet.subarray(transport, transport + 4)]
    .join();
}

function equal(one: Bytes, other: Bytes): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}

export function concatenate(...pieces: readonly Uint8Array[]): Bytes {
  return Uint8Array.from(pieces.flatMap((piece) => [...piece]));
}

function get16(bytes: Bytes, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint16(at);
}

function get32(bytes: Bytes, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
}

function set16(bytes: Bytes, at: number, value: number): void {
  new DataView(bytes.buffer, bytes.byteOffset).setUint16(at, value);
}

function set32(bytes: Bytes, at: number, value: number): void {
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(at, value);
}
