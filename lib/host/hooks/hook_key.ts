/** Keys that no file holds: the commands that would set them are asked for them before the handshake. */
import { spawnSync } from "node:child_process";
import type { HookCommand } from "../../core/config/config.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import { type KeySource, keySources } from "../../core/config/values/key_command.ts";
import { decodeKey, keyProblem } from "../../core/config/values/key_text.ts";
import type { HookKeys, WantedKeys } from "../../core/config/hook_keys.ts";
import { shell } from "./hook_command.ts";

/** ms: it may ask a person for a password. */
const LIMIT = 60_000;
/** ms, while a tunnel runs, which answers nobody meanwhile. */
const LIMIT_WHILE_RUNNING = 5_000;
/** A name that no device has: what a command says of `%i` is about this one. */
const ANY = "%i";

/** Keys that run already, which no command is asked for again. */
export interface KnownKeys {
  readonly privateKey: Uint8Array;
  /** By public key, as text. */
  readonly presharedKeys: ReadonlyMap<string, Uint8Array>;
}

export interface HookKeyOptions {
  readonly fileName: string;
  readonly interfaceName: string;
  readonly wanted: WantedKeys;
  readonly known?: KnownKeys;
}

/**
 * Runs the commands that give keys, as their user, who runs the file's other commands as well. Of several for one key
 * the last counts, as it would be the last to set it.
 *
 * @throws {ConfigError} where one gives none, and does nothing else; nothing of what it printed is shown
 */
export function keysFromHooks(
  hooks: readonly HookCommand[],
  options: HookKeyOptions,
): HookKeys {
  const { interfaceName, wanted } = options;
  let privateKey: Uint8Array | null = null;
  const presharedKeys = new Map<string, Uint8Array | null>();
  const done: HookCommand[] = [];
  for (const hook of hooks) {
    const sources = keySources(hook.command.replaceAll("%i", () => interfaceName), interfaceName);
    const taken = sources.filter(({ peer }) =>
      peer === null ? wanted.privateKey : wanted.isPeer(peer)
    );
    for (const source of taken) {
      const key = keyFrom(source, hook, options);
      if (key === undefined) continue;
      if (source.peer === null) privateKey = key;
      else presharedKeys.set(source.peer, key);
    }
    if (taken.length > 0 && taken.length === sources.length && taken.every(({ isAll }) => isAll)) {
      done.push(hook);
    }
  }
  return { privateKey, presharedKeys, done };
}

/** The key that a command prints; null for none, as an empty file means; undefined where the command may fail. */
function keyFrom(
  { peer, script, isAll }: KeySource,
  { line }: HookCommand,
  { fileName, known }: HookKeyOptions,
): Uint8Array | null | undefined {
  const runs = peer === null ? known?.privateKey : known?.presharedKeys.get(peer);
  if (runs !== undefined) return runs;
  const { status, stdout, error } = spawnSync(shell(), ["-c", script], {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: known === undefined ? LIMIT : LIMIT_WHILE_RUNNING,
    killSignal: "SIGKILL",
    encoding: "utf8",
  });
  const isOptional = peer !== null && !isAll;
  const [what, instead] = peer === null
    ? ["private key", "PrivateKey"]
    : ["preshared key", "PresharedKey"];
  const place = `${fileName}:${line}: cannot read the ${what} that this command sets`;
  if (status !== 0) {
    if (isOptional) return undefined;
    const why = error === undefined ? `ended with exit code ${status}` : error.message;
    throw new ConfigError(
      `${place}: the command that prints it ${why}: set ${instead}, or correct the command`,
    );
  }
  const text = stdout.trim();
  if (peer !== null && text === "") return null;
  const key = decodeKey(text);
  if (key !== null || isOptional) return key ?? undefined;
  throw new ConfigError(`${place}: ${keyProblem(text)}`);
}

/**
 * Runs nothing: what only reads a file, maybe another user's, must not.
 *
 * @throws {ConfigError} where a command sets the key
 */
export function refuseHookKey(hooks: readonly HookCommand[], fileName: string): void {
  const hook = hooks.find(({ command }) =>
    keySources(command, ANY).some(({ peer }) => peer === null)
  );
  if (hook === undefined) return;
  throw new ConfigError(
    `${fileName}:${hook.line}: the private key is set by this command, which only \`vpn server\` and \`vpn client\` run: ` +
      "set PrivateKey in the file to use other commands with it",
  );
}
