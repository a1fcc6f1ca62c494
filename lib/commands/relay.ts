/** Command `vpn relay`: the life of a relay from its command line to its end. */
import { EACCES, EADDRINUSE, EADDRNOTAVAIL, EPERM } from "../../ffi/errno.ts";
import type { RelayOptions } from "../cli/command.ts";
import type { RelayListener, RelayTarget } from "../core/config/values/relay_url.ts";
import {
  bracketed,
  formatAddress,
  formatSocketAddress,
  type HostAddress,
} from "../core/wire/host_address.ts";
import type { SocketAddress } from "../core/wire/socket_address.ts";
import { FakeTcpGuard } from "../host/firewall/fake_tcp_guard.ts";
import { cleanUp } from "./cleanup.ts";
import { DataPlaneError } from "../dataplane/thread/data_plane_error.ts";
import { AppError, ExitCode } from "../process/errors.ts";
import { startUpkeep } from "../host/upkeep/host_upkeep.ts";
import { Journal } from "../host/journal/journal.ts";
import { catchFaults } from "../process/last_resort.ts";
import { getLogger, type Logger } from "../process/logging.ts";
import { dropPrivileges, lowPort, requireRelayPrivileges } from "../process/privileges.ts";
import { resolveEndpoint } from "../host/dns/resolve.ts";
import { releaseStartPages } from "./start_pages.ts";
import { listenForStop } from "../process/stop_signal.ts";
import { enterSurroundings } from "./surroundings.ts";
import { RelayHandle } from "../dataplane/relay/relay_handle.ts";
import type { RelayConfig } from "../dataplane/relay/relay_protocol.ts";

/** TCP ports of a relay that connects: one for each flow. */
const PORTS = 256;
/** ms that looking up the name of `--connect` may take. */
const RESOLVE_TIMEOUT = 10_000;

/**
 * Relays until SIGINT, SIGTERM or SIGHUP.
 *
 * @returns the exit code
 * @throws {AppError} where it cannot run
 */
export async function runRelay(options: RelayOptions): Promise<number> {
  // First of all: process 1 of a container gets no signal that it has no listener for.
  using stop = listenForStop();
  enterSurroundings(options);
  const logger = getLogger("relay");
  requireRelayPrivileges();
  for (const line of cleanUp()) logger.info("{line}", { line });
  using faults = catchFaults(logger);
  const { listen, connect, netns } = options;
  const address = await Promise.race([
    resolveEndpoint(connect, RESOLVE_TIMEOUT, { setting: "--connect" }),
    stop.received.then(() => null),
  ]);
  if (address === null) return ExitCode.ok;
  const journal = new Journal(`relay ${listenerText(listen)}`, netns);
  try {
    using guard = openGuard({ listen, journal, remote: { address, port: connect.port } });
    const udp = listen.scheme === "udp"
      ? { role: "listen", address: listen.address, port: listen.port } as const
      : { role: "connect", address, port: connect.port } as const;
    await using relay = await startRelay(
      { udp, endpoints: guard.endpoints, offload: options.offload },
      { logger, listen },
    );
    using _upkeep = startUpkeep({ network: null, journal });
    dropPrivileges({ commands: null, foreignFile: null, configPath: null, logger });
    using _pages = releaseStartPages("relay");
    logger.info("relaying {listen} to {connect}", {
      listen: listenerText(listen),
      connect: targetText(connect, address),
    });
    const signal = await Promise.race([stop.received, relay.failed, faults.failed]);
    logger.info("{signal} received: stopping", { signal });
  } finally {
    journal.undo();
  }
  return ExitCode.ok;
}

function openGuard(
  { listen, journal, remote }: {
    readonly listen: RelayListener;
    readonly journal: Journal;
    readonly remote: SocketAddress;
  },
): FakeTcpGuard {
  const { scheme, address, port } = listen;
  // Nobody else on this host listens there.
  const place = address === 0 ? "" : `_${formatAddress(address).replaceAll(/[.:]/g, "_")}`;
  const guard = { table: `vpn_relay_${scheme}${place}_${port}`, journal };
  return scheme === "udp"
    ? FakeTcpGuard.forClient(remote, { ...guard, ports: PORTS })
    : FakeTcpGuard.forServer(port, guard);
}

/** Starts it; its refusals become errors for the user. */
async function startRelay(
  config: Omit<RelayConfig, "commandFd">,
  { logger, listen }: { readonly logger: Logger; readonly listen: RelayListener },
): Promise<RelayHandle> {
  try {
    return await RelayHandle.start(config, logger);
  } catch (error) {
    if (!(error instanceof DataPlaneError)) throw error;
    const problem = PROBLEMS[error.errno];
    if (problem !== undefined) {
      throw new AppError(`Cannot listen at ${listenerText(listen)}: ${problem}`, {
        exitCode: ExitCode.usage,
        cause: error,
      });
    }
    if (error.errno === EACCES) throw lowPort("UDP", listen.port);
    if (error.errno !== EPERM) throw error;
    throw new AppError(error.message, { exitCode: ExitCode.privilege, cause: error });
  }
}

const PROBLEMS: Readonly<Record<number, string>> = {
  [EADDRINUSE]: "the port is in use: stop the program that uses it, or choose another",
  [EADDRNOTAVAIL]:
    "this host does not have that address: give one that `ip address` shows, or 0.0.0.0",
};

function listenerText({ scheme, address, port }: RelayListener): string {
  return `${scheme}://${formatSocketAddress({ address, port })}`;
}

/** With the address that a name stands for. */
function targetText(
  { scheme, host, port, address: given }: RelayTarget,
  address: HostAddress,
): string {
  const found = given === null ? ` (${formatAddress(address)})` : "";
  return `${scheme}://${bracketed(host)}:${port}${found}`;
}
