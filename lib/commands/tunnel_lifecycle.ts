/**
 * Tunnel life cycle: what `vpn server` and `vpn client` have in common, in the order in which it happens: the start,
 * the data plane, the services, the end.
 */
import { EACCES, EADDRINUSE, EPERM } from "../../ffi/errno.ts";
import type { RunOptions } from "../cli/command.ts";
import { openControl, type RunningTunnel } from "../control/control.ts";
import { type Reloader, ReloadRequests } from "../control/reload.ts";
import { encodeKey } from "../core/config/values/key_text.ts";
import type { Config, InterfaceConfig } from "../core/config/config.ts";
import { PATH_OVERHEAD } from "../core/wireguard/path/path_mtu.ts";
import { DataPlaneHandle } from "../dataplane/data_plane_handle.ts";
import type { DataPlaneListener } from "../dataplane/data_plane_listener.ts";
import {
  type WantedThreads,
  type WorkerCount,
  workerCount,
} from "../dataplane/workers/worker_count.ts";
import { DataPlaneError } from "../dataplane/thread/data_plane_error.ts";
import type { DataPlaneConfig } from "../dataplane/data_plane_protocol.ts";
import { readConfigFile } from "../host/files/config_file.ts";
import { InnerGuard, tunnelServices } from "../host/firewall/inner_guard.ts";
import { Hooks } from "../host/hooks/hooks.ts";
import { Journal } from "../host/journal/journal.ts";
import { HostNetwork } from "../host/network/host_network.ts";
import { AppError, ExitCode } from "../process/errors.ts";
import { catchFaults, type LastResort } from "../process/last_resort.ts";
import { getLogger, type LogControl, type Logger } from "../process/logging.ts";
import {
  lowPort,
  requireFakeTcpPrivileges,
  requireTunnelPrivileges,
} from "../process/privileges.ts";
import { releaseStartPages } from "./start_pages.ts";
import { listenForStop, type StopSignal } from "../process/stop_signal.ts";
import { type MetricsOptions, serveMetrics } from "../services/metrics/serve_metrics.ts";
import { cleanUp } from "./cleanup.ts";
import { enterSurroundings } from "./surroundings.ts";

/** Bytes; what fits an Ethernet path with the outer headers of IPv6, so that it suits every WireGuard peer. */
const DEFAULT_MTU = 1420;
/** What fits jumbo frames of 9,000 bytes with the outer headers of IPv4. */
const JUMBO_MTU = 9000 - PATH_OVERHEAD;

/** The most that the MTU inside may become, in bytes, by what a configuration says. */
export function mtuLimit(configured: InterfaceConfig["mtu"]): number {
  return configured === "auto" ? JUMBO_MTU : configured ?? DEFAULT_MTU;
}

/** From which on anybody may listen. */
const FIRST_FREE_PORT = 1024;

/** Of one command: what it is, and what its configuration must be. */
export interface TunnelRole<Kind extends Config> {
  readonly role: "server" | "client";
  /** @throws {ConfigError} */
  readonly validate: (config: Config) => Kind;
  /** Whether it cannot do without fake TCP. */
  readonly needsFakeTcp: (config: Kind) => boolean;
}

/** A tunnel that has been started, with nothing on the host changed yet. */
export interface TunnelStart<Kind extends Config> extends Disposable {
  readonly role: "server" | "client";
  readonly options: RunOptions;
  readonly config: Kind;
  readonly log: LogControl;
  readonly logger: Logger;
  readonly stop: StopSignal;
  /** SIGHUPs, from the start on. */
  readonly reloads: ReloadRequests;
  readonly faults: LastResort;
  readonly journal: Journal;
  readonly hooks: Hooks;
  readonly network: HostNetwork;
}

/**
 * Starts a tunnel: signals, log, configuration, privileges; undoes what killed tunnels have left.
 *
 * @throws {ConfigError | AppError} where it cannot run
 */
export function startTunnel<Kind extends Config>(
  options: RunOptions,
  { role, validate, needsFakeTcp }: TunnelRole<Kind>,
): TunnelStart<Kind> {
  const { interfaceName } = options;
  using opened = new DisposableStack();
  // A pipe may keep it waiting, in which only a signal that nobody listens for ends it.
  const parse = readConfigFile(options.configPath);
  // Before all else: process 1 of a container gets no signal that it has no listener for.
  const reloads = new ReloadRequests();
  const stop = opened.use(listenForStop({ onHangup: () => reloads.notice() }));
  const log = enterSurroundings(options);
  const logger = getLogger(role);
  const config = validate(parse(options));
  logWarnings(logger, config);
  requireTunnelPrivileges();
  if (needsFakeTcp(config)) requireFakeTcpPrivileges();
  for (const line of cleanUp()) logger.info("{line}", { line });
  const faults = opened.use(catchFaults(logger));
  const journal = new Journal(interfaceName, options.netns);
  const hooks = new Hooks({
    config,
    interfaceName,
    journal,
    stop: Promise.race([stop.received, faults.struck]),
  });
  const network = opened.use(new HostNetwork(journal));
  network.requireFreeName(interfaceName);
  const owned = opened.move();
  return {
    role,
    options,
    config,
    log,
    logger,
    stop,
    reloads,
    faults,
    journal,
    hooks,
    network,
    [Symbol.dispose]: () => owned.dispose(),
  };
}

/** Tells what the configuration has that is of no effect. */
function logWarnings(logger: Logger, config: Config): void {
  for (const note of config.notes) logger.info("{note}", { note });
  for (const warning of config.warnings) {
    logger.warn("{warning}", { warning });
  }
}

/** What a server's and a client's data plane are configured by alike. */
export function commonDataPlaneConfig(
  { role, options, config }: TunnelStart<Config & { readonly listenPort: number }>,
):
  & Pick<
    DataPlaneConfig,
    | "interfaceName"
    | "privateKey"
    | "listenPort"
    | "mtu"
    | "unprovenMtu"
    | "offload"
    | "aead"
    | "trace"
    | "addresses"
    | "addresses6"
    | "watch"
  >
  & { readonly threads: WantedThreads } {
  const { privateKey, mtu, aead, addresses, addresses6, peerTimeout, releaseAfter } =
    config.interface;
  return {
    threads: {
      wanted: config.interface.dataPlaneThreads,
      isInFleet: config.interface.store.length > 0,
      processors: navigator.hardwareConcurrency,
    },
    interfaceName: options.interfaceName,
    privateKey,
    listenPort: config.listenPort,
    mtu: mtuLimit(mtu),
    // A peer that answers no probe may be on any path behind a jumbo link.
    unprovenMtu: mtu === "auto" ? DEFAULT_MTU : mtuLimit(mtu),
    offload: options.offload,
    aead,
    trace: options.logLevel === "trace",
    addresses,
    addresses6,
    watch: { role, peerTimeout, releaseAfter },
  };
}

/**
 * Starts the data plane; its refusals become errors for the user.
 *
 * @throws {AppError} with exit code 2 for a port in use, 5 for a missing privilege
 */
export async function startDataPlane(
  { threads, ...config }: Omit<DataPlaneConfig, "commandFd" | "shared"> & {
    readonly threads: WantedThreads;
  },
  listener: DataPlaneListener,
): Promise<{ dataPlane: DataPlaneHandle; port: number; aead: string; threads: WorkerCount }> {
  const count = workerCount(threads, config);
  logThreads(count);
  const { workers, hasOneNat } = count;
  try {
    return {
      ...await DataPlaneHandle.start({ ...config, workers, hasOneNat }, listener),
      threads: count,
    };
  } catch (error) {
    if (!(error instanceof DataPlaneError)) throw error;
    if (error.errno === EADDRINUSE) {
      throw new AppError(
        `Cannot listen on UDP port ${config.listenPort}${
          config.fleet === null ? "" : ` or ${config.fleet.port}`
        }: it is in use: ` +
          "stop the program that uses it, or choose another ListenPort",
        { exitCode: ExitCode.usage, cause: error },
      );
    }
    if (error.errno === EACCES && config.listenPort < FIRST_FREE_PORT) {
      throw lowPort("UDP", config.listenPort);
    }
    if (error.errno === EPERM) {
      throw new AppError(error.message, { exitCode: ExitCode.privilege, cause: error });
    }
    throw error;
  }
}

/** Says how many threads move packets, and why: loudly where more were asked for, and softly where nobody did. */
function logThreads({ workers, hasOneNat, decidedBy, oneThread: reason }: WorkerCount): void {
  const logger = getLogger("dataplane");
  if (reason !== null) {
    const what = hasOneNat ? "translates" : "moves packets";
    logger.warn("one thread {what}, though {decidedBy}: {reason}", { what, decidedBy, reason });
  } else if (workers > 1) {
    logger.info("{workers} threads move packets ({decidedBy})", { workers, decidedBy });
  } else logger.debug("one thread moves packets ({decidedBy})", { decidedBy });
}

/** Has the firewall protect the inner addresses; before the device, so that it is undone after it and the hooks. */
export function guardInnerAddresses(
  { role, options, config, journal, logger }: TunnelStart<Config>,
): ReturnType<typeof InnerGuard.install> {
  return InnerGuard.install({
    role,
    interfaceName: options.interfaceName,
    addresses: config.interface.addresses,
    addresses6: config.interface.addresses6,
    services: tunnelServices(config),
    journal,
    logger,
  });
}

/** What a tunnel is asked about, and what it is asked for. */
export interface ServedTunnel<Kind extends Config> extends
  Pick<
    RunningTunnel,
    | "port"
    | "mark"
    | "aead"
    | "threads"
    | "dataPlane"
    | "settings"
    | "peers"
    | "accounts"
    | "published"
    | "degraded"
    | "store"
    | "application"
  >,
  Pick<MetricsOptions, "hasNat" | "dnsProxy"> {
  readonly reloader: Reloader<Kind>;
}

/** Answers `vpn status`, `wg` and scrapers from now on, until the services are disposed of. */
export async function serveTunnel<Kind extends Config>(
  services: AsyncDisposableStack,
  { role, options, config, journal, log, logger, network }: TunnelStart<Kind>,
  { reloader, hasNat, dnsProxy, ...tunnel }: ServedTunnel<Kind>,
): Promise<void> {
  const { interfaceName, netns = null } = options;
  const { aead, dataPlane } = tunnel;
  services.use(releaseStartPages(role));
  services.use(
    await openControl({
      ...tunnel,
      dnsProxy,
      role,
      interfaceName,
      netns,
      config,
      network,
      journal,
      log,
      reload: (by) => reloader.reload(by),
    }),
  );
  services.use(
    await serveMetrics({
      role,
      interfaceName,
      config,
      aead,
      dataPlane,
      access: () =>
        tunnel.peers.access().map((peer) => ({
          ...peer,
          quotaUsed: tunnel.accounts?.quotaOf(encodeKey(peer.publicKey), null)?.used ?? 0,
        })),
      ruleText: (rule) => tunnel.peers.ruleText(rule),
      hasNat,
      services: (statistics) => tunnel.published?.status(statistics) ?? [],
      dnsProxy,
      store: tunnel.store,
      logger,
    }),
  );
}

export interface TunnelToEnd {
  readonly hooks: Hooks;
  /** By which it is asked and told things, and what it does besides: open as long as `PreDown` may ask. */
  readonly services: AsyncDisposableStack;
  readonly journal: Journal;
  readonly dataPlane: DataPlaneHandle;
  /** Whether a kill switch stays: it is not a person who ends the tunnel. */
  readonly staysClosed?: boolean;
}

/**
 * Ends a tunnel: `PreDown` while everything stands, so that `wg show` works there as under wg-quick, then the services,
 * everything back to what it was, the device gone, `PostDown`. A failure of one step keeps none of the others from
 * being taken.
 */
export async function endTunnel(
  { hooks, services, journal, dataPlane, staysClosed = false }: TunnelToEnd,
): Promise<void> {
  try {
    await hooks.preDown();
  } finally {
    try {
      await services.disposeAsync();
    } finally {
      try {
        // The rules before the device: while they stand, the host's traffic looks for the tunnel. What shuts its inner
        // addresses and its clients off from other interfaces, behind it.
        journal.undo({ isDeviceThere: true, staysClosed });
      } finally {
        await dataPlane.stop();
        journal.undo({ staysClosed });
      }
    }
  }
}
