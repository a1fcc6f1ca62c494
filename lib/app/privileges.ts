/** Owns the checks, before anything is changed, that this process may do what a tunnel needs. */
import { AppError, ExitCode } from "./errors.ts";

/** `CAP_NET_ADMIN`: TUN devices, addresses, routes, SO_MARK (include/uapi/linux/capability.h). */
const CAP_NET_ADMIN = 12n;

/**
 * Makes sure of CAP_NET_ADMIN and of `/dev/net/tun`.
 *
 * @throws {AppError} with exit code 5 and the remedy
 */
export function requireTunnelPrivileges(): void {
  const status = Deno.readTextFileSync("/proc/self/status");
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  if ((effective >> CAP_NET_ADMIN & 1n) === 0n) {
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

function missing(message: string): AppError {
  return new AppError(message, { exitCode: ExitCode.privilege });
}
