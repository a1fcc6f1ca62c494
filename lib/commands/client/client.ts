/**
 * Owns `vpn client`: the life of a connection from its configuration to its end.
 *
 * The handshake comes first. Only when the server has answered is anything on the host changed: the TUN, its addresses,
 * routes. So a client that cannot connect leaves nothing to undo.
 */
import { sleptTime } from "../../../ffi/clock.ts";
import { openLibc } from "../../../ffi/libc.ts";
import type { RunOptions } from "../../cli/command.ts";
import type { ClientConfig } from "../../core/config/config.ts";
import { validateClient } from "../../core/config/roles.ts";
import { DROP_REASON_NAMES, DropReason } from "../../core/wire/drop_reason.ts";
import { formatCidr, formatIpv4 } from "../../core/wire/ipv4_text.ts";
import { cleanUp } from "../cleanup.ts";
import { hostNameServers, resetClientDns, setClientDns } from "../../host/dns/client_dns.ts";
import { loadConfig } from "../../host/files/config_file.ts";
import { ClientReload } from "./client_reload.ts";
import { openControl } from "../../control/control.ts";
import { LivePeers } from "../../control/live_peers.ts";
import { ClientTransports } from "./client_transports.ts";
import { Connection } from "./connection.ts";
import { noAnswer, serverLost } from "./connection_errors.ts";
import { DETOUR_REASON } from "../../host/network/detour.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { Hooks } from "../../host/hooks/hooks.ts";
import { HostNetwork } from "../../host/network/host_network.ts";
import { startUpkeep } from "../../host/upkeep/host_upkeep.ts";
import { InnerGuard, tunnelServices } from "../../host/firewall/inner_guard.ts";
import { Journal } from "../../host/journal/journal.ts";
import { KillSwitch } from "../../host/firewall/kill_switch.ts";
import { catchFaults } from "../../process/last_resort.ts";
import {
  blocksHere,
  describeBlock,
  type StandingBlock,
} from "../../host/firewall/standing_blocks.ts";
import { getLogger, type Logger } from "../../process/logging.ts";
import { serveMetrics } from "../../services/metrics/serve_metrics.ts";
import { NetworkConflict } from "../../host/network/network_conflict.ts";
import { locatedPeers } from "../../host/dns/peer_places.ts";
import {
  dropPrivileges,
  requireFakeTcpPrivileges,
  requireTunnelPrivileges,
} from "../../process/privileges.ts";
import { Refusals } from "../../dataplane/refusals.ts";
import { resolveAll } from "../../host/dns/resolve.ts";
import { Reloader, ReloadRequests } from "../../control/reload.ts";
import { ReturnPath } from "../../host/firewall/return_path.ts";
import {
  planRoutes,
  reachableOutside,
  requireReachableOutside,
  routeWarnings,
} from "../../host/network/route_plan.ts";
import { type ServiceManager, underManager } from "../../process/service_manager.ts";
import { changesOfOthers } from "../../host/journal/shared_change.ts";
import { watchSleep } from "../../process/sleep_watch.ts";
import type { Upkeep } from "../../host/upkeep/upkeep.ts";
import { listenForStop, RESTART_SIGNAL } from "../../process/stop_signal.ts";
import {
  DEFAULT_MTU,
  endTunnel,
  enterSurroundings,
  logReports,
  logWarnings,
  startDataPlane,
  watchTimes,
} from "../tunnel_lifecycle.ts";
import { peerOptions } from "../../core/peers/peer_options.ts";

/**
 * Connects, and stays connected until SIGINT, SIGTERM or SIGUSR2, or until the server is lost and `OnPeerTimeout = exit`.
 *
 * @returns the exit code
 * @throws {ConfigError | AppError} before anything on the host is changed, where it cannot run or connect; after that,
 * with exit code 4, where the server is lost
 */
export function runClient(options: RunOptions): Promise<number> {
  return underManager((manager) => stayConnected(options, manager));
}

async function stayConnected(options: RunOptions, manager: ServiceManager): Promise<number> {
  const startedAt = performance.now();
  // First of all: process 1 of a container gets no signal that it has no listener for.
  const reloads = new ReloadRequests();
  using stop = listenForStop({ onHangup: () => reloads.notice() });
  const log = enterSurroundings(options);
  const logger = getLogger("client");
  const config = validateClient(loadConfig(options.configPath, options));
  logWarnings(logger, config);
  requireTunnelPrivileges();
  if (config.interface.transport === "faketcp") requireFakeTcpPrivileges();
  for (const line of cleanUp()) logger.info("{line}", { line });
  const { interfaceName } = options;
  const block = findBlock(config, { interfaceName, logger });
  if (config.interface.killSwitch) requireNoOtherKillSwitch(interfaceName);
  using faults = catchFaults(logger);
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
  const located = await Promise.race([
    Promise.all([
      resolveServer(config, block),
      locatedPeers(config.otherPeers, { config, logger }),
    ]),
    // A look-up may take as long as `ConnectTimeout`, and nothing is changed yet.
    stop.received,
  ]);
  if (typeof located === "string") return ExitCode.ok;
  const [found, others] = located;
  const addresses = reachableOutside(found, (address) => {
    const way = network.wayTo(address, plan.mark);
    requireReachableOutside(config, { plan, server: address, way });
  });
  using transports = new ClientTransports({
    transport: config.interface.transport,
    interfaceName,
    journal,
    hasOthers: config.otherPeers.length > 0,
  });
  let killSwitch: KillSwitch | null = null;
  const connection = new Connection({
    config,
    addresses,
    mark: plan.mark,
    transports,
    nameServers: nameServersNow(),
    whileAsking: (resolvers, call) =>
      killSwitch === null ? call() : killSwitch.whileAsking(resolvers, call),
    pathTo: (to) => network.traceOf(to, plan.mark),
    onState: (state) => manager.status(state),
    logger,
  });

  using conflict = new NetworkConflict({ config, plan, interfaceName, network, logger });
  let innerGuard: InnerGuard | null = null;
  let upkeep: Upkeep | null = null;
  const reports = logReports(logger);
  const mtuCapacity = config.interface.mtu ?? DEFAULT_MTU;
  let mtuLimit = mtuCapacity;
  let pathMtu = mtuCapacity;
  const { dataPlane, port, aead } = await startDataPlane({
    isGateway: false,
    interfaceName,
    hasFakeTcp: config.interface.transport !== "udp",
    privateKey: config.interface.privateKey,
    listenPort: config.listenPort,
    mark: plan.mark,
    mtu: mtuCapacity,
    offload: options.offload,
    aead: config.interface.aead,
    trace: options.logLevel === "trace",
    addresses: config.interface.addresses,
    clientToClient: false,
    egress: "off",
    egressRules: [],
    // The server is the first: that is the one which commands about "the server" mean.
    peers: [peerOptions(config.server, connection.address), ...others],
    watch: { role: "client", ...watchTimes(config) },
  }, {
    ...reports,
    onPeer: (report) => {
      connection.onPeer(report);
      reports.onPeer(report);
    },
    onNetworkChange: () => {
      connection.onNetworkChange();
      killSwitch?.setGuests(network.guestBridges());
      innerGuard?.networkChanged();
      upkeep?.notice();
      if (upkeep !== null) conflict.notice();
    },
    onPathMtu: (report) => {
      reports.onPathMtu(report);
      // One device has one MTU: packets for another peer that are too long for its path go in fragments.
      if (!connection.isServer(report)) return;
      pathMtu = report.mtu;
      network.setMtu(options.interfaceName, Math.min(pathMtu, mtuLimit));
    },
  });
  const services = new AsyncDisposableStack();
  const closeHost = () => {
    if (!config.interface.killSwitch || killSwitch !== null) return;
    const server = { name: config.server.endpoint.host, address: connection.address };
    const options = { interfaceName, mark: plan.mark, journal, server };
    killSwitch = services.use(new KillSwitch(options, transports.ports(port)));
    killSwitch.setGuests(network.guestBridges());
    transports.followedBy(killSwitch, port);
  };
  // Once the host counts as closed, nobody but a person opens it.
  let staysClosed = block !== null;
  try {
    // What is left of a client before lets out that one's datagrams alone.
    if (block !== null) closeHost();
    using refusals = Refusals.open(port);
    const outcome = await Promise.race([
      // Then the server was found where the client before had it.
      connection.connect(dataPlane, { lookUpFirst: block !== null }),
      stop.received,
      dataPlane.failed,
      faults.failed,
    ]);
    if (outcome === false) {
      const { sendError, drops } = await dataPlane.statistics();
      const refusal = refusals?.latest(connection.place) ?? null;
      const unfitting = drops[DROP_REASON_NAMES[DropReason.badHandshake]!] ?? 0;
      throw noAnswer(config, connection.servers, { refusal, sendError, unfitting });
    }
    if (outcome !== true) {
      staysClosed &&= outcome === RESTART_SIGNAL;
      return ExitCode.ok;
    }

    const { addresses } = config.interface;
    // Noted before the hooks, so that it is undone after them and after the device has gone.
    innerGuard = services.use(
      InnerGuard.install({
        role: "client",
        interfaceName,
        addresses,
        services: tunnelServices(config),
        journal,
        logger,
      }),
    );
    await dataPlane.openTun(options.interfaceName);
    await hooks.preUp();
    closeHost();
    const settings = { name: options.interfaceName, addresses, mtu: pathMtu };
    network.bringUp(settings);
    network.addRoutes(settings, plan.plain);
    if (plan.isFullTunnel) {
      const device = network.wayTo(connection.address, plan.mark)?.device ?? null;
      const path = { interfaceName, mark: plan.mark, journal, device, logger };
      const returnPath = ReturnPath.install(path, transports.ports(port));
      if (returnPath !== null) transports.followedBy(services.use(returnPath), port);
    }
    network.addPolicy(settings, plan);
    conflict.look();
    if (plan.blocked6.length > 0) {
      logger.info("IPv6 to {networks} is blocked", { networks: plan.blocked6.join(", ") });
    }
    const dns = setClientDns({ config, interfaceName, journal });
    if (dns !== null) {
      logger.info("names are looked up through the tunnel, by {by}", { by: dns.by });
    }
    const livePeers = services.use(
      new LivePeers({
        role: "client",
        config,
        dataPlane,
        network,
        settings,
        // One of them is the server.
        onPeersChange: (peers) => transports.setOthers(peers.size > 1),
      }),
    );
    const reloader = new Reloader({
      path: options.configPath,
      interfaceName,
      config,
      role: new ClientReload({
        connection,
        wayTo: (to) => network.wayTo(to, plan.mark),
        changeRoutes: ({ added, removed, inside }) => {
          network.addRoutes(settings, added);
          network.removeRoutes(settings, removed);
          network.setInside(interfaceName, inside);
        },
        setDns: (changed) => resetClientDns({ config: changed, interfaceName, journal }),
        mtuCapacity,
        setMtuLimit: (limit) => {
          mtuLimit = limit;
          network.setMtu(interfaceName, Math.min(pathMtu, mtuLimit));
        },
      }),
      peers: livePeers,
      manager,
      logger,
    });
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
        peers: livePeers,
        reload: () => reloader.reload(),
        degraded: () => upkeep?.degraded ?? [],
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
        dnsProxy: null,
        logger,
      }),
    );
    await hooks.postUp();
    for (const lost of network.detours.flatMap((detour) => detour.missing())) {
      logger.warn("the tunnel is without {lost}: {reason}: remove it", {
        lost,
        reason: DETOUR_REASON,
      });
    }
    const watched = upkeep = services.use(startUpkeep({ network, journal }));
    dropPrivileges({
      commands: hooks.hasDown ? "PreDown and PostDown" : dns?.needsProgram ? dns.by : null,
      foreignFile: dns?.foreignFile ?? null,
      configPath: options.configPath,
      logger,
    });
    logger.info("connected to {server} as {address} in {time} ms; cipher by {aead}", {
      server: connection.route,
      address: config.interface.addresses.map(formatCidr).join(", "),
      time: Math.round(performance.now() - startedAt),
      aead,
    });
    manager.ready(`connected to ${connection.route}`);
    reloads.serveBy(reloader);
    staysClosed = true;
    services.use(watchSleep(() => sleptTime(openLibc()), () => connection.onResume()));
    const signal = await Promise.race([
      stop.received,
      connection.keep(),
      dataPlane.failed,
      watched.failed,
      faults.failed,
    ]);
    if (signal === undefined) throw serverLost(reloader.config, connection.server);
    staysClosed = signal === RESTART_SIGNAL;
    logger.info("{signal} received: disconnecting", { signal });
  } catch (error) {
    throw await dataPlane.causeOf(error);
  } finally {
    manager.stopping();
    connection.close();
    if (staysClosed) keepClosed(killSwitch, logger);
    await endTunnel({ hooks, services, journal, dataPlane, staysClosed });
  }
  return ExitCode.ok;
}

/** The block that a client before has left and that this one takes over. Any other is told of: nothing leaves the host then. */
function findBlock(
  config: ClientConfig,
  { interfaceName, logger }: { readonly interfaceName: string; readonly logger: Logger },
): StandingBlock | null {
  let found: StandingBlock | null = null;
  for (const block of blocksHere()) {
    const isOurs = config.interface.killSwitch && block.owner.interfaceName === interfaceName;
    if (isOurs) found = block;
    else logger.warn("{block}", { block: describeBlock(block) });
  }
  return found;
}

/**
 * Each kill switch drops what the other's tunnel sends.
 *
 * @throws {AppError} with exit code 2
 */
function requireNoOtherKillSwitch(interfaceName: string): void {
  const other = changesOfOthers("kill-switch", "")
    .find(({ owner }) => owner.interfaceName !== interfaceName);
  if (other === undefined) return;
  throw new AppError(
    `Cannot use KillSwitch = on: the client on "${other.owner.interfaceName}" (process ${other.owner.pid}) has closed this ` +
      "host already, and each kill switch would cut the other's tunnel: stop that client, or set KillSwitch = off in one",
    { exitCode: ExitCode.usage },
  );
}

/** Tells the host's resolvers as they are now, as far as they are not the tunnel's: a host that moves gets others. */
function nameServersNow(): (config: ClientConfig) => readonly string[] {
  const before = hostNameServers();
  return (config) => {
    const ours = config.interface.dns.map(formatIpv4);
    const now = hostNameServers().filter((address) => !ours.includes(address));
    return now.length > 0 ? now : before;
  };
}

/** While the host is closed its name cannot be looked up, so the server is where it was for the client before. */
async function resolveServer(
  config: ClientConfig,
  block: StandingBlock | null,
): Promise<readonly number[]> {
  const { endpoint } = config.server;
  const known = block?.change.server ?? null;
  if (known !== null && endpoint.address === null && known.name === endpoint.host) {
    return [known.address];
  }
  try {
    return await resolveAll(endpoint, config.interface.connectTimeout);
  } catch (error) {
    if (block === null || !(error instanceof AppError)) throw error;
    throw new AppError(
      `${error.message}: the kill switch lets no question out: give Endpoint an address, or open the host with ` +
        "`vpn cleanup`",
      { exitCode: error.exitCode, cause: error },
    );
  }
}

function keepClosed(killSwitch: KillSwitch | null, logger: Logger): void {
  if (killSwitch === null) return;
  killSwitch.stayClosed();
  logger.warn(
    "the kill switch stays: nothing but loopback and DHCP leaves this host until `vpn client` starts again, or " +
      "`vpn cleanup` opens it",
  );
}
