/**
 * Owns `vpn client`: the life of a connection from its configuration to its end.
 *
 * The handshake comes first. Only when the server has answered is anything on the host changed: the TUN, its addresses,
 * routes. So a client that cannot connect leaves nothing to undo.
 */
import type { RunOptions } from "../cli/command.ts";
import type { ClientConfig } from "../config/config.ts";
import { validateClient } from "../config/roles.ts";
import { formatCidr, formatIpv4 } from "../wire/ipv4_text.ts";
import { cleanUp } from "./cleanup.ts";
import { setClientDns } from "./client_dns.ts";
import { loadConfig } from "./config_file.ts";
import type { DataPlaneHandle } from "./data_plane_handle.ts";
import { AppError, ExitCode } from "./errors.ts";
import { Hooks } from "./hooks.ts";
import { HostNetwork } from "./host_network.ts";
import { Journal } from "./journal.ts";
import { KillSwitch } from "./kill_switch.ts";
import { getLogger } from "./logging.ts";
import { dropPrivileges, requireTunnelPrivileges } from "./privileges.ts";
import { resolveEndpoint } from "./resolve.ts";
import { planRoutes, requireReachableOutside, routeWarnings } from "./route_plan.ts";
import { listenForStop } from "./stop_signal.ts";
import {
  DEFAULT_MTU,
  endTunnel,
  enterSurroundings,
  logReports,
  logWarnings,
  peerOptions,
  startDataPlane,
} from "./tunnel_process.ts";

/** ms between initiations while connecting: three fit the time-out of 2.5 s, jitter included. */
const CONNECT_INTERVAL = 700;

/**
 * Connects, and stays connected until SIGINT, SIGTERM or SIGHUP.
 *
 * @returns the exit code
 * @throws {ConfigError | AppError} before anything on the host is changed, where it cannot run or connect
 */
export async function runClient(options: RunOptions): Promise<number> {
  const startedAt = performance.now();
  enterSurroundings(options);
  const logger = getLogger("client");
  const config = validateClient(loadConfig(options.configPath));
  logWarnings(logger, config);
  requireTunnelPrivileges();
  for (const line of cleanUp()) logger.info("{line}", { line });
  using stop = listenForStop();
  const { interfaceName } = options;
  const journal = new Journal(interfaceName, options.netns);
  const hooks = new Hooks({ config, interfaceName, journal, stop: stop.received });
  using network = new HostNetwork(journal);
  network.requireFreeName(options.interfaceName);

  const plan = planRoutes(config);
  for (const warning of routeWarnings(config, plan)) logger.warn("{warning}", { warning });
  const deadline = performance.now() + config.interface.connectTimeout;
  const address = await resolveEndpoint(config.server.endpoint, config.interface.connectTimeout);
  const way = network.wayTo(address, plan.mark);
  requireReachableOutside(config, { plan, server: address, way });
  const server = `${formatIpv4(address)}:${config.server.endpoint.port}`;

  const reports = logReports(logger);
  let mtu = config.interface.mtu ?? DEFAULT_MTU;
  const connected = Promise.withResolvers<void>();
  const { dataPlane, port, aead } = await startDataPlane({
    isGateway: false,
    privateKey: config.interface.privateKey,
    listenPort: config.listenPort,
    mark: plan.mark,
    mtu,
    offload: options.offload,
    aead: config.interface.aead,
    trace: options.logLevel === "trace",
    addresses: config.interface.addresses,
    clientToClient: false,
    egress: "off",
    privateNetworks: [],
    peers: [peerOptions(config.server, address)],
  }, {
    ...reports,
    onPeer: (report) => {
      if (report.event === "handshake-completed") connected.resolve();
      reports.onPeer(report);
    },
    onPathMtu: (report) => {
      mtu = report.mtu;
      network.setMtu(options.interfaceName, mtu);
      reports.onPathMtu(report);
    },
  });
  try {
    const outcome = await Promise.race([
      connect(dataPlane, { connected: connected.promise, deadline }),
      stop.received,
      dataPlane.failed,
    ]);
    if (outcome === "timeout") throw noAnswer(config, server);
    if (outcome !== "connected") return ExitCode.ok;

    await dataPlane.openTun(options.interfaceName);
    await hooks.preUp();
    using _killSwitch = config.interface.killSwitch
      ? new KillSwitch({ interfaceName, mark: plan.mark, journal }, [
        { protocol: "udp", ports: { first: port, last: port } },
      ])
      : null;
    const settings = {
      name: options.interfaceName,
      addresses: config.interface.addresses,
      mtu,
    };
    network.bringUp(settings);
    network.addRoutes(settings, plan.plain);
    network.addPolicy(settings, plan);
    if (plan.blocked6.length > 0) {
      logger.info("IPv6 to {networks} is blocked", { networks: plan.blocked6.join(", ") });
    }
    const dns = setClientDns({ config, interfaceName, journal });
    if (dns !== null) {
      logger.info("names are looked up through the tunnel, by {by}", { by: dns.by });
    }
    await hooks.postUp();
    dropPrivileges({
      commands: hooks.hasDown ? "PreDown and PostDown" : dns?.needsProgram ? dns.by : null,
      foreignFile: dns?.foreignFile ?? null,
      logger,
    });
    logger.info("connected to {server} as {address} in {time} ms; cipher by {aead}", {
      server,
      address: config.interface.addresses.map(formatCidr).join(", "),
      time: Math.round(performance.now() - startedAt),
      aead,
    });
    const signal = await Promise.race([stop.received, dataPlane.failed]);
    logger.info("{signal} received: disconnecting", { signal });
  } finally {
    await endTunnel({ hooks, journal, dataPlane });
  }
  return ExitCode.ok;
}

async function connect(
  dataPlane: DataPlaneHandle,
  { connected, deadline }: { connected: Promise<void>; deadline: number },
): Promise<"connected" | "timeout"> {
  dataPlane.connect(CONNECT_INTERVAL);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<"timeout">((resolve) => {
    timer = setTimeout(() => resolve("timeout"), Math.max(0, deadline - performance.now()));
  });
  try {
    const outcome = await Promise.race([connected.then(() => "connected" as const), timeout]);
    if (outcome === "connected") dataPlane.connected();
    return outcome;
  } finally {
    clearTimeout(timer);
  }
}

function noAnswer(config: ClientConfig, server: string): AppError {
  const { connectTimeout } = config.interface;
  return new AppError(
    `Cannot connect: no valid answer from ${server} (UDP) within ${connectTimeout / 1000} s: ` +
      "check that the server runs, that both public keys and the preshared key match, " +
      "and that no firewall drops UDP to that port",
    { exitCode: ExitCode.connect },
  );
}
