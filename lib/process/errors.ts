/** Errors: the exit codes, the exception that carries one, and what any exception says and means to the user. */
import { EACCES, EPERM, SystemCallError } from "../../ffi/errno.ts";
import { NoNftablesError } from "../../ffi/netlink/nftables/nfnetlink.ts";
import { UsageError } from "../cli/usage_error.ts";
import { ConfigError } from "../core/config/config_error.ts";
import { RefusalError } from "../core/config/refusal_error.ts";

/** What the process ends with. */
export const ExitCode = {
  /** Ended by request. */
  ok: 0,
  unexpected: 1,
  /** Wrong arguments or a configuration that cannot be used. */
  usage: 2,
  /** No connection came about. */
  connect: 3,
  /** The connection was lost and `OnPeerTimeout = exit`. */
  peerLost: 4,
  /** A privilege or a device is missing. */
  privilege: 5,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** An error whose message is meant for the user as it stands, and which decides the exit code. */
export class AppError extends Error {
  override readonly name = "AppError";
  readonly exitCode: ExitCode;

  /** @param message one line: what could not be done, why, and what to do about it */
  constructor(message: string, options: { exitCode: ExitCode; cause?: unknown }) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.exitCode = options.exitCode;
  }
}

/**
 * The exit code that an exception stands for. A system call that lacks a privilege is `privilege`. Where taking
 * something down has failed as well, the code is that of the failure before it.
 */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof SuppressedError) return exitCodeOf(error.suppressed);
  if (error instanceof AppError) return error.exitCode;
  if (error instanceof UsageError || error instanceof ConfigError) return ExitCode.usage;
  if (error instanceof RefusalError) {
    if (error.cause !== undefined) return exitCodeOf(error.cause);
    const isLater = error.code === "revision" || error.code === "unavailable";
    return isLater ? ExitCode.unexpected : ExitCode.usage;
  }
  if (error instanceof NoNftablesError) return ExitCode.privilege;
  if (error instanceof SystemCallError && (error.errno === EPERM || error.errno === EACCES)) {
    return ExitCode.privilege;
  }
  return ExitCode.unexpected;
}

/** The message of a value that was thrown; of one that is no `Error`, its text. Of several, each in its order. */
export function errorMessage(error: unknown): string {
  if (error instanceof SuppressedError) {
    return `${errorMessage(error.suppressed)}; then: ${errorMessage(error.error)}`;
  }
  return error instanceof Error ? error.message : String(error);
}

/** The one line for standard error, without its newline; `vpn: ` first. */
export function errorLine(error: unknown): string {
  return `vpn: ${errorMessage(error).trim().replace(/\s*\n\s*/g, "; ")}`;
}
