/**
 * Sysctls: files under `/proc/sys`, which are read-only in most containers: what is needed then has to be set from
 * outside.
 */
import { AppError, ExitCode } from "../../process/errors.ts";

const ROOT = "/proc/sys/";

/** A sysctl that is needed and cannot be set. */
export class SysctlError extends AppError {
  /** Why, and what to do about it. */
  readonly reason: string;

  constructor(path: string, value: string, cause: unknown) {
    const name = sysctlName(path);
    const setting = `${name}=${value}`;
    const why = codeOf(cause) === "EROFS" ? "/proc/sys is read-only" : "permission denied";
    const reason =
      `${name} is not ${value}, and ${why}: add \`${setting}\` to \`sysctls:\` in the compose file, ` +
      `or start the container with \`--sysctl ${setting}\`; on a host, set it as root`;
    super(`Cannot change this host's network: ${reason}`, { exitCode: ExitCode.privilege, cause });
    this.reason = reason;
  }
}

/** Of a file under `/proc/sys`, as in `net.ipv4.ip_forward`. */
export function sysctlName(path: string): string {
  return path.slice(ROOT.length).replaceAll("/", ".");
}

/** The value of a file under `/proc/sys`. */
export function readSysctl(path: string): string {
  return Deno.readTextFileSync(path).trim();
}

/**
 * @throws {SysctlError} with exit code 5 where it may not be written, by this process or by anybody in this container
 */
export function writeSysctl(path: string, value: string): void {
  try {
    // An empty value is written as a line of its own: of nothing at all, the kernel takes no note.
    Deno.writeTextFileSync(path, `${value}\n`);
  } catch (error) {
    const isRefused = error instanceof Deno.errors.PermissionDenied ||
      error instanceof Deno.errors.NotCapable || codeOf(error) === "EROFS";
    throw isRefused ? new SysctlError(path, value, error) : error;
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : null;
}
