/**
 * Tunnel life cycle, which `vpn server` and `vpn client` share: the steps before a tunnel, the reports during it, its
 * end.
 */
import { EACCES, EADDRINUSE, EPERM } from "../../ffi/errno.ts";
import { enterNamespace, namespaceExists } from "../../ffi/netns.ts";
import type { RunOptions } from "../cli/command.ts";
import type { Config } from "../core/config/config.ts";
import { encodeKey } from "../core/config/values/key_text.ts";
import type { WatchOptions } from "../core/wireguard/liveness/liveness.ts";
import { formatIpv4 } from "../core/wire/ipv4_text.ts";
import {
  DataPlaneError,
  DataPlaneHandle,
  type DataPlaneListener,
} from "../dataplane/data_plane_handle.ts";
import type { DataPlaneConfig } from "../dataplane/data_plane_protocol.ts";
import { AppError, ExitCode } from "../process/errors.ts";
import type { Hooks } from "../host/hooks/hooks.ts";
import type { Journal } from "../host/journal/journal.ts";
import { configureLogging, getLogger, type LogControl, type Logger } from "../process/logging.ts";
import { adoptOrphans } from "../process/orphans.ts";
import { lowPort } from "../process/privileges.ts";

/** Bytes; what fits an Ethernet path with the outer headers of IPv6, so that it suits every WireGuard peer. */
export const DEFAULT_MTU = 1420;

/** From which on anybody may listen. */
const FIRST_FREE_PORT = 1024;

/**
 * Starts logging and moves this thread, and with it all that it starts, into the namespace asked for.
 *
 * @throws {AppError} with exit code 2 for a namespace that is not there
 */
export function enterSurroundings(
  options: Pick<RunOptions, "logLevel" | "logFormat" | "netns">,
): LogControl {
  const log = configureLogging({ level: options.logLevel, format: options.logFormat });
  adoptOrphans();
  if (options.netns === undefined) return log;
  if (!namespaceExists(options.netns)) {
    throw new AppError(
      `Cannot enter network namespace "${options.netns}": there is none of that name: ` +
        `create it with \`ip netns add ${options.netns}\``,
      { exitCode: ExitCode.usage },
    );
  }
  enterNamespace(options.netns);
  return log;
}

/** Tells what the configuration has that is of no effect. */
export function logWarnings(logger: Logger, config: Config): void {
  for (const note of config.notes) logger.info("{note}", { note });
  for (const warning of config.warnings) {
    logger.warn("{warning}", { warning });
  }
}

/** The times by which peers are watched, ms. */
export function watchTimes(config: Config): Pick<WatchOptions, "peerTimeout" | "releaseAfter"> {
  const { peerTimeout, releaseAfter } = config.interface;
  return { peerTimeout, releaseAfter };
}

/**
 * Starts the data plane; its refusals become errors for the user.
 *
 * @throws {AppError} with exit code 2 for a port in use, 5 for a missing privilege
 */
export async function startDataPlane(
  config: Omit<DataPlaneConfig, "commandFd">,
  listener: DataPlaneListener,
): Promise<{ dataPlane: DataPlaneHandle; port: number; aead: string }> {
  try {
    return await DataPlaneHandle.start(config, listener);
  } catch (error) {
    if (!(error instanceof DataPlaneError)) throw error;
    if (error.errno === EADDRINUSE) {
      throw new AppError(
        `Cannot listen on UDP port ${config.listenPort}: it is in use: ` +
          "stop what uses it, or choose another ListenPort",
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
 * everything back to what it was, the device gone, `PostDown`. A failure of one step keeps none of the others from being
 * taken.
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
        // The rules before the device: while they stand, the host's traffic looks for the tunnel.
        journal.undo({ until: "hook", staysClosed });
      } finally {
        await dataPlane.stop();
        journal.undo({ staysClosed });
      }
    }
  }
}

/** Passes what the data plane reports on to the log. */
export function logReports(logger: Logger): DataPlaneListener {
  const dataPlaneLogger = getLogger("dataplane");
  return {
    onNetworkChange: () => {},
    onPathMtu: ({ publicKey, name, mtu }) => {
      logger.info("peer {peer}: the path takes packets of {mtu} bytes inside", {
        peer: name ?? encodeKey(publicKey),
        mtu,
      });
    },
    onLog: ({ level, message }) => {
      if (level === "trace") dataPlaneLogger.trace("{message}", { message });
      else if (level === "info") dataPlaneLogger.info("{message}", { message });
      else dataPlaneLogger.warn("{message}", { message });
    },
    onPeer: ({ event, publicKey, name, endpoint, otherPlace }) => {
      if (otherPlace !== null) {
        logger.warn(
          "peer {peer}: two hosts use its key, at {here} and {there}, and cut each other off: " +
            "give each a key of its own",
          {
            peer: name ?? encodeKey(publicKey),
            here: formatPlace(endpoint),
            there: formatPlace(otherPlace),
          },
        );
        return;
      }
      const line = "peer {peer}: {event} ({address}:{port})";
      const values = {
        peer: name ?? encodeKey(publicKey),
        event: event.replace("-", " "),
        address: formatIpv4(endpoint.address),
        port: endpoint.port,
      };
      // A client may move as often as it likes, and what runs there is in the status.
      if (event === "endpoint-changed" || event === "recognized") logger.debug(line, values);
      else logger.info(line, values);
    },
  };
}

function formatPlace(
  { address, port }: { readonly address: number; readonly port: number },
): string {
  return `${formatIpv4(address)}:${port}`;
}
