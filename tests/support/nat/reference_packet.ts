/**
 * Packets as objects, for the reference NAT: taken apart, changed, and rebuilt with every checksum worked out in
 * full.
 */
import { buildIcmp, buildTcp, buildUdp, type Bytes } from "../packets/packet_builder.ts";
import { addressText } from "./world.ts";

export interface Packet {
  source: string;
  destination: string;
  typeOfService: number;
  identification: number;
  dontFragment: boolean;
  timeToLive: number;
  protocol: number;
  options: Bytes;
  /** Of TCP and UDP; for an ICMP query, `sourcePort` or `destinationPort` is the id, by its direction. */
  sourcePort: number;
  destinationPort: number;
  /** TCP's flags; ICMP's type. */
  kind: number;
  /** What stands in the transport header besides, as it came. */
  transport: Bytes;
  bytes: Bytes;
}

/** Takes a packet apart; it may be cut off behind the first eight bytes of its transport header. */
export function decode(bytes: Bytes): Packet {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const headerSize = (bytes[0] & 15) * 4;
  const transport = bytes.slice(headerSize);
  const at = new DataView(transport.buffer);
  const protocol = bytes[9];
  const id = at.getUint16(4);
  return {
    source: addressText(view.getUint32(12)),
    destination: addressText(view.getUint32(16)),
    typeOfService: bytes[1],
    identification: view.getUint16(4),
    dontFragment: (view.getUint16(6) & 0x4000) !== 0,
    timeToLive: bytes[8],
    protocol,
    options: bytes.slice(20, headerSize),
    sourcePort: protocol === 1 ? id : at.getUint16(0),
    destinationPort: protocol === 1 ? id : at.getUint16(2),
    kind: protocol === 6 ? transport[13] : transport[0],
    transport,
    bytes,
  };
}

/** Makes a packet from its fields, every checksum computed; a UDP checksum that was 0 stays so. */
export function encode(packet: Packet): Bytes {
  const { transport, protocol } = packet;
  const at = new DataView(transport.buffer, transport.byteOffset);
  const header = {
    source: packet.source,
    destination: packet.destination,
    typeOfService: packet.typeOfService,
    identification: packet.identification,
    dontFragment: packet.dontFragment,
    timeToLive: packet.timeToLive,
    options: packet.options,
  };
  if (protocol === 17) {
    return buildUdp({
      ...header,
      sourcePort: packet.sourcePort,
      destinationPort: packet.destinationPort,
      ...(at.getUint16(6) === 0 ? { checksum: 0 } : {}),
      payload: transport.slice(8),
    });
  }
  if (protocol === 6) {
    const size = (transport[12] >>> 4) * 4;
    return buildTcp({
      ...header,
      sourcePort: packet.sourcePort,
      destinationPort: packet.destinationPort,
      sequenceNumber: at.getUint32(4),
      acknowledgmentNumber: at.getUint32(8),
      flags: transport[13],
      window: at.getUint16(14),
      urgentPointer: at.getUint16(18),
      tcpOptions: transport.slice(20, size),
      payload: transport.slice(size),
    });
  }
  // The direction of a query says which of the two was changed.
  const original = at.getUint16(4);
  return buildIcmp({
    ...header,
    type: transport[0],
    code: transport[1],
    identifier: packet.sourcePort !== original ? packet.sourcePort : packet.destinationPort,
    sequenceNumber: at.getUint16(6),
    payload: transport.slice(8),
  });
}

/** An ICMP error with what it quotes put back as the receiver knows it; what is cut off stays cut off. */
export function requoted(error: Packet, quoted: Packet): Bytes {
  const headerSize = quoted.bytes.length - quoted.transport.length;
  const changed = quoted.bytes.slice();
  const view = new DataView(changed.buffer);
  const isWhole = view.getUint16(2) <= changed.length;
  const before = [quoted.bytes.slice(12, 20), quoted.bytes.slice(headerSize, headerSize + 4)];
  changed.set(quoted.source.split(".").map(Number), 12);
  changed.set(quoted.destination.split(".").map(Number), 16);
  if (quoted.protocol === 1) {
    const id = view.getUint16(headerSize + 4);
    const port = quoted.sourcePort !== id ? quoted.sourcePort : quoted.destinationPort;
    view.setUint16(headerSize + 4, port);
  } else {
    view.setUint16(headerSize, quoted.sourcePort);
    view.setUint16(headerSize + 2, quoted.destinationPort);
  }
  view.setUint16(10, 0);
  view.setUint16(10, checksum(changed.slice(0, headerSize)));
  const checksumAt = headerSize + { 1: 2, 6: 16, 17: 6 }[quoted.protocol]!;
  if (isWhole) {
    const whole = encode({ ...quoted, transport: quoted.transport });
    changed.set(whole.slice(checksumAt, checksumAt + 2), checksumAt);
  } else if (checksumAt + 2 <= changed.length) {
    // Of a packet that is cut off, nobody can compute it again: what was taken away is replaced by what came.
    const after = [changed.slice(12, 20), changed.slice(headerSize, headerSize + 4)];
    const isNone = quoted.protocol === 17 && view.getUint16(checksumAt) === 0;
    if (!isNone) {
      const ids = [
        quoted.bytes.slice(headerSize + 4, headerSize + 6),
        changed.slice(headerSize + 4, headerSize + 6),
      ];
      const [from, to] = quoted.protocol === 1 ? [[ids[0]], [ids[1]]] : [before, after];
      const total = 0xffff - view.getUint16(checksumAt) + words(to) - words(from);
      const folded = ((total % 0xffff) + 0xffff) % 0xffff;
      const sum = 0xffff - (folded === 0 ? 0xffff : folded);
      view.setUint16(checksumAt, quoted.protocol === 17 && sum === 0 ? 0xffff : sum);
    }
  }
  return buildIcmp({
    source: error.source,
    destination: error.destination,
    typeOfService: error.typeOfService,
    identification: error.identification,
    dontFragment: error.dontFragment,
    timeToLive: error.timeToLive - 1,
    options: error.options,
    type: error.transport[0],
    code: error.transport[1],
    identifier: error.transport[4] * 256 + error.transport[5],
    sequenceNumber: error.transport[6] * 256 + error.transport[7],
    payload: changed,
  });
}

function words(parts: readonly Bytes[]): number {
  let total = 0;
  for (const part of parts) {
    for (let at = 0; at < part.length; at += 2) total += part[at] * 256 + part[at + 1];
  }
  return total;
}

/** RFC 1071's checksum, by a remainder. */
export function checksum(bytes: Bytes): number {
  const total = words([bytes]) % 0xffff;
  return 0xffff - (total === 0 ? 0xffff : total);
}

/** Lowers the MSS option of a SYN. */
export function clampMss(packet: Packet, limit: number): void {
  if (packet.protocol !== 6 || (packet.kind & 2) === 0) return;
  const { transport } = packet;
  const end = (transport[12] >>> 4) * 4;
  for (let at = 20; at < end;) {
    const kind = transport[at];
    if (kind === 0) return;
    const size = kind === 1 ? 1 : transport[at + 1];
    if (kind === 2) {
      const mss = Math.min(limit, transport[at + 2] * 256 + transport[at + 3]);
      transport.set([mss >>> 8, mss & 0xff], at + 2);
      return;
    }
    at += size;
  }
}

/** A packet as it leaves: whole, or in fragments where it is too long. */
export function fit(packet: Packet, mtu: number): Bytes[] {
  const bytes = encode(packet);
  if (bytes.length <= mtu) return [bytes];
  const headerSize = 20 + packet.options.length;
  const payload = bytes.slice(headerSize);
  const size = Math.floor((mtu - headerSize) / 8) * 8;
  const fragments: Bytes[] = [];
  for (let at = 0; at < payload.length; at += size) {
    const options = at === 0 ? [...packet.options] : copiedOptions(packet.options);
    const part = payload.slice(at, at + size);
    const fragment = new Uint8Array([...bytes.slice(0, 20), ...options, ...part]);
    const view = new DataView(fragment.buffer);
    view.setUint8(0, 0x45 + options.length / 4);
    view.setUint16(2, fragment.length);
    view.setUint16(6, at / 8 + (at + size < payload.length ? 0x2000 : 0));
    view.setUint16(10, 0);
    view.setUint16(10, checksum(fragment.slice(0, 20 + options.length)));
    fragments.push(fragment);
  }
  return fragments;
}

/** What later fragments have of a packet's options: those whose first bit is set (RFC 791), to whole words. */
function copiedOptions(options: Bytes): number[] {
  const copied: number[] = [];
  for (let at = 0; at < options.length && options[at] !== 0;) {
    const size = options[at] === 1 ? 1 : options[at + 1];
    if (options[at] >= 128) copied.push(...options.slice(at, at + size));
    at += size;
  }
  while (copied.length % 4 !== 0) copied.push(0);
  return copied;
}
