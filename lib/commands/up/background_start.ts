/**
 * Background start: runs a tunnel behind the terminal where no systemd does, in a session of its own, its log in a
 * file.
 *
 * How far it is, it tells by the protocol that it speaks to systemd as well: so this waits no longer than it takes, and
 * has the tunnel's own words where it fails.
 */
import { openLibc } from "../../../ffi/libc.ts";
import { ReadinessWatcher } from "../../../ffi/sockets/readiness.ts";
import { UnixDatagramReceiver } from "../../../ffi/sockets/unix_datagram.ts";
import { AppError, errorMessage, ExitCode } from "../../process/errors.ts";
import { guarded } from "../../process/guard.ts";
import { journalDirectory } from "../../process/journal_directory.ts";
import { ownCommand } from "../../process/own_command.ts";
import { listenForStop } from "../../process/stop_signal.ts";

/** Where logs are; those of users who are not root are beside their journals. */
const LOG_DIRECTORY = "/var/log/vpn";
/** A session of its own, by `detached`, and no terminal; `$0` is the log. */
const SCRIPT = 'umask 077; exec "$@" </dev/null >"$0" 2>&1';

export interface Started {
  readonly pid: number;
  /** What the tunnel says of itself. */
  readonly status: string;
}

/** The log of a tunnel in the background. */
export function logPathOf(interfaceName: string): string {
  return `${Deno.uid() === 0 ? LOG_DIRECTORY : journalDirectory()}/${interfaceName}.log`;
}

/**
 * Starts this program with these arguments, and waits until its tunnel is up. Of two starts with one log, the second
 * waits for the first.
 *
 * @param log the file for its log; the one before is kept, with `.1` behind its name
 * @param refuse throws where, when it is its turn, nothing is to be started
 * @throws {AppError} with what it says of its end, and its exit code
 */
export async function startInBackground(
  args: readonly string[],
  { log, refuse }: { readonly log: string; readonly refuse: () => void },
): Promise<Started> {
  makeFolder(log);
  using _turn = await lock(`${log}.lock`);
  refuse();
  keepLogBefore(log);
  const folder = Deno.makeTempDirSync({ prefix: "vpn-up-" });
  try {
    const socket = `${folder}/notify`;
    using receiver = UnixDatagramReceiver.bind(openLibc(), socket);
    await using watcher = new ReadinessWatcher(openLibc());
    using stop = listenForStop();
    const own = ownCommand();
    const child = new Deno.Command("sh", {
      args: ["-c", SCRIPT, log, own.program, ...own.args, ...args],
      env: { NOTIFY_SOCKET: socket },
      stdin: "null",
      stdout: "null",
      stderr: "null",
      detached: true,
    }).spawn();
    const ready = Promise.withResolvers<"ready">();
    let status = "";
    const read = () => {
      for (let bytes = receiver.receive(); bytes !== null; bytes = receiver.receive()) {
        const lines = new TextDecoder().decode(bytes).split("\n");
        const told = lines.find((line) => line.startsWith("STATUS="));
        if (told !== undefined) status = told.slice("STATUS=".length);
        if (lines.includes("READY=1")) ready.resolve("ready");
      }
    };
    watcher.add(receiver.fd, guarded("control", "waiting for the tunnel", read));
    const ended = child.status.then(({ code }) => code);
    const outcome = await Promise.race([ready.promise, ended, stop.received]);
    if (outcome === "ready") {
      child.unref();
      return { pid: child.pid, status };
    }
    if (typeof outcome === "string") child.kill("SIGTERM");
    const code = await ended;
    // What it said last may have come with its end.
    read();
    throw failure(code, { status, log });
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function failure(
  code: number,
  { status, log }: { readonly status: string; readonly log: string },
): AppError {
  if (status.startsWith("vpn: ")) {
    const exitCode = Object.values(ExitCode).find((each) => each === code) ?? ExitCode.unexpected;
    return new AppError(status.slice("vpn: ".length), { exitCode });
  }
  return new AppError(`The tunnel ended during its start, with exit code ${code}: see ${log}`, {
    exitCode: ExitCode.unexpected,
  });
}

/** Waits for the lock of this name; its file is there only as long as somebody holds it. */
async function lock(path: string): Promise<Disposable> {
  for (;;) {
    using opened = new DisposableStack();
    const file = opened.use(Deno.openSync(path, { create: true, write: true, mode: 0o600 }));
    await file.lock(true);
    // Whoever held it before has taken its file away.
    if (file.statSync().ino !== inodeOf(path)) continue;
    opened.defer(() => Deno.removeSync(path));
    return opened.move();
  }
}

function inodeOf(path: string): number | null {
  try {
    return Deno.statSync(path).ino;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** @throws {AppError} where no log can be written there */
function makeFolder(log: string): void {
  attempt(log, () => {
    const folder = log.slice(0, log.lastIndexOf("/"));
    Deno.mkdirSync(folder, { recursive: true, mode: 0o700 });
    Deno.removeSync(Deno.makeTempFileSync({ dir: folder }));
  });
}

function keepLogBefore(log: string): void {
  attempt(log, () => Deno.renameSync(log, `${log}.1`));
}

function attempt(log: string, call: () => void): void {
  try {
    call();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw new AppError(
      `Cannot write the log ${log}: ${errorMessage(error)}: run as root`,
      { exitCode: ExitCode.privilege, cause: error },
    );
  }
}
