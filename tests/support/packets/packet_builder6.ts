/** Making of IPv6 packets for tests, as packet_builder.ts makes those of IPv4: right in every field by default. */
import { type Bytes, referenceChecksum, type SegmentFields, tcpSegment } from "./packet_builder.ts";

/** What a packet has unless it is told otherwise. */
export const DEFAULT_SOURCE6 = "fd00:77::2";
export const DEFAULT_DESTINATION6 = "fd00:77::1";

/** The fields of an IPv6 header. */
export interface Ipv6Fields {
  readonly source?: string;
  readonly destination?: string;
  readonly version?: number;
  readonly trafficClass?: number;
  readonly flowLabel?: number;
  readonly payloadLength?: number;
  readonly hopLimit?: number;
  /** Of what stands behind the extension headers. */
  readonly protocol?: number;
  /** Extension headers: each one's type, and its bytes, the first of which is made to name the next header. */
  readonly extensions?: readonly (readonly [type: number, bytes: readonly number[]])[];
}

/** An IPv6 packet with any payload. */
export function buildIpv6(fields: Ipv6Fields & { readonly payload?: Uint8Array } = {}): Bytes {
  const { extensions = [], protocol = 253, payload = new Uint8Array() } = fields;
  const types = [...extensions.map(([type]) => type), protocol];
  const headers = extensions.flatMap(([, bytes], i) => [types[i + 1]!, ...bytes.slice(1)]);
  const packet = new Uint8Array(40 + headers.length + payload.length);
  const view = new DataView(packet.buffer);
  view.setUint32(
    0,
    ((fields.version ?? 6) << 28 | (fields.trafficClass ?? 0) << 20 | (fields.flowLabel ?? 0)) >>>
      0,
  );
  view.setUint16(4, fields.payloadLength ?? packet.length - 40);
  packet[6] = types[0]!;
  packet[7] = fields.hopLimit ?? 64;
  packet.set(bytes6(fields.source ?? DEFAULT_SOURCE6), 8);
  packet.set(bytes6(fields.destination ?? DEFAULT_DESTINATION6), 24);
  packet.set(headers, 40);
  packet.set(payload, 40 + headers.length);
  return packet;
}

/** A UDP datagram in an IPv6 packet. */
export function buildUdp6(
  fields: Ipv6Fields & {
    readonly sourcePort?: number;
    readonly destinationPort?: number;
    readonly length?: number;
    readonly payload?: Uint8Array;
  } = {},
): Bytes {
  const payload = fields.payload ?? new Uint8Array();
  const segment = new Uint8Array(8 + payload.length);
  const view = new DataView(segment.buffer);
  view.setUint16(0, fields.sourcePort ?? 40_000);
  view.setUint16(2, fields.destinationPort ?? 53);
  view.setUint16(4, fields.length ?? segment.length);
  segment.set(payload, 8);
  const computed = transportChecksum6(fields, 17, segment);
  view.setUint16(6, computed === 0 ? 0xffff : computed);
  return buildIpv6({ ...fields, protocol: 17, payload: segment });
}

export interface TcpFields6 extends Ipv6Fields, SegmentFields {
  readonly payload?: Uint8Array;
}

/** A TCP segment in an IPv6 packet. */
export function buildTcp6(fields: TcpFields6 = {}): Bytes {
  const segment = tcpSegment(fields, (segment) => transportChecksum6(fields, 6, segment));
  return buildIpv6({ ...fields, protocol: 6, payload: segment });
}

/** An ICMPv6 message in an IPv6 packet; an echo unless told otherwise. */
export function buildIcmp6(
  fields: Ipv6Fields & {
    readonly type?: number;
    readonly code?: number;
    /** The 32 bits behind the checksum, as the MTU of "packet too big". */
    readonly word?: number;
    readonly payload?: Uint8Array;
  } = {},
): Bytes {
  const payload = fields.payload ?? new Uint8Array();
  const message = new Uint8Array(8 + payload.length);
  message[0] = fields.type ?? 128;
  message[1] = fields.code ?? 0;
  new DataView(message.buffer).setUint32(4, fields.word ?? 0);
  message.set(payload, 8);
  new DataView(message.buffer).setUint16(2, transportChecksum6(fields, 58, message));
  return buildIpv6({ ...fields, protocol: 58, payload: message });
}

/** The checksum of RFC 8200 section 8.1, of a segment whose own field is zero. */
export function transportChecksum6(
  { source = DEFAULT_SOURCE6, destination = DEFAULT_DESTINATION6 }: Ipv6Fields,
  protocol: number,
  segment: Uint8Array,
): number {
  const pseudo = new Uint8Array(40 + segment.length);
  pseudo.set(bytes6(source), 0);
  pseudo.set(bytes6(destination), 16);
  new DataView(pseudo.buffer).setUint32(32, segment.length);
  pseudo[39] = protocol;
  pseudo.set(segment, 40);
  return referenceChecksum(pseudo);
}

/** The 16 bytes of an address, `::` once at most; the slow way. */
export function bytes6(text: string): Bytes {
  const [head = "", tail] = text.split("::");
  const groups = (part: string) => part === "" ? [] : part.split(":");
  const [before, after] = [groups(head), groups(tail ?? "")];
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => "0");
  const all = [...before, ...(tail === undefined ? [] : zeros), ...after];
  if (all.length !== 8) throw new Error(`Cannot read the address "${text}"`);
  return Uint8Array.from(all.flatMap((group) => {
    const number = Number.parseInt(group, 16);
    return [number >> 8, number & 0xff];
  }));
}
