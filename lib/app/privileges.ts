/**
 * Owns what this process may do: the checks, before anything is changed, that it may do what a tunnel needs, and giving up
 * what it needs no more once everything is set up.
 */
import { Capability, hasCapability, keepOnly } from "../../ffi/capabilities.ts";
import { AppError, ExitCode } from "./errors.ts";
import { requireJournalDirectory } from "./journal_directory.ts";
import type { Logger } from "./logging.ts";

/**
 * Makes sure of CAP_NET_ADMIN, of `/dev/net/tun` and of a place for the journal.
 *
 * @throws {AppError} with exit code 5 and the remedy
 */
export function requireTunnelPrivileges(): void {
  if (!hasCapability(Capability.netAdmin)) {
    throw missing(
      "Cannot create a tunnel: CAP_NET_ADMIN is missing: run as root, or grant it with " +
        `\`setcap cap_net_admin,cap_net_raw+ep ${Deno.execPath()}\``,
    );
  }
  let file: Deno.FsFile;
  try {
    file = Deno.openSync("/dev/net/tun", { read: true, write: true });
  } catch (error) {
    if (error instanceof Deno.errors.PermissionDenied) {
      throw missing(
        "Cannot open /dev/net/tun: permission denied: run as root, or let this user open it with " +
          `\`setfacl -m u:${Deno.uid()}:rw /dev/net/tun\``,
      );
    }
    const reason = error instanceof Deno.errors.NotFound
      ? "no such device"
      : error instanceof Error
      ? error.message
      : String(error);
    throw missing(
      `Cannot open /dev/net/tun: ${reason}: load it with \`modprobe tun\`, ` +
        "or give a container the device (`--device /dev/net/tun`)",
    );
  }
  file.close();
  requireJournalDirectory();
}

/**
 * Makes sure of what a gateway's own NAT needs besides: raw and packet sockets.
 *
 * @throws {AppError} with exit code 5 and the remedy
 */
export function requireNatPrivileges(): void {
  if (hasCapability(Capability.netRaw)) return;
  throw missing(
    "Cannot open the way to the internet: CAP_NET_RAW is missing: run as root, or grant it with " +
      `\`setcap cap_net_admin,cap_net_raw+ep ${Deno.execPath()}\`, or set Egress = kernel or off`,
  );
}

/**
 * Makes sure of what a relay needs: the firewall's rules, raw and packet sockets, a place for the journal.
 *
 * @throws {AppError} with exit code 5 and the remedy
 */
export function requireRelayPrivileges(): void {
  for (
    const [name, capability] of [
      ["CAP_NET_ADMIN", Capability.netAdmin],
      ["CAP_NET_RAW", Capability.netRaw],
    ] as const
  ) {
    if (hasCapability(capability)) continue;
    throw missing(
      `Cannot relay: ${name} is missing: run as root, or grant it with ` +
        `\`setcap cap_net_admin,cap_net_raw+ep ${Deno.execPath()}\``,
    );
  }
  requireJournalDirectory();
}

/**
 * Makes sure of what a tunnel needs and of what the demo needs besides: network namespaces, and ICMP sockets to ping with.
 *
 * @throws {AppError} with exit code 5 and the remedy
 */
export function requireDemoPrivileges(): void {
  requireTunnelPrivileges();
  for (
    const [name, capability] of [
      ["CAP_SYS_ADMIN", Capability.sysAdmin],
      ["CAP_NET_RAW", Capability.netRaw],
    ] as const
  ) {
    if (!hasCapability(capability)) {
      throw missing(
        `Cannot run the demo: ${name} is missing: run as root, ` +
          `or give a container the capability (\`--cap-add ${name.slice(4)}\`)`,
      );
    }
  }
}

/**
 * Makes sure of what closing the host needs: the firewall, and a place for the journal.
 *
 * @throws {AppError} with exit code 5 and the remedy
 */
export function requireFirewallPrivileges(): void {
  if (!hasCapability(Capability.netAdmin)) {
    throw missing(
      "Cannot close this host: CAP_NET_ADMIN is missing: run as root, or grant it with " +
        `\`setcap cap_net_admin+ep ${Deno.execPath()}\``,
    );
  }
  requireJournalDirectory();
}

/** What the data plane's thread may need while it runs: its sockets, their marks, and the TUN. */
const DATA_PLANE_CAPABILITIES = [
  Capability.netAdmin,
  Capability.netRaw,
  Capability.netBindService,
];
/** What it takes to put back a file that is another user's, with its owner and mode. */
const FILE_CAPABILITIES = [Capability.chown, Capability.dacOverride, Capability.fowner];

/** Gives up, for the data plane's thread, what packets from strangers should never get hold of. */
export function dropDataPlanePrivileges(): void {
  keepOnly(DATA_PLANE_CAPABILITIES);
}

/**
 * Gives up, for the main thread and all that it starts from now on, what neither running nor undoing needs.
 *
 * Threads that were there before keep what they have. Those that work for us, for a file read in the background, end after
 * ten idle seconds, and new ones have no more than we; only the engine's own remain, which compile and collect garbage, and
 * the one that waits for signals.
 */
export function dropPrivileges(
  { commands, foreignFile, logger }: {
    /** What names the commands that are still to run and may do anything; null for none. */
    commands: string | null;
    /** A file of another user's that is still to be written; null for none. */
    foreignFile: string | null;
    logger: Logger;
  },
): void {
  if (commands !== null) {
    logger.info("keeping all capabilities, as {commands} may need them at the end", { commands });
    return;
  }
  keepOnly([Capability.netAdmin, ...foreignFile === null ? [] : FILE_CAPABILITIES]);
}

function missing(message: string): AppError {
  return new AppError(message, { exitCode: ExitCode.privilege });
}
