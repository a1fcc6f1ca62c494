/** Packets that a tunnel lives by, as a firewall of this host meets them. */
import { ConfigError } from "../../core/config/config_error.ts";
import type { ClientConfig, ServerConfig } from "../../core/config/config.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { ipv4FromNumber, ipv4ToNumber } from "../../../ffi/netlink/ip_address.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import type { ExternalLink } from "../../core/nat/external_link.ts";
import { type HostAddress, isIpv6 } from "../../core/wire/host_address.ts";
import { parseIpv4 } from "../../core/wire/ipv4_text.ts";
import { findExternalLink } from "../../host/network/egress_plan.ts";
import { planRoutes } from "../../host/network/route_plan.ts";
import { egressTraffic } from "../egress_traffic.ts";
import type { Journey } from "./firewall/firewall.ts";
import { CLIENT_PORT, SupposedPacket } from "./firewall/packet.ts";
import type { Subject } from "./subject.ts";

export const DNS_PORT = 53;
/** A service outside, for a packet that goes there through the tunnel. */
export const WEB_PORT = 443;

/** Of an interface that no rule names. */
const SOME_DEVICE = "some";

/** A packet, and how it goes. */
export type Travelling = readonly [Journey, SupposedPacket];

/** What a client sends to its server, with its mark, and what comes back. */
export interface Exchange {
  readonly request: SupposedPacket;
  readonly mark: number;
  readonly answer: SupposedPacket;
  /** Whether it goes by fake TCP, whose packets are captured in front of the host's IP layer. */
  readonly isCaptured: boolean;
}

/** What clients send to a gateway. */
export function toGateway(subject: Subject, { listenPort }: ServerConfig): SupposedPacket {
  const external = entranceOf(subject);
  return new SupposedPacket({
    protocol: "udp",
    source: null,
    destination: external?.address ?? null,
    destinationPort: listenPort,
    input: external?.name ?? null,
    output: null,
    isLocal: true,
  });
}

/** What a gateway answers. */
export function fromGateway(subject: Subject, { listenPort }: ServerConfig): SupposedPacket {
  const external = entranceOf(subject);
  return new SupposedPacket({
    protocol: "udp",
    source: external?.address ?? null,
    destination: null,
    sourcePort: listenPort,
    destinationPort: CLIENT_PORT,
    input: null,
    output: external?.name ?? null,
    isEstablished: true,
    isLocal: false,
  });
}

/** By the file, or by what runs, which knows its own port and where it found the server. */
export async function withServer(subject: Subject, client: ClientConfig): Promise<Exchange> {
  const { mark, isFullTunnel } = planRoutes(client);
  const { server, port, own, isCaptured } = await endsOf(subject, client);
  const { device, address } = placeTowards(subject, server, mark);
  const request = new SupposedPacket({
    protocol: "udp",
    source: address,
    destination: server,
    sourcePort: own,
    destinationPort: port,
    input: null,
    output: device,
    isLocal: false,
  });
  const answer = new SupposedPacket({
    protocol: "udp",
    source: server,
    destination: address,
    sourcePort: port,
    destinationPort: own,
    input: device,
    output: null,
    isEstablished: true,
    isLocal: true,
    needsMark: isFullTunnel,
  });
  return { request, answer, mark, isCaptured };
}

/**
 * Ports, and the server's address, of what runs; of the file, where nothing runs. Null for an address that is not
 * known.
 */
async function endsOf(
  subject: Subject,
  { server: peer, listenPort, interface: { transport } }: ClientConfig,
) {
  const { port, address } = peer.endpoint;
  const running = await subject.running();
  if (running.kind === "known" && running.status.role === "client") {
    const key = encodeKey(peer.publicKey);
    const found = running.status.peers.find(({ publicKey }) => publicKey === key);
    const [, host = "", at = ""] = /^(.*):(\d+)$/.exec(found?.endpoint ?? "") ?? [];
    return {
      server: parseIpv4(host) ?? ipv4Of(address),
      port: at === "" ? port : Number(at),
      own: running.status.listenPort,
      isCaptured: found?.transport === "faketcp",
    };
  }
  const reach = address === null ? await subject.reach() : null;
  return {
    server: ipv4Of(address ?? (reach !== null && "address" in reach ? reach.address : null)),
    port,
    own: listenPort === 0 ? CLIENT_PORT : listenPort,
    isCaptured: transport === "faketcp",
  };
}

/** Of IPv6 no rule is looked at. */
function ipv4Of(address: HostAddress | null): number | null {
  return address === null || isIpv6(address) ? null : address;
}

/** What programs of a client send through its tunnel, and what they receive. */
export function throughTunnel(device: string): Travelling[] {
  const packet = { protocol: "tcp", source: null, destination: null } as const;
  return [
    [
      "out",
      new SupposedPacket({
        ...packet,
        destinationPort: WEB_PORT,
        input: null,
        output: device,
        isLocal: false,
      }),
    ],
    [
      "in",
      new SupposedPacket({
        ...packet,
        sourcePort: WEB_PORT,
        destinationPort: CLIENT_PORT,
        input: device,
        output: null,
        isEstablished: true,
        isLocal: true,
      }),
    ],
  ];
}

/** What leaves, or is forwarded, by an interface that is not the tunnel's. */
export function pastTunnel(journey: "out" | "through"): SupposedPacket {
  return new SupposedPacket({
    protocol: "tcp",
    source: null,
    destination: null,
    destinationPort: WEB_PORT,
    input: journey === "out" ? null : SOME_DEVICE,
    output: SOME_DEVICE,
    isLocal: false,
  });
}

/** What clients ask `DnsProxy`. */
export function questions(address: number, device: string): Travelling[] {
  return (["udp", "tcp"] as const).map((protocol) => [
    "in",
    new SupposedPacket({
      protocol,
      source: null,
      destination: address,
      destinationPort: DNS_PORT,
      input: device,
      output: null,
      isLocal: true,
    }),
  ]);
}

/** What the kernel forwards for clients, there and back. */
export function forwarded(device: string, external: string | null): Travelling[] {
  const packet = { protocol: "tcp", source: null, destination: null, isLocal: false } as const;
  return [
    [
      "through",
      new SupposedPacket({ ...packet, destinationPort: WEB_PORT, input: device, output: external }),
    ],
    [
      "through",
      new SupposedPacket({
        ...packet,
        sourcePort: WEB_PORT,
        destinationPort: CLIENT_PORT,
        input: external,
        output: device,
        isEstablished: true,
      }),
    ],
  ];
}

/** The gateway's address that `DnsProxy` answers at; null for none. */
export function proxyAddress({ server }: Subject): number | null {
  if (server === null || server.interface.dnsProxy.length === 0) return null;
  return server.interface.addresses[0]?.address ?? null;
}

/** How a gateway reaches outside; null where it does not: another check tells of that. */
export function externalOf(subject: Subject): ExternalLink | null {
  const { server } = subject;
  return server === null ? null : unlessUnusable(() => externalLink(subject, server));
}

/** Where clients reach it: what routing rules have to say of their packets for the internet does not count. */
function entranceOf({ server, netlink }: Subject): ExternalLink | null {
  return server === null ? null : unlessUnusable(() => findExternalLink(server, netlink));
}

/**
 * The interface outside, as the gateway finds it: by what routing rules see of its clients' packets.
 *
 * @throws {ConfigError} where the configured interface is not there, or has no address
 */
export function externalLink(
  { netlink, options: { interfaceName } }: Subject,
  server: ServerConfig,
): ExternalLink | null {
  return findExternalLink(server, netlink, egressTraffic(server, interfaceName));
}

function unlessUnusable(find: () => ExternalLink | null): ExternalLink | null {
  try {
    return find();
  } catch (error) {
    if (error instanceof ConfigError) return null;
    throw error;
  }
}

/** The interface, and the address of it, that leads to a server; null for what is not known. */
function placeTowards({ netlink }: Subject, server: number | null, mark: number) {
  const nowhere = { device: null, address: null };
  if (server === null) return nowhere;
  try {
    const { link, preferredSource } = netlink.routes.lookup(ipv4FromNumber(server), { mark });
    return {
      device: link === null ? null : netlink.links.find(link)?.name ?? null,
      address: preferredSource === null ? null : ipv4ToNumber(preferredSource),
    };
  } catch (error) {
    if (error instanceof NetlinkError) return nowhere;
    throw error;
  }
}
