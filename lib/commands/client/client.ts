/**
 * Command `vpn client`: the life of a client from its configuration to its end: preparation, handshake, the tunnel
 * up, while it runs, the end.
 *
 * The handshake comes first. Only when the server has answered is anything on the host changed: the TUN, its addresses,
 * routes. So a client that cannot connect leaves nothing to undo.
 */
import { sleptTime } from "../../../ffi/clock.ts";
import { openLibc } from "../../../ffi/libc.ts";
import type { RunOptions } from "../../cli/command.ts";
import { LivePeers } from "../../control/live_peers.ts";
import { Reloader } from "../../control/reload.ts";
import type { ClientConfig } from "../../core/config/config.ts";
import { validateClient } from "../../core/config/roles.ts";
import { peerOptions } from "../../core/peers/peer_options.ts";
import { isIpv6 } from "../../core/wire/host_address.ts";
import { formatCidr } from "../../core/wire/ipv4_text.ts";
import { Refusals } from "../../dataplane/refusals.ts";
import type { DataPlaneHandle } from "../../dataplane/data_plane_handle.ts";
import type { WorkerCount } from "../../dataplane/workers/worker_count.ts";
import type { InterfaceSettings } from "../../host/network/host_network.ts";
import { ExitCode } from "../../process/errors.ts";
import { dropPrivileges } from "../../process/privileges.ts";
import { type ServiceManager, underManager } from "../../process/service_manager.ts";
import { watchSleep } from "../../process/sleep_watch.ts";
import { RESTART_SIGNAL } from "../../process/stop_signal.ts";
import { refusesOtherPorts, refusesPort } from "../refused_ports.ts";
import {
  commonDataPlaneConfig,
  endTunnel,
  serveTunnel,
  startDataPlane,
  startTunnel,
  type TunnelStart,
} from "../tunnel_lifecycle.ts";
import { logReports } from "../tunnel_reports.ts";
import { ClientHost, nameServersNow } from "./client_host.ts";
import { ClientReload } from "./client_reload.ts";
import { ClientTransports } from "./client_transports.ts";
import { Connection } from "./connection.ts";
import { noAnswer, serverLost } from "./connection_errors.ts";
import { type Preparation, prepareClient } from "./preparation.ts";
import { SilenceWatch } from "./silence_watch.ts";

/**
 * Connects, and stays connected until SIGINT, SIGTERM or SIGUSR2, or until the server is lost and
 * `OnPeerTimeout = exit`.
 *
 * @returns the exit code
 * @throws {ConfigError | AppError} before anything on the host is changed, where it cannot run or connect; after that,
 * with exit code 4, where the server is lost
 */
export function runClient(options: RunOptions): Promise<number> {
  return underManager((manager) => stayConnected(options, manager));
}

/** A client with its data plane. */
interface Client {
  readonly start: TunnelStart<ClientConfig>;
  readonly manager: ServiceManager;
  readonly preparation: Preparation;
  readonly transports: ClientTransports;
  readonly host: ClientHost;
  readonly connection: Connection;
  readonly services: AsyncDisposableStack;
  readonly dataPlane: DataPlaneHandle;
  readonly port: number;
  readonly aead: string;
  readonly threads: WorkerCount;
}

async function stayConnected(options: RunOptions, manager: ServiceManager): Promise<number> {
  const startedAt = performance.now();
  using start = startTunnel(options, {
    role: "client",
    validate: validateClient,
    needsFakeTcp: ({ interface: { transport } }) => transport === "faketcp",
  });
  const { config, logger, journal, hooks, stop, faults } = start;
  const preparation = await prepareClient(start);
  if (preparation === null) return ExitCode.ok;
  const { block, plan } = preparation;
  const services = new AsyncDisposableStack();
  using transports = new ClientTransports({
    transport: config.interface.transport,
    interfaceName: options.interfaceName,
    journal,
    hasOthers: config.otherPeers.length > 0,
    reachesIpv6: [
      ...preparation.places.map(({ address }) => address),
      ...preparation.others.map(({ endpoint }) => endpoint?.address ?? 0),
    ].some(isIpv6),
  });
  using host = new ClientHost({ start, plan, transports, services });
  const connection = newConnection({ start, manager, preparation, transports, host });
  const { dataPlane, port, aead, threads } = await startClientDataPlane(start, {
    preparation,
    host,
    connection,
  });
  // Once the host counts as closed, nobody but a person opens it.
  let staysClosed = block !== null;
  try {
    // What is left of an earlier client lets out that one's datagrams alone.
    if (block !== null) host.close({ port, connection });
    using refusals = Refusals.open(port);
    const silence = new SilenceWatch({
      dataPlane,
      refusals,
      mark: preparation.plan.mark,
      refusesOtherPorts,
      refusesPort,
    });
    const outcome = await Promise.race([
      // The server was found where the earlier client had it.
      connection.connect(dataPlane, { lookUpFirst: block !== null, silence }),
      stop.received,
      dataPlane.failed,
      faults.failed,
    ]);
    if (outcome === false) {
      const reason = await silence.explain(connection.place, config);
      throw noAnswer(config, connection, reason);
    }
    if (outcome !== true) {
      staysClosed &&= outcome === RESTART_SIGNAL;
      return ExitCode.ok;
    }
    const settings = await host.bringUp({ dataPlane, port, connection });
    const client = {
      start,
      manager,
      preparation,
      transports,
      host,
      connection,
      services,
      dataPlane,
      port,
      aead,
      threads,
    };
    const reloader = await serveClient(client, settings);
    const upkeep = host.watch();
    await upkeep.whilePostUp(() => hooks.postUp());
    dropPrivileges({ ...host.toUndo, configPath: options.configPath, logger });
    sayConnected(client, startedAt);
    start.reloads.serveBy(reloader);
    staysClosed = true;
    services.use(watchSleep(() => sleptTime(openLibc()), () => connection.onResume()));
    const signal = await Promise.race([
      stop.received,
      connection.keep(),
      dataPlane.failed,
      upkeep.failed,
      faults.failed,
    ]);
    if (signal === undefined) throw serverLost(reloader.config, connection);
    staysClosed = signal === RESTART_SIGNAL;
    logger.info("{signal} received: disconnecting", { signal });
  } catch (error) {
    throw await dataPlane.causeOf(error);
  } finally {
    manager.stopping();
    connection.close();
    if (staysClosed) host.stayClosed();
    await endTunnel({ hooks, services, journal, dataPlane, staysClosed });
  }
  return ExitCode.ok;
}

// Preparation.

function newConnection(
  { start, manager, preparation, transports, host }: Pick<
    Client,
    "start" | "manager" | "preparation" | "transports" | "host"
  >,
): Connection {
  const { config, network, logger } = start;
  const { places, plan } = preparation;
  return new Connection({
    config,
    places,
    mark: plan.mark,
    transports,
    nameServers: nameServersNow(),
    whileAsking: (resolvers, call) => host.whileAsking(resolvers, call),
    pathTo: (to) => network.traceOf(to, plan.mark),
    onState: (state) => manager.status(state),
    logger,
  });
}

function startClientDataPlane(
  start: TunnelStart<ClientConfig>,
  { preparation, host, connection }: Pick<Client, "preparation" | "host" | "connection">,
): ReturnType<typeof startDataPlane> {
  const { config, logger } = start;
  const reports = logReports(logger);
  return startDataPlane({
    ...commonDataPlaneConfig(start),
    isGateway: false,
    hasFakeTcp: config.interface.transport !== "udp",
    mark: preparation.plan.mark,
    clientToClient: false,
    egress: "off",
    egressRules: [],
    fleet: null,
    access: [],
    // The server is the first: that is the one which commands about "the server" mean.
    peers: [
      { ...peerOptions(config.server, null), endpoint: connection.place },
      ...preparation.others,
    ],
  }, {
    ...reports,
    onPeer: (report) => {
      connection.onPeer(report);
      reports.onPeer(report);
    },
    onNetworkChange: () => {
      connection.onNetworkChange();
      host.networkChanged();
    },
    onPathMtu: (report) => {
      reports.onPathMtu(report);
      // One device has one MTU: packets for another peer that are too long for its path go in fragments.
      if (connection.isServer(report)) host.setPathMtu(report.mtu);
    },
  });
}

// The tunnel is up.

/** Answers questions and takes changes of the configuration from now on. */
async function serveClient(
  { start, manager, preparation, transports, host, connection, services, ...tunnel }: Client,
  settings: InterfaceSettings,
): Promise<Reloader<ClientConfig>> {
  const { options: { configPath, interfaceName }, config, network, logger } = start;
  const { dataPlane } = tunnel;
  const peers = services.use(
    new LivePeers({
      role: "client",
      config,
      dataPlane,
      network,
      settings,
      now: Date.now,
      startedAt: Date.now(),
      // One of them is the server.
      onPeersChange: (changed) => {
        const places = [...changed.values()].map(({ endpoint }) => endpoint?.address ?? 0);
        transports.setOthers(changed.size > 1, places.some(isIpv6));
      },
    }),
  );
  const reloader = new Reloader({
    path: configPath,
    interfaceName,
    config,
    role: new ClientReload({ connection, ...host.changes(settings) }),
    peers,
    manager,
    logger,
  });
  await serveTunnel(services, start, {
    ...tunnel,
    accounts: null,
    application: {},
    published: null,
    mark: preparation.plan.mark,
    settings,
    peers,
    reloader,
    degraded: () => host.degraded,
    store: () => null,
    hasNat: false,
    dnsProxy: null,
  });
  return reloader;
}

function sayConnected(
  { start: { config, logger }, manager, connection, aead }: Client,
  startedAt: number,
): void {
  logger.info("connected to {server} as {address} in {time} ms; cipher: {aead}", {
    server: connection.route,
    address: config.interface.addresses.map(formatCidr).join(", "),
    time: Math.round(performance.now() - startedAt),
    aead,
  });
  manager.ready(`connected to ${connection.route}`);
}
