/** Stage for tests of the NAT of IPv6: `World` with its addresses, and packets read the slow way. */
import type { Ipv6Headers } from "../../../lib/core/nat/headers/ipv6_headers.ts";
import { assertEquals } from "../assert.ts";
import { type Bytes, referenceChecksum } from "../packets/packet_builder.ts";
import { World, type WorldOptions } from "./world.ts";

export const EXTERNAL6 = "2001:db8:1:0:0:0:0:1";
export const GATEWAY6 = "fd00:77:0:0:0:0:0:1";
export const CLIENT6 = "fd00:77:0:0:0:0:0:2";
export const CLIENT6_2 = "fd00:77:0:0:0:0:0:3";
export const REMOTE6 = "2001:db8:f:0:0:0:0:7";
export const REMOTE6_2 = "2a00:0:0:8000:8000:0:0:8000";

const FRAGMENT_HEADER = 44;

export type World6 = World & { readonly headers: Ipv6Headers };

export function createWorld6(options: WorldOptions = {}): World6 {
  const world = new World({
    externalAddress: EXTERNAL6,
    innerAddress: GATEWAY6,
    clientOf6: textOf,
    ...options,
  });
  return Object.assign(world, { headers: world.nat.headers[0]! });
}

/** The text of an address that the NAT knows by a number. */
function textOf({ holds }: Ipv6Headers, address: number): string {
  const at = holds.offsetOf(address);
  return address6Text(new Uint8Array(holds.view.buffer.slice(at, at + 16) as ArrayBuffer));
}

/** An address as in the constants here: eight groups, none left out. */
export function address6Text(bytes: Bytes): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return Array.from({ length: 8 }, (_, i) => view.getUint16(2 * i).toString(16)).join(":");
}

/** Fields of a packet, as `Fields` of IPv4. */
export interface Fields6 {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly hopLimit: number;
  /** Of a fragment; null for none. */
  readonly fragment: {
    readonly identification: number;
    /** Bytes. */
    readonly offset: number;
    readonly hasMore: boolean;
  } | null;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly type: number;
  readonly code: number;
  readonly identifier: number;
  readonly mtu: number;
  readonly flags: number;
  /** Behind all IPv6 headers. */
  readonly transport: Bytes;
}

/**
 * Reads a packet, whose only extension header may be a fragment's, and fails unless its length and its checksum are
 * right, worked out in full. What an ICMPv6 error quotes may be cut off: `checked: false`.
 */
export function read6(packet: Bytes, { checked = true } = {}): Fields6 {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const isFragment = packet[6] === FRAGMENT_HEADER;
  const protocol = packet[isFragment ? 40 : 6]!;
  const transport = packet.slice(isFragment ? 48 : 40);
  const at = new DataView(transport.buffer);
  const word = (offset: number) => offset + 2 <= transport.length ? at.getUint16(offset) : -1;
  if (checked) {
    assertEquals(40 + view.getUint16(4), packet.length, "wrong payload length");
    if (!isFragment) assertChecksum(packet, protocol, transport);
  }
  return {
    source: address6Text(packet.slice(8, 24)),
    destination: address6Text(packet.slice(24, 40)),
    protocol,
    hopLimit: packet[7]!,
    fragment: !isFragment ? null : {
      identification: view.getUint32(44),
      offset: view.getUint16(42) & 0xfff8,
      hasMore: (view.getUint16(42) & 1) !== 0,
    },
    sourcePort: word(0),
    destinationPort: word(2),
    type: transport[0]!,
    code: transport[1]!,
    identifier: word(4),
    mtu: transport.length < 8 ? -1 : at.getUint32(4),
    flags: transport[13]!,
    transport,
  };
}

function assertChecksum(packet: Bytes, protocol: number, transport: Bytes): void {
  if (protocol === 17 && transport[6] === 0 && transport[7] === 0) return;
  const pseudo = new Uint8Array(40);
  pseudo.set(packet.subarray(8, 40));
  new DataView(pseudo.buffer).setUint32(32, transport.length);
  pseudo[39] = protocol;
  assertEquals(referenceChecksum(new Uint8Array([...pseudo, ...transport])), 0, "wrong checksum");
}

/** The packet that an ICMPv6 error quotes. */
export function quotedBy6(error: Bytes): Bytes {
  return error.slice(48);
}

/** Divides a packet without extension headers into fragments that fit `mtu` bytes (RFC 8200 section 4.5). */
export function fragment6(packet: Bytes, mtu: number, identification: number): Bytes[] {
  const payload = packet.subarray(40);
  const step = (mtu - 48) & ~7;
  return Array.from({ length: Math.ceil(payload.length / step) }, (_, i) => {
    const part = payload.subarray(i * step, (i + 1) * step);
    const fragment = new Uint8Array(48 + part.length);
    const view = new DataView(fragment.buffer);
    fragment.set(packet.subarray(0, 40));
    view.setUint16(4, 8 + part.length);
    fragment[6] = FRAGMENT_HEADER;
    fragment[40] = packet[6]!;
    view.setUint16(42, i * step | ((i + 1) * step < payload.length ? 1 : 0));
    view.setUint32(44, identification);
    fragment.set(part, 48);
    return fragment;
  });
}

/** The packet that fragments make, in any order; fails where one is missing. */
export function reassemble6(fragments: readonly Bytes[]): Bytes {
  const parts = fragments.map((bytes) => ({ bytes, ...read6(bytes) }))
    .sort((a, b) => a.fragment!.offset - b.fragment!.offset);
  let size = 0;
  for (const [index, part] of parts.entries()) {
    assertEquals(part.fragment!.offset, size, "a fragment is missing");
    assertEquals(part.fragment!.hasMore, index < parts.length - 1, "wrong 'more fragments'");
    assertEquals(part.fragment!.identification, parts[0]!.fragment!.identification);
    size += part.transport.length;
  }
  const first = parts[0]!;
  const packet = new Uint8Array(40 + size);
  packet.set(first.bytes.subarray(0, 40));
  new DataView(packet.buffer).setUint16(4, size);
  packet[6] = first.protocol;
  for (const part of parts) packet.set(part.transport, 40 + part.fragment!.offset);
  return packet;
}
