/** systemd: which unit of ours runs a tunnel, and starting and stopping it. */
import { AppError, ExitCode } from "../../process/errors.ts";

/** There where systemd runs the host (sd_booted(3)). */
const BOOTED = "/run/systemd/system";
/** Those that can have a tunnel; the first is the one that `vpn up` starts. */
const UNITS = ["vpn", "vpn-server", "vpn-client"] as const;
/** States in which a unit has nothing to be stopped. */
const AT_REST: ReadonlySet<string> = new Set(["inactive", "failed"]);

/** How `systemctl` is called; a test has another. */
export type Systemctl = (...args: readonly string[]) => Promise<SystemctlResult>;

export interface SystemctlResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Null where systemd does not run this host. */
export function systemctl(booted: string = BOOTED): Systemctl | null {
  try {
    Deno.statSync(booted);
  } catch {
    return null;
  }
  return async (...args) => {
    const command = new Deno.Command("systemctl", { args: [...args], stdin: "null" });
    const { code, stdout, stderr } = await command.output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, stdout: text(stdout), stderr: text(stderr) };
  };
}

/** Whether the unit that `vpn up` starts is installed. */
export async function hasUnit(call: Systemctl, interfaceName: string): Promise<boolean> {
  return (await call("cat", unitOf(interfaceName))).code === 0;
}

/**
 * Starts a tunnel by its unit, and waits until it is connected or serves.
 *
 * @returns the unit, and what it says of itself
 * @throws {AppError} with what the tunnel says of its end, and its exit code
 */
export async function startUnit(
  call: Systemctl,
  interfaceName: string,
): Promise<{ readonly unit: string; readonly status: string }> {
  const unit = unitOf(interfaceName);
  const started = await call("start", unit);
  const { StatusText: status = "", ExecMainStatus: code = "" } = await properties(
    call,
    unit,
    "StatusText",
    "ExecMainStatus",
  );
  if (started.code === 0) return { unit, status };
  // It would be tried again and again. One that is to run from boot on is to be.
  const isEnabled = (await call("is-enabled", "--quiet", unit)).code === 0;
  if (!isEnabled) await call("stop", unit);
  const reason = status.startsWith("vpn: ") ? status.slice(5) : firstLine(started.stderr);
  const more = isEnabled ? `: ${unit} is enabled, so systemd retries it` : "";
  throw new AppError(`${reason}${more}`, { exitCode: exitCodeFor(Number(code)) });
}

/** Stops what units have this tunnel; the names of those, none where there is none. */
export async function stopUnits(call: Systemctl, interfaceName: string): Promise<string[]> {
  const stopped: string[] = [];
  for (const kind of UNITS) {
    const unit = unitOf(interfaceName, kind);
    const { ActiveState: state = "inactive" } = await properties(call, unit, "ActiveState");
    if (AT_REST.has(state)) continue;
    const { code, stderr } = await call("stop", unit);
    if (code !== 0) throw new AppError(firstLine(stderr), { exitCode: ExitCode.unexpected });
    stopped.push(unit);
  }
  return stopped;
}

function unitOf(interfaceName: string, kind: typeof UNITS[number] = "vpn"): string {
  return `${kind}@${interfaceName}.service`;
}

async function properties(
  call: Systemctl,
  unit: string,
  ...names: readonly string[]
): Promise<Readonly<Record<string, string>>> {
  const { stdout } = await call("show", unit, ...names.map((name) => `--property=${name}`));
  return Object.fromEntries(
    stdout.split("\n").filter((line) => line.includes("=")).map((line) => {
      const at = line.indexOf("=");
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
}

function firstLine(text: string): string {
  return text.trim().split("\n")[0] || "systemctl failed without an error message";
}

/** That of the tunnel, as far as it is one of ours. */
function exitCodeFor(code: number): ExitCode {
  return Object.values(ExitCode).find((each) => each === code && each !== ExitCode.ok) ??
    ExitCode.unexpected;
}
