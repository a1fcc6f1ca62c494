/**
 * Owns `vpn client`: the life of a connection from its configuration to its end.
 *
 * The handshake comes first. Only when the server has answered is anything on the host changed: the TUN, its addresses,
 * routes. So a client that cannot connect leaves nothing to undo.
 */
import { sleptTime } from "../../ffi/clock.ts";
import { openLibc } from "../../ffi/libc.ts";
import type { RunOptions } from "../cli/command.ts";
import type { ClientConfig } from "../config/config.ts";
import { validateClient } from "../config/roles.ts";
import { Carrier } from "../tunnel/endpoint.ts";
import { formatCidr } from "../wire/ipv4_text.ts";
import { cleanUp } from "./cleanup.ts";
import { hostNameServers, setClientDns } from "./client_dns.ts";
import { loadConfig } from "./config_file.ts";
import { openControl } from "./control/control.ts";
import { CARRIER_NAMES, ClientCarriers } from "./client_carriers.ts";
import { Connection } from "./connection.ts";
import { AppError, ExitCode } from "./errors.ts";
import { Hooks } from "./hooks.ts";
import { HostNetwork } from "./host_network.ts";
import { guardInnerAddresses } from "./inner_guard.ts";
import { Journal } from "./journal.ts";
import { KillSwitch } from "./kill_switch.ts";
import { catchFaults } from "./last_resort.ts";
import { getLogger } from "./logging.ts";
import { serveMetrics } from "./metrics/serve_metrics.ts";
import { dropPrivileges, requireTunnelPrivileges } from "./privileges.ts";
import { resolveEndpoint } from "./resolve.ts";
import { planRoutes, requireReachableOutside, routeWarnings } from "./route_plan.ts";
import { watchSleep } from "./sleep_watch.ts";
import { listenForStop } from "./stop_signal.ts";
import {
  DEFAULT_MTU,
  endTunnel,
  enterSurroundings,
  logReports,
  logWarnings,
  peerOptions,
  startDataPlane,
  watchTimes,
} from "./tunnel_process.ts";

/**
 * Connects, and stays connected until SIGINT, SIGTERM or SIGHUP, or until the server is lost and `OnPeerTimeout = exit`.
 *
 * @returns the exit code
 * @throws {ConfigError | AppError} before anything on the host is changed, where it cannot run or connect; after that,
 * with exit code 4, where the server is lost
 */
export async function runClient(options: RunOptions): Promise<number> {
  const startedAt = performance.now();
  const log = enterSurroundings(options);
  const logger = getLogger("client");
  const config = validateClient(loadConfig(options.configPath));
  logWarnings(logger, config);
  requireTunnelPrivileges();
  for (const line of cleanUp()) logger.info("{line}", { line });
  using faults = catchFaults(logger);
  using stop = listenForStop();
  const { interfaceName } = options;
  const journal = new Journal(interfaceName, options.netns);
  const hooks = new Hooks({
    config,
    interfaceName,
    journal,
    stop: Promise.race([stop.received, faults.struck]),
  });
  using network = new HostNetwork(journal);
  network.requireFreeName(options.interfaceName);

  const plan = planRoutes(config);
  for (const warning of routeWarnings(config, plan)) logger.warn("{warning}", { warning });
  const deadline = performance.now() + config.interface.connectTimeout;
  const address = await resolveEndpoint(config.server.endpoint, config.interface.connectTimeout);
  const way = network.wayTo(address, plan.mark);
  requireReachableOutside(config, { plan, server: address, way });
  using carriers = new ClientCarriers({
    transport: config.interface.transport,
    interfaceName,
    journal,
  });
  const connection = new Connection({
    config,
    address,
    mark: plan.mark,
    carriers,
    // The kill switch keeps those in as well.
    nameServers: config.interface.killSwitch ? [] : hostNameServers(),
    traceOf: (to) => network.traceOf(to, plan.mark),
    logger,
  });

  const reports = logReports(logger);
  let mtu = config.interface.mtu ?? DEFAULT_MTU;
  const { dataPlane, port, aead } = await startDataPlane({
    isGateway: false,
    interfaceName,
    hasFakeTcp: config.interface.transport !== "udp",
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
    egressRules: [],
    peers: [peerOptions(config.server, address)],
    watch: { role: "client", ...watchTimes(config) },
  }, {
    ...reports,
    onPeer: (report) => {
      connection.onPeer(report);
      reports.onPeer(report);
    },
    onNetworkChange: () => connection.onNetworkChange(),
    onPathMtu: (report) => {
      mtu = report.mtu;
      network.setMtu(options.interfaceName, mtu);
      reports.onPathMtu(report);
    },
  });
  const services = new AsyncDisposableStack();
  try {
    const outcome = await Promise.race([
      connection.connect(dataPlane, deadline),
      stop.received,
      dataPlane.failed,
      faults.failed,
    ]);
    if (outcome === false) throw noAnswer(config, connection.server);
    if (outcome !== true) return ExitCode.ok;

    const { addresses } = config.interface;
    // Noted before the hooks, so that it is undone after them and after the device has gone.
    guardInnerAddresses({ interfaceName, addresses, journal, logger });
    await dataPlane.openTun(options.interfaceName);
    await hooks.preUp();
    const killSwitch = services.use(
      config.interface.killSwitch
        ? new KillSwitch({ interfaceName, mark: plan.mark, journal }, carriers.ports(port))
        : null,
    );
    if (killSwitch !== null) carriers.protectBy(killSwitch, port);
    const settings = { name: options.interfaceName, addresses, mtu };
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
    services.use(
      await openControl({
        role: "client",
        interfaceName,
        netns: options.netns ?? null,
        config,
        port,
        mark: plan.mark,
        aead,
        dataPlane,
        network,
        settings,
        journal,
        log,
      }),
    );
    services.use(
      await serveMetrics({
        config,
        role: "client",
        interfaceName,
        aead,
        dataPlane,
        hasNat: false,
        logger,
      }),
    );
    await hooks.postUp();
    dropPrivileges({
      commands: hooks.hasDown ? "PreDown and PostDown" : dns?.needsProgram ? dns.by : null,
      foreignFile: dns?.foreignFile ?? null,
      logger,
    });
    logger.info("connected to {server} as {address} in {time} ms; cipher by {aead}", {
      server: connection.way,
      address: config.interface.addresses.map(formatCidr).join(", "),
      time: Math.round(performance.now() - startedAt),
      aead,
    });
    services.use(watchSleep(() => sleptTime(openLibc()), () => connection.onResume()));
    const signal = await Promise.race([
      stop.received,
      connection.keep(dataPlane),
      dataPlane.failed,
      faults.failed,
    ]);
    if (signal === undefined) throw serverLost(config, connection.server);
    logger.info("{signal} received: disconnecting", { signal });
  } finally {
    connection.close();
    await endTunnel({ hooks, services, journal, dataPlane });
  }
  return ExitCode.ok;
}

/** By `Transport`, what is tried. */
const TRIED = {
  udp: [CARRIER_NAMES[Carrier.udp]],
  faketcp: [CARRIER_NAMES[Carrier.fakeTcp]],
  auto: [CARRIER_NAMES[Carrier.udp], CARRIER_NAMES[Carrier.fakeTcp]],
} as const;

function noAnswer(config: ClientConfig, server: string): AppError {
  const { connectTimeout, transport } = config.interface;
  const carriers = TRIED[transport];
  const protocols = carriers.map((name) => name.replace("fake ", ""));
  return new AppError(
    `Cannot connect: no valid answer from ${server} (${carriers.join(", then ")}) within ` +
      `${connectTimeout / 1000} s: check that the server runs, ` +
      "that both public keys and the preshared key match, " +
      `and that no firewall drops ${protocols.join(" or ")} to that port`,
    { exitCode: ExitCode.connect },
  );
}

function serverLost(config: ClientConfig, server: string): AppError {
  const { peerTimeout } = config.interface;
  return new AppError(
    `Connection lost: nothing from ${server} for ${peerTimeout / 1000} s, or it said goodbye: ` +
      "start again when it is there, or set OnPeerTimeout = reconnect",
    { exitCode: ExitCode.peerLost },
  );
}
