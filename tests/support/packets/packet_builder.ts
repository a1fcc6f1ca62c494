/**
 * Making of packets for tests: right in every field by default, wrong in those that are given.
 *
 * Nothing here comes from `lib/wire`: lengths and checksums are made the slow and obvious way, so that the code under
 * test is never its own judge.
 */

/** Bytes of a new buffer of their own. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** The fields of an IPv4 header. Left out: what a plain packet has; lengths and checksum: what is right. */
export interface Ipv4Fields {
  /** Dotted decimal. */
  readonly source?: string;
  /** Dotted decimal. */
  readonly destination?: string;
  readonly version?: number;
  /** In 32-bit words. */
  readonly ihl?: number;
  readonly typeOfService?: number;
  readonly totalLength?: number;
  readonly identification?: number;
  readonly dontFragment?: boolean;
  readonly moreFragments?: boolean;
  /** In units of eight bytes. */
  readonly fragmentOffset?: number;
  readonly timeToLive?: number;
  readonly protocol?: number;
  readonly headerChecksum?: number;
  /** Padded with zeros (end of options) to whole words. */
  readonly options?: Uint8Array | readonly number[];
}

/** What a packet builder makes unless it is told otherwise. */
export const DEFAULT_SOURCE = "10.66.77.2";
export const DEFAULT_DESTINATION = "10.66.77.1";

/** An IPv4 packet with any payload. */
export function buildIpv4(fields: Ipv4Fields & { readonly payload?: Uint8Array } = {}): Bytes {
  const options = Uint8Array.from(fields.options ?? []);
  const headerSize = 20 + Math.ceil(options.length / 4) * 4;
  const payload = fields.payload ?? new Uint8Array();
  const packet = new Uint8Array(headerSize + payload.length);
  const view = new DataView(packet.buffer);
  packet[0] = (fields.version ?? 4) << 4 | (fields.ihl ?? headerSize / 4);
  packet[1] = fields.typeOfService ?? 0;
  view.setUint16(2, fields.totalLength ?? packet.length);
  view.setUint16(4, fields.identification ?? 0x1234);
  const flags = (fields.dontFragment ? 0x4000 : 0) | (fields.moreFragments ? 0x2000 : 0);
  view.setUint16(6, flags | (fields.fragmentOffset ?? 0));
  packet[8] = fields.timeToLive ?? 64;
  packet[9] = fields.protocol ?? 253;
  packet.set(addressBytes(fields.source ?? DEFAULT_SOURCE), 12);
  packet.set(addressBytes(fields.destination ?? DEFAULT_DESTINATION), 16);
  packet.set(options, 20);
  // The receiver sums as many words as the header says it has, right or wrong.
  const summed = packet.subarray(0, Math.min((packet[0]! & 15) * 4, packet.length));
  view.setUint16(10, fields.headerChecksum ?? referenceChecksum(summed));
  packet.set(payload, headerSize);
  return packet;
}

/** The fields of a UDP datagram, its IPv4 header included. */
export interface UdpFields extends Ipv4Fields {
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly length?: number;
  readonly checksum?: number;
  readonly payload?: Uint8Array;
}

/** A UDP datagram in an IPv4 packet. */
export function buildUdp(fields: UdpFields = {}): Bytes {
  const payload = fields.payload ?? new Uint8Array();
  const segment = new Uint8Array(8 + payload.length);
  const view = new DataView(segment.buffer);
  view.setUint16(0, fields.sourcePort ?? 40_000);
  view.setUint16(2, fields.destinationPort ?? 53);
  view.setUint16(4, fields.length ?? segment.length);
  segment.set(payload, 8);
  const computed = transportChecksum(fields, 17, segment);
  view.setUint16(6, fields.checksum ?? (computed === 0 ? 0xffff : computed));
  return buildIpv4({ protocol: 17, ...fields, payload: segment });
}

/** The fields of a TCP segment. */
export interface SegmentFields {
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly sequenceNumber?: number;
  readonly acknowledgmentNumber?: number;
  /** In 32-bit words. */
  readonly dataOffset?: number;
  /** FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128; ACK unless told otherwise. */
  readonly flags?: number;
  readonly window?: number;
  readonly checksum?: number;
  readonly urgentPointer?: number;
  /** Padded with zeros (end of options) to whole words. */
  readonly tcpOptions?: Uint8Array | readonly number[];
  readonly payload?: Uint8Array;
}

/** The same with its IPv4 header's. */
export interface TcpFields extends Ipv4Fields, SegmentFields {
  readonly payload?: Uint8Array;
}

/** A TCP segment in an IPv4 packet. */
export function buildTcp(fields: TcpFields = {}): Bytes {
  const segment = tcpSegment(fields, (segment) => transportChecksum(fields, 6, segment));
  return buildIpv4({ protocol: 6, ...fields, payload: segment });
}

/** A TCP segment alone; `checksumOf` works out its checksum, of which the field is 0 yet. */
export function tcpSegment(fields: SegmentFields, checksumOf: (segment: Bytes) => number): Bytes {
  const payload = fields.payload ?? new Uint8Array();
  const options = Uint8Array.from(fields.tcpOptions ?? []);
  const headerSize = 20 + Math.ceil(options.length / 4) * 4;
  const segment = new Uint8Array(headerSize + payload.length);
  const view = new DataView(segment.buffer);
  view.setUint16(0, fields.sourcePort ?? 40_000);
  view.setUint16(2, fields.destinationPort ?? 80);
  view.setUint32(4, fields.sequenceNumber ?? 1);
  view.setUint32(8, fields.acknowledgmentNumber ?? 0);
  segment[12] = (fields.dataOffset ?? headerSize / 4) << 4;
  segment[13] = fields.flags ?? 0x10;
  view.setUint16(14, fields.window ?? 65_535);
  view.setUint16(18, fields.urgentPointer ?? 0);
  segment.set(options, 20);
  segment.set(payload, headerSize);
  view.setUint16(16, fields.checksum ?? checksumOf(segment));
  return segment;
}

/** The fields of an ICMP message, its IPv4 header included. */
export interface IcmpFields extends Ipv4Fields {
  /** Echo (8) unless told otherwise. */
  readonly type?: number;
  readonly code?: number;
  readonly checksum?: number;
  readonly identifier?: number;
  readonly sequenceNumber?: number;
  readonly payload?: Uint8Array;
}

/** An ICMP message in an IPv4 packet. */
export function buildIcmp(fields: IcmpFields = {}): Bytes {
  const payload = fields.payload ?? new Uint8Array();
  const message = new Uint8Array(8 + payload.length);
  const view = new DataView(message.buffer);
  message[0] = fields.type ?? 8;
  message[1] = fields.code ?? 0;
  view.setUint16(4, fields.identifier ?? 1);
  view.setUint16(6, fields.sequenceNumber ?? 1);
  message.set(payload, 8);
  view.setUint16(2, fields.checksum ?? referenceChecksum(message));
  return buildIpv4({ protocol: 1, ...fields, payload: message });
}

/** The fragments of a packet without options, each of at most `mtu` bytes, in order. */
export function fragment(packet: Uint8Array, mtu: number): Bytes[] {
  const payload = packet.subarray(20);
  const step = Math.floor((mtu - 20) / 8) * 8;
  const fragments: Bytes[] = [];
  for (let at = 0; at < payload.length; at += step) {
    const part = payload.subarray(at, at + step);
    const bytes = new Uint8Array(20 + part.length);
    bytes.set(packet.subarray(0, 20));
    bytes.set(part, 20);
    const view = new DataView(bytes.buffer);
    view.setUint16(2, bytes.length);
    view.setUint16(6, (at + step < payload.length ? 0x2000 : 0) | at / 8);
    view.setUint16(10, 0);
    view.setUint16(10, referenceChecksum(bytes.subarray(0, 20)));
    fragments.push(bytes);
  }
  return fragments;
}

/** RFC 1071 word by word as its section 1 states it, for judging the fast one. An odd byte is followed by a zero. */
export function referenceChecksum(bytes: Uint8Array): number {
  let total = 0;
  for (let at = 0; at < bytes.length; at += 2) {
    total += bytes[at]! * 256 + (bytes[at + 1] ?? 0);
    if (total > 0xffff) total -= 0xffff;
  }
  return 0xffff - total;
}

/** Makes the header checksum of a packet right, whatever else is wrong with it; not where it has no whole header. */
export function repairHeaderChecksum(packet: Bytes): void {
  const headerSize = ((packet[0] ?? 0) & 15) * 4;
  if (headerSize < 20 || headerSize > packet.length) return;
  packet.fill(0, 10, 12);
  new DataView(packet.buffer).setUint16(10, referenceChecksum(packet.subarray(0, headerSize)));
}

/** The bytes of hexadecimal text; white space is for the reader. */
export function hex(text: string): Bytes {
  const digits = text.replace(/\s+/g, "");
  if (!/^(?:[0-9a-f]{2})*$/i.test(digits)) throw new Error(`Cannot read hex: "${text}"`);
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

function transportChecksum(fields: Ipv4Fields, protocol: number, segment: Bytes): number {
  const pseudo = new Uint8Array(12 + segment.length);
  pseudo.set(addressBytes(fields.source ?? DEFAULT_SOURCE), 0);
  pseudo.set(addressBytes(fields.destination ?? DEFAULT_DESTINATION), 4);
  pseudo[9] = protocol;
  new DataView(pseudo.buffer).setUint16(10, segment.length);
  pseudo.set(segment, 12);
  return referenceChecksum(pseudo);
}

function addressBytes(text: string): Bytes {
  const octets = text.split(".").map(Number);
  if (octets.length !== 4 || octets.some((octet) => !(octet >= 0 && octet <= 255))) {
    throw new Error(`Cannot read the address "${text}": four octets are needed`);
  }
  return Uint8Array.from(octets);
}
