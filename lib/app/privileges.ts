/** Owns the checks, before anything is changed, that this process may do what a tunnel needs. */
import { AppError, ExitCode } from "./errors.ts";

/** Numbers of capabilities (include/uapi/linux/capability.h). `CAP_NET_ADMIN`: TUN devices, addresses, routes, SO_MARK. */
const CAP_NET_ADMIN = 12n;
/** Raw sockets. */
const CAP_NET_RAW = 13n;
/** Namespaces. */
const CAP_SYS_ADMIN = 21n;

/**
 * Makes sure of CAP_NET_ADMIN and of `/dev/net/tun`.
 *
 * @throws {AppError} with exit code 5 and the remedy
 */
export function requireTunnelPrivileges(): void {
  if (!hasCapability(CAP_NET_ADMIN)) {
    throw missing(
      "Cannot create a tunnel: CAP_NET_ADMIN is missing: run as root, or grant it with " +
        `\`setcap cap_net_admin,cap_net_raw+ep ${Deno.execPath()}\``,
    );
  }
  let file: Deno.FsFile;
  try {
    file = Deno.openSync("/dev/net/tun", { read: true, write: true });
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound
      ? "no such device"
      : error instanceof Deno.errors.PermissionDenied
      ? "permission denied"
      : error instanceof Error
      ? error.message
      : String(error);
    throw missing(
      `Cannot open /dev/net/tun: ${reason}: load it with \`modprobe tun\`, ` +
        "or give a container the device (`--device /dev/net/tun`)",
    );
  }
  file.close();
}

/**
 * Makes sure of what a gateway's own NAT needs besides: raw and packet sockets.
 *
 * @throws {AppError} with exit code 5 and the remedy
 */
export function requireNatPrivileges(): void {
  if (hasCapability(CAP_NET_RAW)) return;
  throw missing(
    "Cannot open the way to the internet: CAP_NET_RAW is missing: run as root, or grant it with " +
      `\`setcap cap_net_admin,cap_net_raw+ep ${Deno.execPath()}\`, or set Egress = kernel or off`,
  );
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
      ["CAP_SYS_ADMIN", CAP_SYS_ADMIN],
      ["CAP_NET_RAW", CAP_NET_RAW],
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

function hasCapability(capability: bigint): boolean {
  const status = Deno.readTextFileSync("/proc/self/status");
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  return (effective >> capability & 1n) !== 0n;
}

function missing(message: string): AppError {
  return new AppError(message, { exitCode: ExitCode.privilege });
}
