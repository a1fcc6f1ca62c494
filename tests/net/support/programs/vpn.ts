/** This project's own program in network tests: the real process, from its command line. */
import type {
  BackgroundProcess,
  RunOptions,
  RunResult,
  TestNamespace,
} from "../../../support/net.ts";
import { environment } from "../../../support/permissions.ts";
import { temporaryFile } from "../config.ts";

const ROOT = new URL("../../../../", import.meta.url).pathname;
/** The executable that is tested in place of the sources: it starts in less time. */
const EXECUTABLE = environment("VPN_EXECUTABLE");

/** What a role logs when it is up. */
const READY = { server: /listening on UDP port (\d+)/, client: /connected to \S+/ } as const;

/**
 * A client's configuration with a ConnectTimeout that a busy machine does not use up, unless it has one; with
 * `Transport = auto`, half of it passes before fake TCP is tried.
 */
export function patientClient(config: string): string {
  if (/^ConnectTimeout\b/m.test(config)) return config;
  const seconds = /^Transport = auto$/m.test(config) ? 8 : 30;
  return config.replace(/^\[Interface\]$/m, `$&\nConnectTimeout = ${seconds}`);
}

/** The command line that runs `vpn ARGS`. */
export function vpnCommand(...args: readonly string[]): string[] {
  const program = EXECUTABLE === undefined
    ? [Deno.execPath(), "run", ...taskFlags(), `${ROOT}main.ts`]
    : [EXECUTABLE];
  return [...program, ...args];
}

/** What `deno task vpn` gives the runtime. */
export function taskFlags(): string[] {
  const { tasks } = JSON.parse(Deno.readTextFileSync(`${ROOT}deno.json`));
  return /deno run (.*) main\.ts/.exec(tasks.vpn)![1].split(" ");
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
  using file = temporaryFile(role === "client" ? patientClient(config) : config);
  const process = namespace.spawn(vpnCommand(role, "--config", file.path, ...args));
  await process.waitFor(READY[role]);
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
