/**
 * Hook command: runs a command of the configuration by bash, as wg-quick promises, in a process group of its own, so
 * that Ctrl-C reaches us alone, with our environment, standard output and standard error, and in the network namespace
 * of the tunnel: a child belongs to that of the thread that starts it.
 *
 * It gets none of our sockets: a daemon that it leaves running, as another user perhaps, could answer at the control
 * socket in our name.
 */
import { spawnSync } from "node:child_process";
import { openLibc } from "../../../ffi/libc.ts";
import { closeSocketsOnExec } from "../../../ffi/sockets/close_on_exec.ts";
import { getLogger } from "../../process/logging.ts";
import { leaveToRuntime } from "../../process/orphans.ts";

/**
 * ms that each command has on the way down, where it must not hold up the end. On the way up it is the user who waits.
 */
export const DOWN_LIMIT = 2_000;

const TOO_LATE = `took longer than ${DOWN_LIMIT / 1000} s and was killed`;

/** A command with its place. Plain data: it goes through JSON. */
export interface PreparedHook {
  /** `%i` is replaced already. */
  readonly command: string;
  /** As in `client.conf:7: PostDown`. */
  readonly place: string;
}

/** Runs `PostDown` commands, also those of a process that died. One that fails, or takes too long, is a warning. */
export function runPostDown(hooks: readonly PreparedHook[]): void {
  for (const hook of hooks) {
    closeSocketsOnExec(openLibc());
    // With a limit, Deno gives the command a process group, and ends all of that when the time is over.
    const { status, signal, error } = spawnSync(shell(), ["-c", hook.command], {
      stdio: ["ignore", "inherit", "inherit"],
      timeout: DOWN_LIMIT,
      killSignal: "SIGKILL",
    });
    if (status === 0) continue;
    if (error === undefined) {
      warnOfHook(hook, ended(status, signal));
    } else if ("code" in error && error.code === "ETIMEDOUT") {
      warnOfHook(hook, TOO_LATE);
    } else {
      warnOfHook(hook, `could not be started: ${error.message}`);
    }
  }
}

/**
 * Runs a command to its end, or kills it and all that it started once `limit` resolves.
 *
 * @returns how it ended, in words; null for well
 */
export async function runHook(command: string, limit: Promise<unknown>): Promise<string | null> {
  closeSocketsOnExec(openLibc());
  const child = new Deno.Command(shell(), {
    args: ["-c", command],
    detached: true,
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
  }).spawn();
  const status = leaveToRuntime(child.pid, child.status);
  const outcome = await Promise.race([status, limit.then(() => null)]);
  if (outcome !== null) return outcome.success ? null : ended(outcome.code, outcome.signal);
  killGroup(child.pid);
  await status;
  return TOO_LATE;
}

function ended(code: number | null, signal: string | null): string {
  return signal === null ? `ended with exit code ${code}` : `was killed by ${signal}`;
}

/** bash, which wg-quick promises, or what there is. */
export function shell(): string {
  for (const path of ["/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash"]) {
    try {
      if (Deno.statSync(path).isFile) return path;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return "/bin/sh";
}

/** Kills a command with all that it started. */
function killGroup(pid: number): void {
  try {
    Deno.kill(-pid, "SIGKILL");
  } catch (error) {
    // All of them have ended.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Logs that a command on the way down failed, which ends nothing. */
export function warnOfHook({ place }: PreparedHook, problem: string): void {
  getLogger("hooks").warn("{place}: the command {problem}", { place, problem });
}
