/** Command `vpn server`: the life of a gateway from its configuration to its end. */
import type { RunOptions } from "../../cli/command.ts";
import { Accounts } from "../../control/accounts.ts";
import { Examinations } from "../../control/application/examinations.ts";
import { PeerEvents } from "../../control/peer_events.ts";
import { accountsPath, drainedPath } from "../../process/state_directory.ts";
import { DeniedEvents } from "../../control/denied_events.ts";
import { KeySuccession } from "../../control/application/key_succession.ts";
import { LiveAccess } from "../../control/live_access.ts";
import { LivePeers, peersByKey } from "../../control/live_peers.ts";
import { Reloader } from "../../control/reload.ts";
import { validateServer } from "../../core/config/roles.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { admittedPeers } from "../../core/peers/admission.ts";
import { currentKeys, isKeyDue } from "../../core/peers/key_succession.ts";
import { formatCidr } from "../../core/wire/ipv4_text.ts";
import { DrainedFile } from "../../host/accounts/drained_file.ts";
import { locatedPeers } from "../../host/dns/peer_places.ts";
import { FakeTcpGuard } from "../../host/firewall/fake_tcp_guard.ts";
import { blocksHere, describeBlock } from "../../host/firewall/standing_blocks.ts";
import { NetworkConflict } from "../../host/network/network_conflict.ts";
import { planPeerRoutes } from "../../host/network/route_plan.ts";
import { startUpkeep } from "../../host/upkeep/host_upkeep.ts";
import type { Upkeep } from "../../host/upkeep/upkeep.ts";
import { ExitCode } from "../../process/errors.ts";
import { background } from "../../process/guard.ts";
import { getLogger } from "../../process/logging.ts";
import { dropPrivileges } from "../../process/privileges.ts";
import { type ServiceManager, underManager } from "../../process/service_manager.ts";
import type { PeerNetworks } from "../../services/dns_proxy/followed_peers.ts";
import { readBlockFiles } from "../../services/dns_proxy/block_files.ts";
import { DnsProxy } from "../../services/dns_proxy/dns_proxy.ts";
import { connectTcp } from "../../services/published/health_checks.ts";
import { PublishedServices } from "../../services/published/published_services.ts";
import {
  commonDataPlaneConfig,
  endTunnel,
  guardInnerAddresses,
  mtuLimit,
  serveTunnel,
  startDataPlane,
  startTunnel,
} from "../tunnel_lifecycle.ts";
import { logReports } from "../tunnel_reports.ts";
import { FleetMember, withLivePeers } from "./fleet_member.ts";
import { Gateway } from "./gateway.ts";
import { examineByProcess } from "./doctor_process.ts";
import { gatewayApplication } from "./gateway_application.ts";
import { GatewayWebhooks } from "./gateway_webhooks.ts";
import { KeptLogs } from "./kept_logs.ts";
import { ServerReload } from "./server_reload.ts";
import { VirtualAddress } from "./virtual_address.ts";

/** Of a gateway's tunnel, the network of its own addresses alone can be another's, too. */
/** Events that wait for the accounts to be opened: clients connect while `PreUp` runs. */
const MAX_EARLY_EVENTS = 1_000;
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
  using start = startTunnel(options, {
    role: "server",
    validate: validateServer,
    needsFakeTcp: ({ interface: { transport } }) => transport !== "udp",
  });
  const { logger, stop, faults, journal, hooks, network } = start;
  const { interfaceName, configPath, netns } = options;
  await using fleet = await FleetMember.join({
    config: start.config,
    configPath,
    interfaceName,
    netns,
  });
  const startedAt = Date.now();
  const read = fleet?.config ?? start.config;
  const config = { ...read, peers: currentKeys(read.peers, startedAt) };
  await using virtual = fleet === null || config.interface.virtualAddress === null
    ? null
    : new VirtualAddress({ ...options, config, store: fleet.store, network, logger });
  for (const block of blocksHere()) logger.warn("{block}", { block: describeBlock(block) });

  const innerMtu = mtuLimit(config.interface.mtu);
  const admitted = admittedPeers(config.peers, startedAt);
  let accounts: Accounts | null = null;
  const recordedEarly: Parameters<Accounts["record"]>[] = [];
  const record = (...event: Parameters<Accounts["record"]>) => {
    if (accounts !== null) accounts.record(...event);
    else if (recordedEarly.length < MAX_EARLY_EVENTS) recordedEarly.push(event);
  };
  const published = new PublishedServices({
    forwards: config.interface.egress === "raw" ? config.interface.forwards : [],
    addresses: config.interface.addresses,
    peers: peersByKey(admitted),
    connect: connectTcp,
    drained: new DrainedFile(drainedPath(interfaceName, netns)),
    logger,
    record: (kind, detail) => record(kind, null, detail),
  });
  using gateway = new Gateway({
    config,
    interfaceName: options.interfaceName,
    innerMtu,
    journal,
    logger,
    published,
  });
  const blockList = config.interface.dnsProxy.length === 0 ? null : await readBlockFiles({
    paths: config.interface.dnsBlock,
    configPath: options.configPath,
    logger: getLogger("dns"),
  });
  const peersAtStart = await Promise.race([
    locatedPeers(admitted, { config, logger }),
    // A look-up may take as long as `ConnectTimeout`, and nothing is changed yet.
    stop.received,
  ]);
  if (typeof peersAtStart === "string") return ExitCode.ok;
  const access = new LiveAccess({
    groups: config.groups,
    surroundings: gateway.surroundings(),
    peers: peersByKey(admitted),
  });
  using conflict = new NetworkConflict({ config, plan: NO_ROUTES, interfaceName, network, logger });
  let networkChanged = () => {};
  const usedEarly: Uint8Array[] = [];
  let keyUsed = (publicKey: Uint8Array) => {
    usedEarly.push(publicKey);
  };
  const logged = logReports(logger);
  const events = new PeerEvents({ record, now: () => performance.now() });
  const { dataPlane, port, aead, threads } = await startDataPlane(
    {
      ...commonDataPlaneConfig(start),
      isGateway: true,
      hasFakeTcp: config.interface.transport !== "udp",
      mark: config.interface.fwMark ?? 0,
      clientToClient: config.interface.clientToClient,
      peers: peersAtStart.map((peer) => ({
        ...peer,
        accessId: access.idOf(encodeKey(peer.publicKey)),
      })),
      access: access.atStart,
      ...gateway.dataPlaneConfig,
      fleet: virtual?.fleet ?? null,
    },
    {
      ...logged,
      onFleet: (report) => virtual?.take(report),
      onNetworkChange: () => networkChanged(),
      onUsage: (report) => accounts?.take(report),
      onPeer: (report) => {
        logged.onPeer(report);
        events.report(report);
        published.report(report);
        if (report.event === "key-replaced") keyUsed(report.publicKey);
      },
    },
  );
  // It outlives the data plane, whose last segments the host's TCP would answer.
  using transports = new DisposableStack();
  const services = new AsyncDisposableStack();
  let upkeep: Upkeep | null = null;
  try {
    if (config.interface.transport !== "udp") {
      const table = `vpn_${interfaceName}_faketcp`;
      const guard = transports.use(FakeTcpGuard.forServer(port, { table, journal }));
      await dataPlane.openFakeTcp(guard.endpoints);
    }
    const { addresses, addresses6 } = config.interface;
    const innerGuard = services.use(guardInnerAddresses(start));
    gateway.close();
    journal.deviceComes();
    await dataPlane.openTun(options.interfaceName);
    await hooks.preUp();
    const settings = { name: options.interfaceName, addresses, addresses6, mtu: innerMtu };
    network.bringUp(settings);
    await network.takesPackets();
    network.addRoutes(settings, planPeerRoutes({ ...config, peers: admitted }));
    conflict.look();
    gateway.setPeers(admitted);
    gateway.open(dataPlane);
    const kept = accounts = services.use(
      await Accounts.start({
        path: accountsPath(interfaceName, options.netns),
        dataPlane,
        now: Date.now,
        logger: getLogger("control"),
      }),
    );
    for (const event of recordedEarly.splice(0)) kept.record(...event);
    const webhooks = services.use(
      new GatewayWebhooks({
        path: accountsPath(interfaceName, options.netns),
        gateway: interfaceName,
        logger: getLogger("control"),
      }),
    );
    await webhooks.follow(config.interface);
    let peers: ReadonlyMap<string, PeerNetworks> = peersByKey(admitted);
    for (const peer of read.peers) {
      if (!isKeyDue(peer, startedAt)) continue;
      accounts.rename(encodeKey(peer.publicKey), encodeKey(peer.nextKey!.publicKey));
    }
    accounts.follow(peersByKey(admitted));
    const logs = services.use(
      await KeptLogs.start({ config, interfaceName, netns, dataPlane, peers: () => peers }),
    );
    const dnsProxy = services.use(
      config.interface.dnsProxy.length === 0 ? null : await DnsProxy.start({
        addresses,
        addresses6,
        upstreams: config.interface.dnsProxy,
        routes: config.interface.dnsRoutes,
        domain: config.interface.dnsDomain,
        blockList,
        peers: () => peers,
        queryLog: logs.queries,
        onHosts: (hosts) => {
          access.followHosts(hosts);
          return livePeers.followAccess();
        },
        logger: getLogger("dns"),
      }),
    );
    const followHosts = () => {
      const followed = dnsProxy?.followHosts(access.hostNames) ?? Promise.resolve();
      background("dns", "asking for the addresses of hosts in rules", followed);
    };
    let keys: KeySuccession | null = null;
    const livePeers = services.use(
      new LivePeers({
        role: "server",
        config,
        dataPlane,
        access,
        network,
        settings,
        now: Date.now,
        startedAt,
        onPeersChange: (changed, change) => {
          peers = changed;
          gateway.setPeers(changed.values());
          kept.follow(changed);
          events.changed(change);
          published.setPeers(changed);
          keys?.follow(livePeers.peers.values());
          dnsProxy?.followPeers();
          followHosts();
        },
      }),
    );
    networkChanged = () => {
      innerGuard?.networkChanged();
      gateway.networkChanged(dataPlane);
      if (access.follow(gateway.surroundings())) {
        background("server", "following the host's networks", livePeers.followAccess());
      }
      upkeep?.notice();
      conflict.notice();
    };
    // Of what has changed since the start, nobody was told; and `PostUp` may change more, and take its time.
    networkChanged();
    services.use(published).start(dataPlane);
    followHosts();
    services.use(
      new DeniedEvents({
        ask: async () => (await dataPlane.statistics()).peers,
        hasRules: () => access.isUsed,
        ruleText: (rule) => access.ruleText(rule),
        record: (kind, peer, detail) => kept.record(kind, peer, detail),
        now: () => performance.now(),
      }),
    );
    const reloader = new Reloader({
      path: options.configPath,
      interfaceName,
      config: fleet === null ? config : withLivePeers(config, livePeers),
      role: new ServerReload({
        gateway,
        dataPlane,
        dnsProxy,
        flowLog: logs.flows,
        webhooks,
        published,
        stored: fleet === null ? null : livePeers,
      }),
      peers: livePeers,
      manager,
      logger,
      onReload: (summary) => kept.record("reloaded", null, summary),
    });
    const degraded = () => [
      ...gateway.degraded,
      ...upkeep?.degraded ?? [],
      ...fleet?.degraded ?? [],
    ];
    // It changes the live peers as long as they may be changed.
    services.use(fleet);
    fleet?.follow(
      livePeers,
      dataPlane,
      (detail) => kept.record("configuration-changed", null, detail),
    );
    const examinations = services.use(
      new Examinations({
        examine: (signal) => examineByProcess({ configPath, interfaceName, netns }, signal),
        now: Date.now,
        monotonic: () => performance.now(),
      }),
    );
    const { application, methods } = services.use(gatewayApplication({
      configPath: options.configPath,
      peers: livePeers,
      accounts,
      fleet: fleet?.follower ?? null,
      reloader,
      missing: degraded,
      dns: () => dnsProxy === null ? null : { ...dnsProxy.counts },
      examinations,
    }));
    const succession = keys = services.use(
      new KeySuccession({ application, now: Date.now, logger: getLogger("control") }),
    );
    keyUsed = (publicKey) => succession.used(publicKey);
    usedEarly.forEach(keyUsed);
    succession.follow(livePeers.peers.values());
    // What was due at the start is in effect, and so may be what came since.
    succession.look();
    await serveTunnel(services, start, {
      port,
      mark: config.interface.fwMark ?? 0,
      aead,
      threads,
      dataPlane,
      settings,
      peers: livePeers,
      accounts,
      reloader,
      degraded,
      store: () => fleet && { ...fleet.status, virtualAddress: virtual?.status ?? null },
      application: methods,
      hasNat: typeof gateway.dataPlaneConfig.egress === "object",
      dnsProxy,
      published,
    });
    services.use(virtual);
    virtual?.start({
      dataPlane,
      record: (detail) => kept.record("virtual-address", null, detail),
      moveEgress: (virtual) => gateway.setVirtual(virtual, dataPlane),
    });
    const watched = upkeep = services.use(startUpkeep({ network, journal }));
    await watched.whilePostUp(() => hooks.postUp());
    dropPrivileges({
      commands: hooks.hasDown ? "PreDown and PostDown" : null,
      foreignFile: null,
      configPath: options.configPath,
      logger,
    });
    await Promise.race([virtual?.joined(), stop.received]);
    const isTcpToo = config.interface.transport !== "udp";
    logger.info(
      "listening on UDP port {port}{tcp}; {interface} has {addresses}; cipher: {aead}",
      {
        tcp: isTcpToo ? " and on the same TCP port for fake TCP" : "",
        port,
        interface: options.interfaceName,
        addresses: [...addresses.map(formatCidr), ...addresses6].join(", "),
        aead,
      },
    );
    manager.ready(`serving on UDP port ${port}`);
    start.reloads.serveBy(reloader);
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
