/** Command `vpn server`: the life of a gateway from its configuration to its end. */
import type { RunOptions } from "../../cli/command.ts";
import type { ServerConfig } from "../../core/config/config.ts";
import { validateServer } from "../../core/config/roles.ts";
import type { PeerOptions } from "../../core/wireguard/peer.ts";
import { formatCidr } from "../../core/wire/ipv4_text.ts";
import { CarrierGuard } from "../../host/firewall/carrier_guard.ts";
import { cleanUp } from "../cleanup.ts";
import { loadConfig } from "../../host/files/config_file.ts";
import { openControl } from "../../control/control.ts";
import { LivePeers, peersByKey } from "../../control/live_peers.ts";
import type { DataPlaneConfig } from "../../dataplane/data_plane_protocol.ts";
import type { PeerNetworks } from "../../services/dns_proxy/clients.ts";
import { DnsProxy } from "../../services/dns_proxy/dns_proxy.ts";
import { ExitCode } from "../../process/errors.ts";
import { Gateway } from "./gateway.ts";
import { Hooks } from "../../host/hooks/hooks.ts";
import { HostNetwork } from "../../host/network/host_network.ts";
import { NetworkConflict } from "../../host/network/network_conflict.ts";
import { startUpkeep } from "../../host/upkeep/host_upkeep.ts";
import { InnerGuard, tunnelServices } from "../../host/firewall/inner_guard.ts";
import { Journal } from "../../host/journal/journal.ts";
import { catchFaults } from "../../process/last_resort.ts";
import { getLogger } from "../../process/logging.ts";
import { serveMetrics } from "../../services/metrics/serve_metrics.ts";
import { locatedPeers } from "../../host/dns/peer_places.ts";
import {
  dropPrivileges,
  requireFakeTcpPrivileges,
  requireTunnelPrivileges,
} from "../../process/privileges.ts";
import { planPeerRoutes } from "../../host/network/route_plan.ts";
import { Reloader, ReloadRequests } from "../../control/reload.ts";
import { ServerReload } from "./server_reload.ts";
import { type ServiceManager, underManager } from "../../process/service_manager.ts";
import { blocksHere, describeBlock } from "../../host/firewall/standing_blocks.ts";
import { listenForStop } from "../../process/stop_signal.ts";
import type { Upkeep } from "../../host/upkeep/upkeep.ts";
import {
  DEFAULT_MTU,
  endTunnel,
  enterSurroundings,
  logReports,
  logWarnings,
  startDataPlane,
  watchTimes,
} from "../tunnel_lifecycle.ts";

/** Of a gateway's tunnel, the network of its own addresses alone can be another's, too. */
const NO_ROUTES = { isFullTunnel: false, inside: [], plain: { networks: [] } };

/**
 * Runs a gateway until SIGINT, SIGTERM or SIGUSR2.
 *
 * @returns the exit code
 * @throws {ConfigError | AppError} before anything on the host is changed, where it cannot run
 */
export function runServer(options: RunOptions): Promise<number> {
  return underManager((manager) => serve(options, manager));
}

async function serve(options: RunOptions, manager: ServiceManager): Promise<number> {
  // First of all: process 1 of a container gets no signal that it has no listener for.
  const reloads = new ReloadRequests();
  using stop = listenForStop({ onHangup: () => reloads.notice() });
  const log = enterSurroundings(options);
  const logger = getLogger("server");
  const config = validateServer(loadConfig(options.configPath, options));
  logWarnings(logger, config);
  requireTunnelPrivileges();
  if (config.interface.transport !== "udp") requireFakeTcpPrivileges();
  for (const line of cleanUp()) logger.info("{line}", { line });
  for (const block of blocksHere()) logger.warn("{block}", { block: describeBlock(block) });
  using faults = catchFaults(logger);
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

  const innerMtu = config.interface.mtu ?? DEFAULT_MTU;
  using gateway = new Gateway({
    config,
    interfaceName: options.interfaceName,
    innerMtu,
    journal,
    logger,
  });
  const peersAtStart = await Promise.race([
    locatedPeers(config.peers, { config, logger }),
    // A look-up may take as long as `ConnectTimeout`, and nothing is changed yet.
    stop.received,
  ]);
  if (typeof peersAtStart === "string") return ExitCode.ok;
  using conflict = new NetworkConflict({ config, plan: NO_ROUTES, interfaceName, network, logger });
  let networkChanged = () => {};
  const { dataPlane, port, aead } = await startDataPlane(
    {
      ...dataPlaneConfig(config, options, peersAtStart),
      ...gateway.dataPlaneConfig,
    },
    { ...logReports(logger), onNetworkChange: () => networkChanged() },
  );
  // It outlives the data plane, whose last segments the host's TCP would answer.
  using carriers = new DisposableStack();
  const services = new AsyncDisposableStack();
  let upkeep: Upkeep | null = null;
  try {
    if (config.interface.transport !== "udp") {
      const table = `vpn_${interfaceName}_faketcp`;
      const guard = carriers.use(CarrierGuard.forServer(port, { table, journal }));
      await dataPlane.openFakeTcp(guard.endpoints);
    }
    const { addresses } = config.interface;
    // Noted before the hooks, so that it is undone after them and after the device has gone.
    const innerGuard = services.use(
      InnerGuard.install({
        role: "server",
        interfaceName,
        addresses,
        services: tunnelServices(config),
        journal,
        logger,
      }),
    );
    gateway.close();
    await dataPlane.openTun(options.interfaceName);
    await hooks.preUp();
    const settings = { name: options.interfaceName, addresses, mtu: innerMtu };
    network.bringUp(settings);
    network.addRoutes(settings, planPeerRoutes(config));
    conflict.look();
    gateway.open(dataPlane);
    let peers: ReadonlyMap<string, PeerNetworks> = peersByKey(config.peers);
    const dnsProxy = services.use(
      config.interface.dnsProxy.length === 0 ? null : await DnsProxy.start({
        address: config.interface.addresses[0].address,
        upstreams: config.interface.dnsProxy,
        peers: () => peers,
        logger: getLogger("dns"),
      }),
    );
    const livePeers = services.use(
      new LivePeers({
        role: "server",
        config,
        dataPlane,
        network,
        settings,
        onPeersChange: (changed) => peers = changed,
      }),
    );
    const reloader = new Reloader({
      path: options.configPath,
      interfaceName,
      config,
      role: new ServerReload({ gateway, dataPlane, dnsProxy }),
      peers: livePeers,
      manager,
      logger,
    });
    services.use(
      await openControl({
        role: "server",
        interfaceName,
        netns: options.netns ?? null,
        config,
        port,
        mark: config.interface.fwMark ?? 0,
        aead,
        dataPlane,
        network,
        settings,
        journal,
        log,
        peers: livePeers,
        reload: () => reloader.reload(),
        degraded: () => [...gateway.degraded, ...upkeep?.degraded ?? []],
      }),
    );
    services.use(
      await serveMetrics({
        config,
        role: "server",
        interfaceName,
        aead,
        dataPlane,
        hasNat: typeof gateway.dataPlaneConfig.egress === "object",
        dnsProxy,
        logger,
      }),
    );
    await hooks.postUp();
    const watched = upkeep = services.use(startUpkeep({ network, journal }));
    dropPrivileges({
      commands: hooks.hasDown ? "PreDown and PostDown" : null,
      foreignFile: null,
      configPath: options.configPath,
      logger,
    });
    networkChanged = () => {
      innerGuard?.networkChanged();
      gateway.networkChanged(dataPlane);
      watched.notice();
      conflict.notice();
    };
    // What changed meanwhile has been told nobody.
    innerGuard?.networkChanged();
    const isTcpToo = config.interface.transport !== "udp";
    logger.info(
      "listening on UDP port {port}{tcp}; {interface} has {addresses}; cipher by {aead}",
      {
        tcp: isTcpToo ? ", and TCP's for fake TCP" : "",
        port,
        interface: options.interfaceName,
        addresses: settings.addresses.map(formatCidr).join(", "),
        aead,
      },
    );
    manager.ready(`serving on UDP port ${port}`);
    reloads.serveBy(reloader);
    const signal = await Promise.race([
      stop.received,
      dataPlane.failed,
      watched.failed,
      faults.failed,
    ]);
    logger.info("{signal} received: stopping", { signal });
  } catch (error) {
    throw await dataPlane.causeOf(error);
  } finally {
    manager.stopping();
    gateway.end();
    await endTunnel({ hooks, services, journal, dataPlane });
  }
  return ExitCode.ok;
}

function dataPlaneConfig(
  config: ServerConfig,
  options: RunOptions,
  peers: readonly PeerOptions[],
): Omit<DataPlaneConfig, "commandFd" | "egress" | "egressRules"> {
  const section = config.interface;
  return {
    isGateway: true,
    interfaceName: options.interfaceName,
    hasFakeTcp: section.transport !== "udp",
    privateKey: section.privateKey,
    listenPort: config.listenPort,
    mark: section.fwMark ?? 0,
    mtu: section.mtu ?? DEFAULT_MTU,
    offload: options.offload,
    aead: section.aead,
    trace: options.logLevel === "trace",
    addresses: section.addresses,
    clientToClient: section.clientToClient,
    peers,
    watch: { role: "server", ...watchTimes(config) },
  };
}
