/**
 * Usual world of a tunnel test: a client that knows its gateway's endpoint, and a gateway that knows its client's key.
 */
import type { AeadProvider } from "../../../lib/core/noise/aead.ts";
import type { X25519Provider } from "../../../lib/core/noise/key_pair.ts";
import type { WatchOptions } from "../../../lib/core/wireguard/liveness/liveness.ts";
import type { Peer, PeerOptions } from "../../../lib/core/wireguard/peer.ts";
import type { Memory } from "../../../lib/core/wire/memory.ts";
import { assert } from "../assert.ts";
import type { Datagram, LinkConditions } from "./memory_link.ts";
import { buildUdp, type Bytes } from "./packet_builder.ts";
import { ipv4, type SimulatedDevice } from "./simulated_device.ts";
import { Simulation } from "./simulation.ts";

export const CLIENT_INNER = "10.66.77.2";
export const GATEWAY_INNER = "10.66.77.1";
const CLIENT_INNER6 = "fd00:77::2";
const GATEWAY_INNER6 = "fd00:77::1";
export const INITIATION = 1;
export const RESPONSE = 2;
export const COOKIE_REPLY = 3;
export const TRANSPORT = 4;
/** Bytes of a transport message without a packet. */
export const KEEPALIVE_SIZE = 32;

/** A datagram that was sent, by whom and when. */
export interface Sent extends Datagram {
  readonly type: number;
  readonly at: number;
  readonly sender: SimulatedDevice;
}

export interface TunnelPair {
  readonly simulation: Simulation;
  readonly client: SimulatedDevice;
  readonly gateway: SimulatedDevice;
  /** The gateway, as the client knows it. */
  readonly toGateway: Peer;
  /** The client, as the gateway knows it. */
  readonly toClient: Peer;
  /** All datagrams sent, lost ones included; a test may empty it. */
  readonly sent: Sent[];
}

export interface TunnelPairOptions {
  readonly seed?: number;
  readonly link?: LinkConditions;
  readonly aead?: (memory: Memory) => AeadProvider;
  readonly x25519?: X25519Provider;
  readonly mtu?: number;
  /** What the client's or the gateway's peer has besides the usual. */
  readonly toGateway?: Partial<PeerOptions>;
  readonly toClient?: Partial<PeerOptions>;
  /** How each watches the other; left out, it is any WireGuard. */
  readonly clientWatch?: WatchOptions;
  readonly gatewayWatch?: WatchOptions;
  /** Whether both ends carry IPv6 inside, besides IPv4. */
  readonly hasIpv6?: boolean;
  /** Packet workers of the gateway, and of the client. */
  readonly gatewayWorkers?: number;
  readonly clientWorkers?: number;
  /** Messages that the gateway's sockets bring at once, at most; 1 if left out. */
  readonly gatewayBatch?: number;
}

/** Both ends, before their first handshake. */
export function tunnelPair(options: TunnelPairOptions = {}): TunnelPair {
  const { seed = 1, link, aead, x25519, mtu = 1420, hasIpv6 = false } = options;
  const simulation = new Simulation({ seed, ...(link && { link }) });
  const both = { mtu, ...(aead && { aead }), ...(x25519 && { x25519 }) };
  const client = simulation.addDevice({
    name: "client",
    address: "192.0.2.2",
    port: 40_000,
    tunnelAddress: `${CLIENT_INNER}/24`,
    ...(hasIpv6 && { tunnelAddress6: `${CLIENT_INNER6}/64` }),
    ...both,
    ...(options.clientWatch && { watch: options.clientWatch }),
    ...(options.clientWorkers && { workers: options.clientWorkers }),
  });
  const gateway = simulation.addDevice({
    name: "gateway",
    address: "198.51.100.1",
    tunnelAddress: `${GATEWAY_INNER}/24`,
    ...(hasIpv6 && { tunnelAddress6: `${GATEWAY_INNER6}/64` }),
    isGateway: true,
    ...both,
    ...(options.gatewayWatch && { watch: options.gatewayWatch }),
    ...(options.gatewayWorkers && { workers: options.gatewayWorkers }),
    ...(options.gatewayBatch && { batch: options.gatewayBatch }),
  });
  const toGateway = client.addPeer(gateway, [`${GATEWAY_INNER}/24`, "::/0"], {
    endpoint: { address: gateway.address, port: gateway.port },
    ...options.toGateway,
  });
  const toClient = gateway.addPeer(
    client,
    [`${CLIENT_INNER}/32`, `${CLIENT_INNER6}/128`],
    options.toClient,
  );
  const sent: Sent[] = [];
  simulation.onDatagram = (datagram, sender) => {
    sent.push({ ...datagram, type: datagram.bytes[0]!, at: simulation.now, sender });
  };
  return { simulation, client, gateway, toGateway, toClient, sent };
}

/** Both ends after a handshake that the client began, with nothing under way and nothing yet to be answered. */
export function connectedPair(options: TunnelPairOptions = {}): TunnelPair {
  const pair = tunnelPair(options);
  pair.client.initiate(pair.toGateway);
  pair.simulation.run(100);
  assert(pair.toGateway.current !== null && pair.toClient.current !== null, "no session");
  pair.sent.length = 0;
  return pair;
}

/** A packet from the client to the gateway that carries a text. */
export function upward(text: string): Bytes {
  return buildUdp({ payload: new TextEncoder().encode(text) });
}

/** A packet from the gateway to the client that carries a text. */
export function downward(text: string): Bytes {
  return buildUdp({
    source: GATEWAY_INNER,
    destination: CLIENT_INNER,
    payload: new TextEncoder().encode(text),
  });
}

/** The texts of the packets that a device has handed to its host. */
export function receivedTexts(device: SimulatedDevice): string[] {
  return device.tun.written.map((packet) => new TextDecoder().decode(packet.subarray(28)));
}

/** The datagrams of one sender, and of one type if it is given. */
export function sentBy({ sent }: TunnelPair, sender: SimulatedDevice, type?: number): Sent[] {
  return sent.filter((it) => it.sender === sender && (type === undefined || it.type === type));
}

/** Hands a datagram to a device as if it came from elsewhere. */
export function deliver(to: SimulatedDevice, bytes: Uint8Array, from = "203.0.113.66:666"): void {
  const [address, port] = from.split(":") as [string, string];
  to.receive(bytes, { address: ipv4(address), port: Number(port) });
}

/** The next message that carries `text` up, kept off the link. */
export function sealed(pair: TunnelPair, text: string): Bytes {
  const { onDatagram } = pair.simulation;
  let bytes: Bytes | null = null;
  pair.simulation.onDatagram = (datagram) => {
    bytes = datagram.bytes;
    return false;
  };
  pair.client.send(upward(text));
  pair.simulation.onDatagram = onDatagram;
  assert(bytes !== null, "nothing was sealed");
  return bytes;
}
