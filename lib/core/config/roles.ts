/** Roles: what a configuration must have to serve as a gateway's or as a client's. */
import { formatAddress, type HostAddress } from "../wire/host_address.ts";
import { addressOf6 } from "../wire/ipv6_prefix.ts";
import { formatIpv4, prefixMask } from "../wire/ipv4_text.ts";
import { hostIn, NO_RESOLVER } from "./values/access_rules.ts";
import { ZONED_ENDPOINT_RULE } from "./values/addresses.ts";
import { formatEndpoint } from "./text/config_writer.ts";
import type { ClientConfig, Config, PeerConfig, ServerConfig } from "./config.ts";
import { BadValueError, ConfigError, quoted } from "./config_error.ts";
import { isAllIpv4 } from "./values/networks.ts";

/** WireGuard's customary port. */
export const DEFAULT_LISTEN_PORT = 51820;

export const SERVER_ONLY_KEYS: readonly string[] = [
  "PublicEndpoint",
  "Egress",
  "Egress6",
  "EgressInterface",
  "EgressAllow",
  "EgressDeny",
  "NatPorts",
  "NatFiltering",
  "Capture",
  "ClientToClient",
  "DnsProxy",
  "DnsDomain",
  "DnsRoute",
  "DnsBlock",
  "DnsQueryLog",
  "FlowLog",
  "Forward",
  "Forward6",
  "ReleaseAfter",
  "Webhook",
  "WebhookSecret",
  "ControlGroup",
  "Store",
  "StoreCredentials",
  "StoreCA",
  "StoreGrace",
  "VirtualAddress",
];
export const CLIENT_ONLY_KEYS: readonly string[] = [
  "DNS",
  "ConnectTimeout",
  "OnPeerTimeout",
  "KillSwitch",
  "AllowIPv6",
];

/** Of no use to a gateway that leads nowhere. */
const EGRESS_KEYS = ["Egress6", "EgressAllow", "EgressDeny", "Forward6"];
/** Of no use to one whose tunnel carries IPv4 alone. */
const IPV6_KEYS = ["Egress6", "Forward6"];
/** Of no use to one that answers no questions. */
const DNS_KEYS = ["DnsDomain", "DnsRoute", "DnsBlock", "DnsQueryLog"];
/** Of no use to one that has its peers from its file. */
const STORE_KEYS = ["StoreCredentials", "StoreCA", "StoreGrace", "VirtualAddress"];

/**
 * A configuration as a gateway runs from it.
 *
 * @throws {ConfigError} if the gateway would have no address, or a service of its own on a port of its NAT
 */
export function validateServer(config: Config): ServerConfig {
  requireAddress(config, "a gateway needs an inner address, as in Address = 10.66.77.1/24");
  const { metrics, transport } = config.interface;
  if (metrics !== null) {
    const { address, port } = metrics;
    const value = `${formatIpv4(address)}:${port}`;
    refuseInNat(config, { key: "Metrics", protocol: "tcp", port, value });
  }
  refuseOwnResolver(config);
  requireResolver(config);
  requireSecret(config);
  refuseInnerServices(config);
  requireOnePlaceOfPeers(config);
  for (const peer of config.peers) requireOneEndpoint(config, peer, ONE_ENDPOINT_OF_CLIENT);
  const listenPort = config.interface.listenPort ?? DEFAULT_LISTEN_PORT;
  for (const protocol of transport === "udp" ? ["udp"] as const : ["udp", "tcp"] as const) {
    refuseInNat(config, { key: "ListenPort", protocol, port: listenPort, value: `${listenPort}` });
    refuseInForwards6(config, protocol, listenPort);
  }
  requireMeshPort(config, listenPort);
  return {
    ...config,
    listenPort,
    warnings: [
      ...config.warnings,
      ...withoutNetworks(config),
      ...withoutBackEnds(config),
      ...withoutEffect(config, CLIENT_ONLY_KEYS, "a gateway"),
      ...config.interface.egress === "off"
        ? withoutEffect(config, EGRESS_KEYS, "a gateway with Egress = off")
        : config.interface.addresses6.length === 0
        ? withoutEffect(config, IPV6_KEYS, "a gateway without an IPv6 Address")
        : config.interface.egress6 === "off"
        ? withoutEffect(config, ["Forward6"], "a gateway with Egress6 = off")
        : [],
      ...config.interface.dnsProxy.length === 0
        ? withoutEffect(config, DNS_KEYS, "a gateway without DnsProxy")
        : [],
      ...config.interface.store.length === 0
        ? withoutEffect(config, STORE_KEYS, "a gateway without Store")
        : [],
      ...withoutEncryption(config),
    ],
  };
}

/**
 * A configuration as a client runs from it.
 *
 * @throws {ConfigError} unless there is an address and a peer with an endpoint
 */
export function validateClient(config: Config): ClientConfig {
  requireAddress(config, "a client needs an inner address, as in Address = 10.66.77.2/32");
  const server = serverOf(config);
  const otherPeers = config.peers.filter(({ publicKey }) => publicKey !== server.publicKey);
  for (const peer of otherPeers) requireOneEndpoint(config, peer, ONE_ENDPOINT_OF_OTHERS);
  return {
    ...config,
    listenPort: config.interface.listenPort ?? 0,
    server,
    endpoints: [server.endpoint, ...server.otherEndpoints],
    otherPeers,
    allowedIps: config.peers.flatMap(({ allowedIps }) => allowedIps),
    allowedIps6: config.peers.flatMap(({ allowedIps6 }) => allowedIps6),
    warnings: [
      ...config.warnings,
      ...withoutNetworks(config),
      ...withoutEffect(config, SERVER_ONLY_KEYS, "a client"),
      ...withoutAdmission(config),
    ],
  };
}

/** A peer that can be called. */
type Server = ClientConfig["server"];

/** The first peer with an endpoint that everything goes to, or else the first with an endpoint. */
function serverOf({ peers, fileName }: Config): Server {
  const [first] = peers;
  if (first === undefined) {
    throw new ConfigError(
      `${fileName}: there is no [Peer] section: a client needs one for its server`,
    );
  }
  const servers = peers.flatMap((peer): Server[] =>
    peer.endpoint === null ? [] : [{ ...peer, endpoint: peer.endpoint }]
  );
  const server = servers.find(({ allowedIps }) => isAllIpv4(allowedIps)) ?? servers[0];
  if (server !== undefined) return server;
  const peer = peers.find(({ zonedEndpoint }) => zonedEndpoint !== null) ?? first;
  const place = `${fileName}:${peer.line}: [Peer]: Endpoint`;
  if (peer.zonedEndpoint !== null) {
    throw new BadValueError(
      place,
      `cannot use ${quoted(peer.zonedEndpoint)}: ${ZONED_ENDPOINT_RULE}`,
    );
  }
  throw new ConfigError(
    `${place} is missing: a client needs the address of its server, as in Endpoint = vpn.example.org:51820`,
  );
}

/** Why a peer has one: nobody would notice that it is not at the first. */
const ONE_ENDPOINT_OF_CLIENT =
  "a gateway calls a peer at one place; a client's file may list several gateways";
const ONE_ENDPOINT_OF_OTHERS =
  "a client changes over between places of its server alone, which is another [Peer]";

function requireOneEndpoint({ fileName }: Config, peer: PeerConfig, why: string): void {
  const [second] = peer.otherEndpoints;
  if (second === undefined) return;
  throw new BadValueError(
    `${fileName}:${peer.line}: [Peer]: Endpoint`,
    `cannot use ${quoted(formatEndpoint(second))} besides ${
      quoted(formatEndpoint(peer.endpoint!))
    }: ${why}: keep one of them`,
  );
}

/** Peers of a fleet are the same at every gateway: none of them has some of its own. */
function requireOnePlaceOfPeers({ fileName, interface: { store }, peers, groups }: Config): void {
  if (store.length === 0) return;
  const section = peers[0] === undefined ? "Group" : "Peer";
  const first = peers[0] ?? groups[0];
  if (first === undefined) return;
  throw new ConfigError(
    `${fileName}:${first.line}: [${section}]: with Store, peers and groups are in the store: move those of this ` +
      "file there with `vpn fleet import`",
  );
}

/** Preshared keys can be read on the way to a server elsewhere. */
function withoutEncryption({ fileName, interface: { store, lines } }: Config): readonly string[] {
  const isHere = (server: string) => /^nats:\/\/(?:127\.\d|localhost:|\[::1\])/.test(server);
  if (store.every((server) => server.startsWith("tls://") || isHere(server))) return [];
  return [
    `${fileName}:${
      lines.get("Store")
    }: Store: peers and their preshared keys cross the network in the clear: use tls://`,
  ];
}

/** Peers that nothing goes to, and nothing is taken from. */
function withoutNetworks(config: Config): readonly string[] {
  const carriesIpv6 = config.interface.addresses6.length > 0;
  const what = carriesIpv6 ? "no network" : "no IPv4 network";
  return config.peers
    .filter(({ allowedIps, allowedIps6 }) =>
      allowedIps.length === 0 && (!carriesIpv6 || allowedIps6.length === 0)
    )
    .map(({ line }) =>
      `${config.fileName}:${line}: [Peer]: is not used: its AllowedIPs contain ${what}`
    );
}

/** A client asks for access, and grants none. */
function withoutAdmission({ fileName, peers }: Config): readonly string[] {
  const isGranted = (
    { isEnabled, expires, groups, allow, deny, quota, quotaRate, nextKey }: PeerConfig,
  ) =>
    isEnabled && expires === null && groups.length + allow.length + deny.length === 0 &&
    quota === null && quotaRate === null && nextKey === null;
  return peers.filter((peer) => !isGranted(peer)).map(({ line }) =>
    `${fileName}:${line}: [Peer]: Enabled, Expires, Groups, Allow, Deny, Quota, QuotaRate and NextPublicKey have no effect on a ` +
    "client"
  );
}

function requireAddress(config: Config, why: string): void {
  if (config.interface.addresses.length > 0) return;
  throw new ConfigError(`${config.fileName}: [Interface]: Address is missing: ${why}`);
}

/** Without it, a server could not tell what comes from the gateway. */
function requireSecret({ fileName, interface: { webhooks, webhookSecret, lines } }: Config): void {
  if (webhooks.length === 0 || webhookSecret !== null) return;
  throw new ConfigError(
    `${fileName}:${
      lines.get("Webhook")
    }: Webhook: WebhookSecret is missing: create one with \`vpn genpsk\``,
  );
}

/** What is denied by a host's name would be open if nobody had its addresses. */
function requireResolver({ fileName, interface: { dnsProxy }, peers, groups }: Config): void {
  if (dnsProxy.length > 0) return;
  for (const [header, sections] of [["[Peer]", peers], ["[Group]", groups]] as const) {
    for (const { line, allow, deny } of sections) {
      const host = hostIn({ allow, deny });
      if (host === null) continue;
      throw new BadValueError(
        `${fileName}:${line}: ${header}`,
        `cannot use ${quoted(host)} in a rule: ${NO_RESOLVER}`,
      );
    }
  }
}

/** The proxy would ask itself. */
function refuseOwnResolver({ fileName, interface: section }: Config): void {
  const { addresses, addresses6, dnsProxy, dnsRoutes, lines } = section;
  const own: readonly HostAddress[] = [
    ...addresses.slice(0, 1).map(({ address }) => address),
    ...addresses6.slice(0, 1).map(addressOf6),
  ];
  const asked = { DnsProxy: dnsProxy, DnsRoute: dnsRoutes.flatMap(({ upstreams }) => upstreams) };
  for (const [key, resolvers] of Object.entries(asked)) {
    const found = resolvers.find(({ address }) => own.includes(address));
    if (found === undefined) continue;
    throw new BadValueError(
      `${fileName}:${lines.get(key)}: ${key}`,
      `cannot use ${
        quoted(formatAddress(found.address))
      }: the DNS proxy itself uses this address: give another resolver, as in 9.9.9.9`,
    );
  }
}

/** A service's own address is kept from the host, and so would be the gateway or a client that has it. */
function refuseInnerServices(
  { fileName, interface: { addresses, forwards, lines } }: Config,
): void {
  for (const { externalAddress: address } of forwards) {
    if (address === null) continue;
    const network = addresses.find((each) =>
      ((each.address ^ address) & prefixMask(each.prefixLength)) === 0
    );
    if (network === undefined) continue;
    throw new BadValueError(
      `${fileName}:${lines.get("Forward")}: Forward`,
      `cannot use ${
        quoted(formatIpv4(address))
      }: this address is inside the tunnel: give one outside, or none`,
    );
  }
}

/** Who serves a service and is not there, which may come later; by the place of the first `Forward`. */
function withoutBackEnds(config: Config): readonly string[] {
  const names = new Set(config.peers.map(({ name }) => name));
  const missing = config.interface.forwards.flatMap(({ backEnds }) =>
    backEnds.flatMap(({ peer }) => peer === null || names.has(peer) ? [] : [peer])
  );
  return [...new Set(missing)].map((peer) =>
    `${config.fileName}:${config.interface.lines.get("Forward")}: Forward: there is no peer ${
      quoted(peer)
    }: it serves nothing`
  );
}

/** Packets for the NAT's ports never reach a service of the host: this one has to have another. */
function refuseInNat(
  { fileName, interface: section }: Config,
  service: { key: "ListenPort" | "Metrics"; protocol: "tcp" | "udp"; port: number; value: string },
): void {
  const { egress, natPorts, forwards, lines } = section;
  if (egress !== "raw") return;
  const { key, protocol, port, value } = service;
  const isForwarded = forwards.some((forward) =>
    forward.externalAddress === null && forward.protocol === protocol &&
    forward.externalPort === port
  );
  if (!isForwarded && (port < natPorts.first || port > natPorts.last)) return;
  const owner = isForwarded ? "a Forward" : `NatPorts, ${natPorts.first}-${natPorts.last},`;
  // The port that is not named is the default one, which the other key is in the way of.
  const [where, what] = lines.has(key)
    ? [`${fileName}:${lines.get(key)}: ${key}`, quoted(value)]
    : [`${fileName}: ${key}`, `the default ${quoted(value)}`];
  throw new BadValueError(where, `cannot use ${what}: ${owner} uses that port: give another`);
}

/** The gateways of a fleet hear each other on the port behind. */
function requireMeshPort(config: Config, listenPort: number): void {
  const { fileName, interface: { virtualAddress, lines } } = config;
  if (virtualAddress === null) return;
  const port = listenPort + 1;
  refuseInNat(config, { key: "ListenPort", protocol: "udp", port, value: `${port}` });
  if (listenPort !== 0 && port <= 65_535) return;
  throw new BadValueError(
    `${fileName}:${lines.get("ListenPort")}: ListenPort`,
    `cannot use ${
      quoted(`${listenPort}`)
    }: with VirtualAddress, it and the port behind it are the same at all gateways: give another`,
  );
}

/** Nobody would reach the gateway by IPv6. */
function refuseInForwards6(
  { fileName, interface: { forwards6, lines } }: Config,
  protocol: "tcp" | "udp",
  port: number,
): void {
  const isTaken = forwards6.some((each) =>
    each.protocol === protocol && each.externalPort === port
  );
  if (!isTaken) return;
  throw new BadValueError(
    `${fileName}:${lines.get("Forward6")}: Forward6`,
    `cannot use "${protocol}:${port}": the gateway listens on that port: give another`,
  );
}

function withoutEffect(config: Config, keys: readonly string[], role: string): readonly string[] {
  return keys.flatMap((key) => {
    const line = config.interface.lines.get(key);
    return line === undefined ? [] : `${config.fileName}:${line}: ${key}: has no effect on ${role}`;
  });
}
