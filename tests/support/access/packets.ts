/** Packets between peers of an access world, for tests. */
import { ADDRESSES } from "./world.ts";
import { buildIcmp, buildTcp, buildUdp, type Bytes } from "../packets/packet_builder.ts";

export const [laptop, printer, phone, server] = Object.values(ADDRESSES) as [
  string,
  string,
  string,
  string,
];
export const SYN = 0x02;
export const SYN_ACK = 0x12;
export const ACK = 0x10;
export const FIN_ACK = 0x11;

export function tcp(
  source: string,
  destination: string,
  port: number,
  flags = SYN,
  own = 40_000,
): Bytes {
  return buildTcp({ source, destination, sourcePort: own, destinationPort: port, flags });
}

/** What the other end sends back in the flow of `tcp()`. */
export function tcpAnswer(
  source: string,
  destination: string,
  port: number,
  flags = SYN_ACK,
): Bytes {
  return buildTcp({ source, destination, sourcePort: port, destinationPort: 40_000, flags });
}

export function udp(source: string, destination: string, port: number, own = 40_000): Bytes {
  return buildUdp({ source, destination, sourcePort: own, destinationPort: port });
}

export function udpAnswer(source: string, destination: string, port: number): Bytes {
  return buildUdp({ source, destination, sourcePort: port, destinationPort: 40_000 });
}

export function echo(source: string, destination: string, type = 8, identifier = 77): Bytes {
  return buildIcmp({ source, destination, type, identifier });
}

/** An ICMP error about a packet. */
export function error(source: string, about: Bytes, destination: string, quoted = 28): Bytes {
  return buildIcmp({ source, destination, type: 3, payload: about.slice(0, quoted) });
}
