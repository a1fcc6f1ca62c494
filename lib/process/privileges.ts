/**
 * Privileges: checks, before anything is changed, that the process may do what a tunnel needs, and drops what it no
 * longer needs once everything is set up.
 */
import { dirname } from "node:path";
import { Capability, hasCapability, keepOnly } from "../../ffi/capabilities.ts";
import { AppError, errorMessage, ExitCode } from "./errors.ts";
import { requireJournalDirectory } from "./journal_directory.ts";
import type { Logger } from "./logging.ts";

/** Those that the program may be started without, by name. */
const CAPABILITIES = {
  CAP_NET_ADMIN: Capability.netAdmin,
  CAP_NET_RAW: Capability.netRaw,
  CAP_SYS_ADMIN: Capability.sysAdmin,
} as const;

/**
 * Makes sure of CAP_NET_ADMIN, of `/dev/net/tun` and of a place for the journal.
 *
 * @throws {AppError} with exit code 5 and the remedy
 */
export function requireTunnelPrivileges(): void {
  requireCapabilities("create a tunnel", ["CAP_NET_ADMIN"]);
  try {
    Deno.openSync("/dev/net/tun", { read: true, write: true }).close();
  } catch (error) {
    throw missing(`Cannot open /dev/net/tun: ${tunTrouble(error)}`);
  }
  requireJournalDirectory();
}

/** What keeps the TUN driver from being opened, and the remedy. */
function tunTrouble(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) {
    return "it does not exist: give a container the device (`--device /dev/net/tun`), or create it with " +
      "`mkdir -p /dev/net && mknod /dev/net/tun c 10 200`";
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    // Root is refused by a container's rules for devices alone.
    return Deno.uid() === 0
      ? "this container has no access: give it the device (`--device /dev/net/tun`)"
      : "permission denied: run as root, or let this user open it with " +
        `\`setfacl -m u:${Deno.uid()}:rw /dev/net/tun\``;
  }
  const reason = errorMessage(error);
  return `${reason}: load the driver with \`modprobe tun\` (for a container: on the host)`;
}

/** @throws {AppError} with exit code 5 and the remedy, where the thread lacks one of them */
function requireCapabilities(
  purpose: string,
  names: readonly (keyof typeof CAPABILITIES)[],
  otherwise = "",
): void {
  const lacking = names.filter((name) => !hasCapability(CAPABILITIES[name]));
  if (lacking.length > 0) throw lacks(lacking, purpose, otherwise);
}

function lacks(lacking: readonly string[], purpose: string, otherwise: string): AppError {
  const are = lacking.length === 1 ? "is" : "are";
  return missing(
    `Cannot ${purpose}: ${lacking.join(" and ")} ${are} missing: ${
      capabilityRemedy(lacking)
    }${otherwise}`,
  );
}

/**
 * How a process comes by capabilities that it lacks. Root lacks one where it was started with less than all: there is
 * no point in telling to be root.
 */
export function capabilityRemedy(lacking: readonly string[], uid = Deno.uid()): string {
  const added = lacking.map((name) => `--cap-add ${name.slice("CAP_".length)}`).join(" ");
  return uid === 0
    ? `this container's root does not have it: start the container with \`${added}\` (compose: \`cap_add:\`)`
    : `run as root, or grant it with \`setcap cap_net_admin,cap_net_raw+ep ${Deno.execPath()}\``;
}

/**
 * Makes sure of what a gateway's own NAT needs besides: raw and packet sockets.
 *
 * @throws {AppError} with exit code 5 and the remedy
 */
export function requireNatPrivileges(): void {
  requireCapabilities(
    "forward to the internet",
    ["CAP_NET_ADMIN", "CAP_NET_RAW"],
    ", or set Egress = kernel or off",
  );
}

/**
 * Makes sure of what fake TCP needs: raw and packet sockets.
 *
 * @throws {AppError} with exit code 5 and the remedy
 */
export function requireFakeTcpPrivileges(): void {
  if (!hasCapability(Capability.netRaw)) throw withoutFakeTcp();
}

/** What to say where fake TCP's sockets are refused. */
export function withoutFakeTcp(): AppError {
  return lacks(["CAP_NET_RAW"], "use fake TCP", ", or set Transport = udp");
}

/**
 * Makes sure of what a relay needs: the firewall's rules, raw and packet sockets, a place for the journal.
 *
 * @throws {AppError} with exit code 5 and the remedy
 */
export function requireRelayPrivileges(): void {
  requireCapabilities("relay", ["CAP_NET_ADMIN", "CAP_NET_RAW"]);
  requireJournalDirectory();
}

/**
 * Makes sure of what a tunnel needs and of what the demo needs besides: network namespaces, and ICMP sockets to ping
 * with.
 *
 * @throws {AppError} with exit code 5 and the remedy
 */
export function requireDemoPrivileges(): void {
  requireTunnelPrivileges();
  requireCapabilities("run the demo", ["CAP_SYS_ADMIN", "CAP_NET_RAW"]);
  requireWritableSysctls();
}

/** The demo's hosts are routers, and no setting of a container's reaches into the namespaces that they are in. */
function requireWritableSysctls(): void {
  try {
    Deno.openSync("/proc/sys/net/ipv4/ip_forward", { write: true }).close();
  } catch (error) {
    throw missing(
      `Cannot run the demo: /proc/sys cannot be written (${
        error instanceof Error && "code" in error ? error.code : error
      }): start the container with \`--privileged\``,
    );
  }
}

/**
 * Makes sure of what closing the host needs: the firewall, and a place for the journal.
 *
 * @throws {AppError} with exit code 5 and the remedy
 */
export function requireFirewallPrivileges(): void {
  requireCapabilities("block this host", ["CAP_NET_ADMIN"]);
  requireJournalDirectory();
}

/** What to say of a port that not everybody may take. */
export function lowPort(protocol: "TCP" | "UDP", port: number): AppError {
  const remedy = Deno.uid() === 0
    ? "start the container with `--cap-add NET_BIND_SERVICE`"
    : "run as root, grant it";
  return missing(
    `Cannot use ${protocol} port ${port}: CAP_NET_BIND_SERVICE is missing: ${remedy}, ` +
      "or choose a port from 1024 on",
  );
}

/** What a user does about what `vpn doctor` may not look at, as only root may. */
export const AS_ROOT = "run `vpn doctor` as root";

/**
 * Root lacks a capability where it was started with less than all, as in a container: there is no point in telling to
 * be root.
 */
export function privilegeRemedy(uid = Deno.uid()): string {
  return uid === 0
    ? "this container's root lacks the capability: start the container with `--cap-add NET_ADMIN` (compose: `cap_add:`)"
    : AS_ROOT;
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
 * Threads that were there before keep what they have. Those that work for us, for a file read in the background, end
 * after ten idle seconds, and new ones have no more than we; only the engine's own remain, which compile and collect
 * garbage, and the one that waits for signals.
 */
export function dropPrivileges(
  { commands, foreignFile, configPath, logger }: {
    /** What names the commands that are still to run and may do anything; null for none. */
    commands: string | null;
    /** A file of another user's that is still to be written; null for none. */
    foreignFile: string | null;
    /** Of the configuration, which is read again when it has been edited; null for none. */
    configPath: string | null;
    logger: Logger;
  },
): void {
  if (commands !== null) {
    logger.info("keeping all capabilities, as {commands} may need them at the end", { commands });
    return;
  }
  keepOnly([
    Capability.netAdmin,
    ...foreignFile === null ? [] : FILE_CAPABILITIES,
    ...configPath !== null && isForeign(configPath) ? [Capability.dacReadSearch] : [],
  ]);
}

/**
 * Gives up all capabilities, but for that to listen on a port below 1024 where that is still to be done, for this
 * thread and all that it starts from now on.
 */
export function dropAllPrivileges({ isToListen }: { readonly isToListen: boolean }): void {
  keepOnly(isToListen ? [Capability.netBindService] : []);
}

/** Whether a file is another user's, or lies in such a folder: root without capabilities may not be able to read it. */
function isForeign(path: string): boolean {
  try {
    for (let part = Deno.realPathSync(path);; part = dirname(part)) {
      if (Deno.statSync(part).uid !== Deno.uid()) return true;
      if (part === dirname(part)) return false;
    }
  } catch {
    // A pipe, or a file that has gone: it cannot be read again anyhow.
    return false;
  }
}

function missing(message: string): AppError {
  return new AppError(message, { exitCode: ExitCode.privilege });
}
