/**
 * Doctor process: `vpn doctor` as a child of a gateway, which it asks and examines like anybody else's. The checks make
 * system calls that may take long, and what goes wrong in them is not to end the gateway.
 */
import type { CheckFinding } from "../../control/application/methods.ts";
import { privilegeRemedy } from "../../process/privileges.ts";
import { guarded } from "../../process/guard.ts";
import { type OwnCommand, ownCommand } from "../../process/own_command.ts";
import { leaveToRuntime } from "../../process/orphans.ts";

/** They are about who starts a gateway: this one runs, and has given up what the start takes. */
const OF_THE_START: ReadonlySet<string> = new Set(["capabilities", "tun-device", "journal"]);

/** @throws {Error} where nothing comes of it */
export async function examineByProcess(
  { configPath, interfaceName, netns, command = ownCommand() }: {
    readonly configPath: string;
    readonly interfaceName: string;
    readonly netns: string | undefined;
    readonly command?: OwnCommand;
  },
  signal: AbortSignal,
): Promise<readonly CheckFinding[]> {
  const { program, args } = command;
  const place = ["--config", configPath, "--role", "server", "--interface", interfaceName];
  const child = new Deno.Command(program, {
    args: [...args, "doctor", "--json", ...place, ...netns === undefined ? [] : ["--netns", netns]],
    // With what it starts itself, it is ended as a group.
    detached: true,
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const end = guarded("server", "ending vpn doctor", () => kill(child.pid));
  signal.addEventListener("abort", end, { once: true });
  try {
    const { stdout } = await leaveToRuntime(child.pid, child.output());
    return findingsIn(new TextDecoder().decode(stdout));
  } finally {
    signal.removeEventListener("abort", end);
  }
}

function findingsIn(report: string): readonly CheckFinding[] {
  try {
    const { checks } = JSON.parse(report) as { readonly checks: readonly CheckFinding[] };
    // Nor is it anything to fix that it may not look at something any more.
    return checks.filter(({ name, remedy }) =>
      !OF_THE_START.has(name) && remedy !== privilegeRemedy()
    );
  } catch {
    throw new Error("`vpn doctor` ended without a report: run it as root on the gateway");
  }
}

function kill(pid: number): void {
  try {
    Deno.kill(-pid, "SIGKILL");
  } catch (error) {
    // It has ended meanwhile.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
