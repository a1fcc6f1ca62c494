/** Owns what a configuration must have to serve as a gateway's or as a client's. */
import type { ClientConfig, Config, ServerConfig } from "./config.ts";
import { formatIpv4 } from "../wire/ipv4_text.ts";
import { BadValueError, ConfigError, quoted } from "./config_error.ts";

/** WireGuard's customary port. */
export const DEFAULT_LISTEN_PORT = 51820;

const SERVER_ONLY_KEYS = [
  "PublicEndpoint",
  "Egress",
  "EgressInterface",
  "EgressAllow",
  "EgressDeny",
  "NatPorts",
  "NatFiltering",
  "Capture",
  "ClientToClient",
  "DnsProxy",
  "Forward",
  "ReleaseAfter",
];
const CLIENT_ONLY_KEYS = ["DNS", "ConnectTimeout", "OnPeerTimeout", "KillSwitch", "AllowIPv6"];

/** Of no use to a gateway that leads nowhere. */
const EGRESS_KEYS = ["EgressAllow", "EgressDeny"];

/**
 * A configuration as a gateway runs from it.
 *
 * @throws {ConfigError} if the gateway would have no address, or a service of its own on a port of its NAT
 */
export function validateServer(config: Config): ServerConfig {
  requireAddress(config, "a gateway has one inside, as in Address = 10.66.77.1/24");
  const { metrics, transport } = config.interface;
  if (metrics !== null) {
    const { address, port } = metrics;
    const value = `${formatIpv4(address)}:${port}`;
    refuseInNat(config, { key: "Metrics", protocol: "tcp", port, value });
  }
  const listenPort = config.interface.listenPort ?? DEFAULT_LISTEN_PORT;
  for (const protocol of transport === "udp" ? ["udp"] as const : ["udp", "tcp"] as const) {
    refuseInNat(config, { key: "ListenPort", protocol, port: listenPort, value: `${listenPort}` });
  }
  return {
    ...config,
    listenPort,
    warnings: [
      ...config.warnings,
      ...withoutEffect(config, CLIENT_ONLY_KEYS, "a gateway"),
      ...config.interface.egress === "off"
        ? withoutEffect(config, EGRESS_KEYS, "a gateway with Egress = off")
        : [],
    ],
  };
}

/**
 * A configuration as a client runs from it.
 *
 * @throws {ConfigError} unless there is an address and one peer, with an endpoint
 */
export function validateClient(config: Config): ClientConfig {
  requireAddress(config, "a client has one inside, as in Address = 10.66.77.2/32");
  const [server, second] = config.peers;
  if (server === undefined) {
    throw new ConfigError(
      `${config.fileName}: there is no [Peer] section: a client has its server there`,
    );
  }
  if (second !== undefined) {
    throw new ConfigError(
      `${config.fileName}:${second.line}: a second [Peer] section: a client has one peer, its server (line ${server.line})`,
    );
  }
  if (server.endpoint === null) {
    throw new ConfigError(
      `${config.fileName}:${server.line}: [Peer]: Endpoint is missing: a client needs its server's, as in Endpoint = vpn.example.org:51820`,
    );
  }
  return {
    ...config,
    listenPort: config.interface.listenPort ?? 0,
    server: { ...server, endpoint: server.endpoint },
    warnings: [...config.warnings, ...withoutEffect(config, SERVER_ONLY_KEYS, "a client")],
  };
}

function requireAddress(config: Config, why: string): void {
  if (config.interface.addresses.length > 0) return;
  throw new ConfigError(`${config.fileName}: [Interface]: Address is missing: ${why}`);
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
    forward.protocol === protocol && forward.externalPort === port
  );
  if (!isForwarded && (port < natPorts.first || port > natPorts.last)) return;
  const owner = isForwarded ? "a Forward" : `NatPorts, ${natPorts.first}-${natPorts.last},`;
  // The port that is not named is the default one, which the other key is in the way of.
  const [where, what] = lines.has(key)
    ? [`${fileName}:${lines.get(key)}: ${key}`, quoted(value)]
    : [`${fileName}: ${key}`, `the default ${quoted(value)}`];
  throw new BadValueError(where, `cannot use ${what}: ${owner} has that port: give another`);
}

function withoutEffect(config: Config, keys: readonly string[], role: string): readonly string[] {
  return keys.flatMap((key) => {
    const line = config.interface.lines.get(key);
    return line === undefined ? [] : `${config.fileName}:${line}: ${key}: has no effect on ${role}`;
  });
}
