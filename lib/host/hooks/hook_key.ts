/** A private key that no file holds: the command that would set it is asked for it before the handshake. */
import { spawnSync } from "node:child_process";
import type { HookCommand } from "../../core/config/config.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import { keySource } from "../../core/config/values/key_command.ts";
import { decodeKey, keyProblem } from "../../core/config/values/key_text.ts";
import type { HookKey } from "../../core/config/parse_config.ts";
import { shell } from "./hook_command.ts";

/** ms: it may ask a person for a password. */
const LIMIT = 60_000;
/** A name that no device has: what a command says of `%i` is about this one. */
const ANY = "%i";

/**
 * Runs the command that gives the key, as its user, who runs the file's other commands as well.
 *
 * @param options `known`: the key that it has given before, when it is not run again
 * @throws {ConfigError} where it gives none; nothing of what it printed is shown
 */
export function keyFromHooks(
  hooks: readonly HookCommand[],
  { fileName, interfaceName, known }: {
    readonly fileName: string;
    readonly interfaceName: string;
    readonly known?: Uint8Array;
  },
): HookKey | null {
  for (const hook of hooks) {
    const command = hook.command.replaceAll("%i", () => interfaceName);
    const source = keySource(command, interfaceName);
    if (source === null) continue;
    const done = source.isAll ? [hook] : [];
    if (known !== undefined) return { privateKey: known, done };
    const { status, stdout, error } = spawnSync(shell(), ["-c", source.script], {
      stdio: ["ignore", "pipe", "inherit"],
      timeout: LIMIT,
      killSignal: "SIGKILL",
      encoding: "utf8",
    });
    const place = `${fileName}:${hook.line}: cannot read the private key that this command sets`;
    if (status !== 0) {
      const why = error === undefined ? `ended with exit code ${status}` : error.message;
      throw new ConfigError(
        `${place}: what prints it ${why}: set PrivateKey, or correct the command`,
      );
    }
    const privateKey = decodeKey(stdout.trim());
    if (privateKey === null) throw new ConfigError(`${place}: ${keyProblem(stdout.trim())}`);
    return { privateKey, done };
  }
  return null;
}

/**
 * Runs nothing: what only reads a file, maybe another user's, must not.
 *
 * @throws {ConfigError} where a command sets the key
 */
export function refuseHookKey(hooks: readonly HookCommand[], fileName: string): null {
  const hook = hooks.find(({ command }) => keySource(command, ANY) !== null);
  if (hook === undefined) return null;
  throw new ConfigError(
    `${fileName}:${hook.line}: the private key is set by this command, which \`vpn server\` and \`vpn client\` alone run: ` +
      "put PrivateKey into the file for what else is to be done with it",
  );
}
