/**
 * Segments of the tests of fake TCP, which are the same over IPv4 and over IPv6: a test's addresses are int32, and over
 * IPv6 each stands for one in a /64 of its own.
 */
import { addressPair, type FourTuple } from "../../../lib/core/transport/fake_tcp/four_tuple.ts";
import type { FakeTcp } from "../../../lib/core/transport/fake_tcp/fake_tcp.ts";
import type { Session } from "../../../lib/core/transport/fake_tcp/session.ts";
import { type HostAddress, ipv6At, ipv6Bytes } from "../../../lib/core/wire/host_address.ts";
import { type Bytes, referenceChecksum } from "../packets/packet_builder.ts";

export const [FIN, SYN, RST, PSH, ACK] = [1, 2, 4, 8, 16] as const;

/** 192.0.2.1 and 198.51.100.9: the second is negative as int32, as half of all addresses are. */
export const CLIENT_ADDRESS = 0x0c000201 | 0;
export const SERVER_ADDRESS = 0xc6336409 | 0;
export const SERVER_PORT = 443;
export const CLIENT_PORTS = { first: 40_000, last: 40_015 };

/** 2001:db8::/32; the test's address stands behind it. */
const NETWORK6 = 0x20010db8;

let overIpv6 = false;

/** A test that is run over IPv4, and then over IPv6. */
export function familyTest(name: string, test: () => void): void {
  for (const family of ["IPv4", "IPv6"] as const) {
    Deno.test(`${name}, over ${family}`, () => {
      overIpv6 = family === "IPv6";
      try {
        test();
      } finally {
        overIpv6 = false;
      }
    });
  }
}

/** Bytes of IP's and TCP's headers without options, over what the test runs over. */
export function headersSize(): number {
  return overIpv6 ? 60 : 40;
}

/** An address of a test's by value, over what it runs over. */
export function hostAddress(address: number): HostAddress {
  if (!overIpv6) return address >>> 0;
  const view = new DataView(new ArrayBuffer(16));
  writeAddress6(view, 0, address);
  return ipv6At(view, 0);
}

/** A four-tuple between two of a test's addresses. */
export function tupleOf(
  ends: { remote: number; remotePort: number; local: number; localPort: number },
): FourTuple {
  const addresses = addressPair(hostAddress(ends.remote), hostAddress(ends.local));
  return { addresses, remotePort: ends.remotePort, localPort: ends.localPort };
}

/** The connection that a segment with these ends belongs to. */
export function findSession(
  transport: Pick<FakeTcp, "find">,
  { addresses, remotePort, localPort }: FourTuple,
): Session | null {
  const view = new DataView(new ArrayBuffer(32));
  addresses.forEach((word, i) => view.setInt32(4 * i, word));
  const size = 2 * addresses.length;
  return transport.find(view, 0, size, size, remotePort, localPort);
}

/** What a segment says. */
export interface Segment {
  readonly source: number;
  readonly destination: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly flags: number;
  readonly seq: number;
  readonly ack: number;
  readonly window: number;
  readonly options: Bytes;
  readonly payload: Bytes;
}

/** Where the TCP header of a packet begins. */
export function segmentAt(packet: Bytes): number {
  return packet[0]! >> 4 === 6 ? 40 : 20;
}

export function read(packet: Bytes): Segment {
  const view = new DataView(packet.buffer);
  const at = segmentAt(packet);
  const headerSize = packet[at + 12]! >> 4 << 2;
  return {
    source: view.getInt32(12),
    destination: view.getInt32(at === 40 ? 28 : 16),
    sourcePort: view.getUint16(at),
    destinationPort: view.getUint16(at + 2),
    flags: packet[at + 13]!,
    seq: view.getUint32(at + 4),
    ack: view.getUint32(at + 8),
    window: view.getUint16(at + 14),
    options: packet.slice(at + 20, at + headerSize),
    payload: packet.slice(at + headerSize),
  };
}

/**
 * Makes the checksums, and the length, right, as the sender of packets does, or a middlebox that changes one on its
 * way.
 */
export function completed(packet: Bytes): Bytes {
  const view = new DataView(packet.buffer);
  const at = segmentAt(packet);
  const size = packet.length - at;
  view.setUint16(at + 16, 0);
  const addresses = at === 40 ? packet.subarray(8, 40) : packet.subarray(12, 20);
  const summed = new Uint8Array(addresses.length + 8 + size);
  summed.set(addresses);
  new DataView(summed.buffer).setUint32(addresses.length, size);
  summed[addresses.length + 7] = 6;
  summed.set(packet.subarray(at), addresses.length + 8);
  view.setUint16(at + 16, referenceChecksum(summed));
  if (at === 40) view.setUint16(4, size);
  else {
    view.setUint16(2, packet.length);
    view.setUint16(10, 0);
    view.setUint16(10, referenceChecksum(packet.subarray(0, 20)));
  }
  return packet;
}

/** A segment without options, from the fields that matter; the client's to the server unless told otherwise. */
export function build(fields: Partial<Segment>): Bytes {
  const options = fields.options ?? new Uint8Array();
  const payload = fields.payload ?? new Uint8Array();
  const packet = new Uint8Array(headersSize() + options.length + payload.length);
  const view = new DataView(packet.buffer);
  const { source = CLIENT_ADDRESS, destination = SERVER_ADDRESS } = fields;
  if (overIpv6) {
    packet.set([0x60, 0, 0, 0, 0, 0, 6, 64]);
    writeAddress6(view, 8, source);
    writeAddress6(view, 24, destination);
  } else {
    packet.set([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6]);
    view.setInt32(12, source);
    view.setInt32(16, destination);
  }
  const at = segmentAt(packet);
  view.setUint16(at, fields.sourcePort ?? CLIENT_PORTS.first);
  view.setUint16(at + 2, fields.destinationPort ?? SERVER_PORT);
  view.setUint32(at + 4, fields.seq ?? 0);
  view.setUint32(at + 8, fields.ack ?? 0);
  packet[at + 12] = (20 + options.length) / 4 << 4;
  packet[at + 13] = fields.flags ?? ACK;
  view.setUint16(at + 14, fields.window ?? 65_535);
  packet.set(options, at + 20);
  packet.set(payload, at + 20 + options.length);
  return completed(packet);
}

/** A segment of IPv6, from 2001:db8::2 to 2001:db8::1 unless told otherwise. */
export function segment6(
  { source = "2001:db8::2", destination = "2001:db8::1", ...ports }: {
    readonly source?: string;
    readonly destination?: string;
    readonly sourcePort?: number;
    readonly destinationPort?: number;
    readonly flags?: number;
    readonly seq?: number;
    readonly ack?: number;
    readonly payload?: Bytes;
  },
): Bytes {
  const { sourcePort = 40_000, destinationPort = 443, payload = new Uint8Array() } = ports;
  const { flags = PSH | ACK, seq = 0, ack = 0 } = ports;
  const packet = new Uint8Array(60 + payload.length);
  const view = new DataView(packet.buffer);
  packet.set([0x60, 0, 0, 0, 0, 0, 6, 64]);
  packet.set(ipv6Bytes(source), 8);
  packet.set(ipv6Bytes(destination), 24);
  view.setUint16(40, sourcePort);
  view.setUint16(42, destinationPort);
  view.setUint32(44, seq);
  view.setUint32(48, ack);
  packet.set([0x50, flags, 0xff, 0xff], 52);
  packet.set(payload, 60);
  return completed(packet);
}

function writeAddress6(view: DataView, at: number, address: number): void {
  view.setInt32(at, NETWORK6);
  view.setInt32(at + 4, address);
  view.setInt32(at + 8, 0);
  view.setInt32(at + 12, 1);
}

/** The opposite direction's addresses and ports. */
export function back(segment: Segment): Partial<Segment> {
  return {
    source: segment.destination,
    destination: segment.source,
    sourcePort: segment.destinationPort,
    destinationPort: segment.sourcePort,
  };
}

/** Addresses and ports of what this end of a connection sends. */
export function fromHere(session: Session): Partial<Segment> {
  return {
    source: addressOf(session, 1),
    destination: addressOf(session, 0),
    sourcePort: session.localPort,
    destinationPort: session.remotePort,
  };
}

/** The same of what the other end sends. */
export function fromThere(session: Session): Partial<Segment> {
  return {
    source: addressOf(session, 0),
    destination: addressOf(session, 1),
    sourcePort: session.remotePort,
    destinationPort: session.localPort,
  };
}

/** The test's address of an end: 0 is the far one, 1 ours. */
function addressOf({ addresses }: Session, end: 0 | 1): number {
  return addresses.length === 2 ? addresses[end] : addresses[4 * end + 1];
}
