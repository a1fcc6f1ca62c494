/** Packets that a tunnel lives by, as a firewall of this host meets them. */
import { ConfigError } from "../../core/config/config_error.ts";
import type { ClientConfig, ServerConfig } from "../../core/config/config.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { formatIp, ipv4ToNumber } from "../../../ffi/netlink/ip_address.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import type { ExternalLink } from "../../core/nat/external_link.ts";
import { addressBytes, type HostAddress, parseAddress } from "../../core/wire/host_address.ts";
import { addressOf6 } from "../../core/wire/ipv6_prefix.ts";
import { findExternalLink } from "../../host/network/egress_plan.ts";
import { type ExternalLink6, findEntrance6 } from "../../host/network/egress_plan6.ts";
import { planRoutes } from "../../host/network/route_plan.ts";
import { egressTraffic } from "../egress_traffic.ts";
import type { Journey } from "./firewall/firewall.ts";
import { CLIENT_PORT, type PacketFamily, SupposedPacket } from "./firewall/packet.ts";
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

/** What clients send to a gateway, by each family that it can be reached by. */
export function toGateway(subject: Subject, { listenPort }: ServerConfig): Travelling[] {
  return entrancesOf(subject).map(({ family, address, name }) => [
    "in",
    new SupposedPacket({
      family,
      protocol: "udp",
      source: null,
      destination: address,
      destinationPort: listenPort,
      input: name,
      output: null,
      isLocal: true,
    }),
  ]);
}

/** What a gateway answers. */
export function fromGateway(subject: Subject, { listenPort }: ServerConfig): Travelling[] {
  return entrancesOf(subject).map(({ family, address, name }) => [
    "out",
    new SupposedPacket({
      family,
      protocol: "udp",
      source: address,
      destination: null,
      sourcePort: listenPort,
      destinationPort: CLIENT_PORT,
      input: null,
      output: name,
      isEstablished: true,
      isLocal: false,
    }),
  ]);
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
    const [, host = "", at = ""] = /^\[?(.*?)\]?:(\d+)$/.exec(found?.endpoint ?? "") ?? [];
    return {
      server: parseAddress(host) ?? address,
      port: at === "" ? port : Number(at),
      own: running.status.listenPort,
      isCaptured: found?.transport === "faketcp",
    };
  }
  const [way] = address === null ? await subject.ways() : [];
  const reach = way?.reach ?? null;
  return {
    server: address ?? (reach !== null && "address" in reach ? reach.address : null),
    port,
    own: listenPort === 0 ? CLIENT_PORT : listenPort,
    isCaptured: transport === "faketcp",
  };
}

/** What programs of a client send through its tunnel, and what they receive, by each family that it carries. */
export function throughTunnel(
  device: string,
  { interface: { addresses6 } }: ClientConfig,
): Travelling[] {
  const families: PacketFamily[] = addresses6.length === 0 ? ["ip"] : ["ip", "ip6"];
  return families.flatMap((family) => ofFamilyThroughTunnel(device, family));
}

function ofFamilyThroughTunnel(device: string, family: PacketFamily): Travelling[] {
  const packet = { family, protocol: "tcp", source: null, destination: null } as const;
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
export function pastTunnel(journey: "out" | "through", family: PacketFamily): SupposedPacket {
  return new SupposedPacket({
    family,
    protocol: "tcp",
    source: null,
    destination: null,
    destinationPort: WEB_PORT,
    input: journey === "out" ? null : SOME_DEVICE,
    output: SOME_DEVICE,
    isLocal: false,
  });
}

/** What clients ask `DnsProxy`, by each address that it answers at. */
export function questions(
  { interface: { addresses, addresses6 } }: ServerConfig,
  device: string,
): Travelling[] {
  const [first6] = addresses6;
  const own = [addresses[0].address, ...first6 === undefined ? [] : [addressOf6(first6)]];
  return own.flatMap((destination) =>
    (["udp", "tcp"] as const).map((protocol): Travelling => [
      "in",
      new SupposedPacket({
        protocol,
        source: null,
        destination,
        destinationPort: DNS_PORT,
        input: device,
        output: null,
        isLocal: true,
      }),
    ])
  );
}

/** What the kernel forwards for clients, there and back. */
export function forwarded(
  family: PacketFamily,
  device: string,
  external: string | null,
): Travelling[] {
  const packet = {
    family,
    protocol: "tcp",
    source: null,
    destination: null,
    isLocal: false,
  } as const;
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

/** What comes from outside for ports that the kernel forwards to clients: as it enters, and as it goes on. */
export function forPorts(
  { interface: { forwards6, egress6 } }: ServerConfig,
  device: string,
  external: ExternalLink6,
): { readonly entering: Travelling[]; readonly onward: Travelling[] } {
  const packets = forwards6.map(({ protocol, externalPort, address, port }) => {
    const packet = { protocol, source: null, input: external.name } as const;
    const inside = { ...packet, destination: address, destinationPort: port, output: device };
    return {
      entering: new SupposedPacket({
        ...packet,
        destination: external.address,
        destinationPort: externalPort,
        output: null,
        isLocal: true,
      }),
      redirected: new SupposedPacket({ ...inside, isLocal: false, isRedirected: true }),
      direct: new SupposedPacket({ ...inside, isLocal: false }),
    };
  });
  return {
    entering: packets.map(({ entering }) => ["entering", entering]),
    onward: packets.flatMap(({ redirected, direct }): Travelling[] => [
      ["onward", redirected],
      // By its own address, too, which is known outside.
      ...egress6 === "routed" ? [["through", direct] as const] : [],
    ]),
  };
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

/** An interface, and an address of it; null for what is not known. */
interface Entrance {
  readonly family: PacketFamily;
  readonly name: string | null;
  readonly address: HostAddress | null;
}

/**
 * Where clients reach it: what routing rules have to say of their packets for the internet does not count. IPv6 is
 * among it where the host has that.
 */
function entrancesOf({ server, netlink }: Subject): Entrance[] {
  if (server === null) return [];
  const external = unlessUnusable(() => findExternalLink(server, netlink));
  const { name = null, address = null } = external ?? {};
  const entrance6 = findEntrance6(netlink);
  return [
    { family: "ip", name, address },
    ...entrance6 === null ? [] : [{ ...entrance6, family: "ip6" as const }],
  ];
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
function placeTowards({ netlink }: Subject, server: HostAddress | null, mark: number) {
  const nowhere = { device: null, address: null };
  if (server === null) return nowhere;
  try {
    const { link, preferredSource } = netlink.routes.lookup(addressBytes(server), { mark });
    return {
      device: link === null ? null : netlink.links.find(link)?.name ?? null,
      address: preferredSource === null
        ? null
        : preferredSource.length === 4
        ? ipv4ToNumber(preferredSource)
        : formatIp(preferredSource),
    };
  } catch (error) {
    if (error instanceof NetlinkError) return nowhere;
    throw error;
  }
}
