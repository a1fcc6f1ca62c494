/** Published services for tests: descriptions of them, and who of their back ends gets what. */
import type { NatBackEnd, NatService } from "../../../lib/core/nat/nat_options.ts";
import { buildTcp, buildUdp, type Bytes } from "../packets/packet_builder.ts";
import { ACK, address, EXTERNAL, read, RST, type Sent, SYN, type World } from "./world.ts";

export const WEB = ["10.66.77.11", "10.66.77.12", "10.66.77.13"] as const;
export const VIRTUAL = "203.0.113.80";
/** The port of each service, and that of its back ends. */
export const PORT = 443;
export const INNER_PORT = 8443;

export function backEnd(text: string, fields: Partial<NatBackEnd> = {}): NatBackEnd {
  return {
    name: `${text}:${INNER_PORT}`,
    address: address(text),
    port: INNER_PORT,
    isOutside: false,
    isUp: true,
    isDraining: false,
    ...fields,
  };
}

export function service(fields: Partial<NatService> = {}): NatService {
  return {
    protocol: "tcp",
    externalAddress: null,
    externalPort: PORT,
    method: "hash",
    backEnds: WEB.map((text) => backEnd(text)),
    ...fields,
  };
}

/** A remote end. */
export interface Remote {
  readonly address: string;
  readonly port: number;
}

/** As many as are wanted, of several addresses. */
export function remotes(count: number): Remote[] {
  return Array.from({ length: count }, (_, i) => ({
    address: `198.51.${100 + i % 16}.${i % 250 + 1}`,
    port: 1024 + i,
  }));
}

/** What a remote end sends to the service. */
export function toService(
  { address: source, port: sourcePort }: Remote,
  {
    flags = SYN,
    sequenceNumber = 0,
    destination = EXTERNAL,
    isUdp = false,
    payload = new Uint8Array(),
  } = {},
): Bytes {
  const ends = { source, sourcePort, destination, destinationPort: PORT, payload };
  return isUdp ? buildUdp(ends) : buildTcp({ ...ends, flags, sequenceNumber });
}

/** The answer to a packet that says that more was sent than it acknowledges: RFC 9293 section 3.10.7.3. */
export function resetFor(challenge: Bytes): Bytes {
  const { source, sourcePort, destination, destinationPort } = read(challenge);
  return buildTcp({
    source: destination,
    sourcePort: destinationPort,
    destination: source,
    destinationPort: sourcePort,
    flags: RST,
    sequenceNumber: acknowledgmentOf(challenge) ?? 0,
  });
}

/** What a packet without IP options acknowledges; null where it is no SYN/ACK. */
export function acknowledgmentOf(packet: Bytes): number | null {
  const flags = packet[33] & (SYN | ACK | RST);
  return flags === (SYN | ACK)
    ? new DataView(packet.buffer, packet.byteOffset).getUint32(28)
    : null;
}

/** What a back end in the tunnel sends a remote end. */
export function fromBackEnd(
  source: string,
  { address: destination, port: destinationPort }: Remote,
  { flags = ACK, isUdp = false } = {},
): Bytes {
  const ends = { source, sourcePort: INNER_PORT, destination, destinationPort };
  return isUdp ? buildUdp(ends) : buildTcp({ ...ends, flags });
}

/** The address of the back end in the tunnel that got the one packet that was sent; null where none was. */
export function receiverOf(sent: Sent): string | null {
  const [packet] = sent.inside;
  return packet === undefined ? null : read(packet).destination;
}

/** Opens a connection, as far as the back end's first data. Returns the back end. */
export function connect(world: World, remote: Remote, destination = EXTERNAL): string {
  const receiver = receiverOf(world.inbound(toService(remote, { destination })))!;
  world.outbound(fromBackEnd(receiver, remote, { flags: SYN | ACK }));
  world.inbound(toService(remote, { flags: ACK, destination }));
  world.outbound(fromBackEnd(receiver, remote));
  return receiver;
}
