/** Owns how network tests run this project's own program: the real process, from its command line. */
import type { BackgroundProcess, RunOptions, RunResult, TestNamespace } from "../../support/net.ts";
import { temporaryFile } from "./config.ts";

const MAIN = new URL("../../../main.ts", import.meta.url).pathname;

/** What a role logs when it is up. */
const READY = { server: /listening on UDP port (\d+)/, client: /connected to \S+/ } as const;
/** A whole start on a machine that is busy with other things. */
const START_TIMEOUT_MS = 15_000;

/** The command line that runs `vpn ARGS`. */
export function vpnCommand(...args: readonly string[]): string[] {
  return [Deno.execPath(), "run", "--quiet", "--allow-all", MAIN, ...args];
}

/**
 * Starts a server or a client with this configuration in `namespace` and waits until it is up.
 *
 * @param args further options of the command
 */
export async function startVpn(
  role: "server" | "client",
  namespace: TestNamespace,
  config: string,
  ...args: readonly string[]
): Promise<BackgroundProcess> {
  using file = temporaryFile(config);
  const process = namespace.spawn(vpnCommand(role, "--config", file.path, ...args));
  await process.waitFor(READY[role], START_TIMEOUT_MS);
  return process;
}

/** Runs a server or a client with this configuration to its end: one that is to fail. */
export async function runVpn(
  role: "server" | "client",
  namespace: TestNamespace,
  config: string,
  options: RunOptions & { readonly args?: readonly string[] } = {},
): Promise<RunResult> {
  using file = temporaryFile(config);
  const { args = [], ...rest } = options;
  return await namespace.run(vpnCommand(role, "--config", file.path, ...args), rest);
}
