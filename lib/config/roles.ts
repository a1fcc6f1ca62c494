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
  "NatPorts",
  "NatFiltering",
  "Capture",
  "ClientToClient",
  "DnsProxy",
  "Forward",
  "ReleaseAfter",
];
const CLIENT_ONLY_KEYS = ["DNS", "ConnectTimeout", "OnPeerTimeout", "KillSwitch", "AllowIPv6"];

/**
 * A configuration as a gateway runs from it.
 *
 * @throws {ConfigError} if the gateway would have no address, or metrics on a port of its NAT
 */
export function validateServer(config: Config): ServerConfig {
  requireAddress(config, "a gateway has one inside, as in Address = 10.66.77.1/24");
  refuseMetricsInNat(config);
  return {
    ...config,
    listenPort: config.interface.listenPort ?? DEFAULT_LISTEN_PORT,
    warnings: [...config.warnings, ...withoutEffect(config, CLIENT_ONLY_KEYS, "a gateway")],
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

/** Packets for the NAT's ports never reach a service of the host. */
function refuseMetricsInNat({ fileName, interface: section }: Config): void {
  const { metrics, egress, natPorts, forwards, lines } = section;
  if (metrics === null || egress !== "raw") return;
  const { address, port } = metrics;
  const isForwarded = forwards.some(({ protocol, externalPort }) =>
    protocol === "tcp" && externalPort === port
  );
  if (!isForwarded && (port < natPorts.first || port > natPorts.last)) return;
  const owner = isForwarded ? "a Forward" : `NatPorts, ${natPorts.first}-${natPorts.last},`;
  throw new BadValueError(
    `${fileName}:${lines.get("Metrics")}: Metrics`,
    `cannot use ${quoted(`${formatIpv4(address)}:${port}`)}: ${owner} has that port: give another`,
  );
}

function withoutEffect(config: Config, keys: readonly string[], role: string): readonly string[] {
  return keys.flatMap((key) => {
    const line = config.interface.lines.get(key);
    return line === undefined ? [] : `${config.fileName}:${line}: ${key}: has no effect on ${role}`;
  });
}
