/** DNS programs: run `resolvectl` of systemd-resolved, and `resolvconf`, which manage a host's resolvers. */
import { spawnSync } from "node:child_process";
import { AppError, ExitCode } from "../../process/errors.ts";

/** ms that such a program may take. They talk to services of this host. */
const LIMIT = 5_000;

/** The resolvers of a link, with systemd-resolved, which forgets them with the link. */
export interface ResolvectlChange {
  readonly kind: "resolvectl";
  readonly interfaceName: string;
  /** The interface's index: another interface may have the name later. */
  readonly index: number;
  readonly servers: readonly string[];
  /** Search and routing domains; `~.` sends every name to these resolvers. */
  readonly domains: readonly string[];
}

/** A record of `resolvconf`. */
export interface ResolvconfChange {
  readonly kind: "resolvconf";
  readonly record: string;
  readonly text: string;
}

/** The path of a program; null where PATH has none of this name. */
export function findProgram(name: string): string | null {
  const path = Deno.env.get("PATH") ??
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (const directory of path.split(":")) {
    const file = `${directory}/${name}`;
    try {
      const { isFile, mode } = Deno.statSync(file);
      if (directory !== "" && isFile && (mode! & 0o111) !== 0) return file;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
        continue;
      }
      if (error instanceof Deno.errors.PermissionDenied) continue;
      throw error;
    }
  }
  return null;
}

/** @throws {AppError} where it fails */
export function makeResolvectl({ interfaceName, servers, domains }: ResolvectlChange): void {
  if (servers.length > 0) run("resolvectl", ["dns", interfaceName, ...servers]);
  if (domains.length > 0) run("resolvectl", ["domain", interfaceName, ...domains]);
}

/** @throws {AppError} where it fails */
export function undoResolvectl({ interfaceName }: ResolvectlChange): void {
  run("resolvectl", ["revert", interfaceName]);
}

/** @throws {AppError} where it fails */
export function makeResolvconf({ record, text }: ResolvconfChange): void {
  // Metric 0 and -x: these resolvers alone. Debian's older resolvconf takes the options and ignores them.
  run("resolvconf", ["-a", record, "-m", "0", "-x"], text);
}

/** @throws {AppError} where it fails */
export function undoResolvconf({ record }: ResolvconfChange): void {
  // -f: that there is none is no error.
  run("resolvconf", ["-d", record, "-f"]);
}

function run(program: string, args: readonly string[], input = ""): void {
  const { status, signal, stderr, error } = spawnSync(program, args, {
    input,
    timeout: LIMIT,
    killSignal: "SIGKILL",
    encoding: "utf8",
  });
  if (status === 0) return;
  const reason = error !== undefined
    ? error.message
    : signal !== null
    ? `it was killed by ${signal}`
    : `exit code ${status}: ${stderr.trim()}`;
  throw new AppError(
    `Cannot change this host's resolvers: \`${program} ${args.join(" ")}\` failed: ${reason}: ` +
      "fix that, or remove DNS from the configuration",
    { exitCode: ExitCode.unexpected },
  );
}
