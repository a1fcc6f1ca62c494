/** Owns reading a configuration file from the disk. */
import type { Config, HookCommand } from "../../core/config/config.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import { KEY_LENGTH } from "../../core/config/values/key_text.ts";
import { parseConfig } from "../../core/config/parse_config.ts";
import { hostNames } from "../dns/host_names.ts";
import { keyFromHooks, refuseHookKey } from "../hooks/hook_key.ts";

/** Bytes; a thousand peers take 200 KiB. */
export const MAX_CONFIG_SIZE: number = 1024 * 1024;

export interface ReadConfig {
  readonly text: string;
  readonly config: Config;
}

/**
 * Reads and parses the file that `--config` names. A file that others can read is a warning.
 *
 * @param hookKey what becomes of a key that a command sets
 * @throws {ConfigError} when it cannot be read, is no text of at most 1 MiB, or has a mistake
 */
export function loadConfig(path: string, hookKey: HookKeyUse = "refuse"): Config {
  return configOf(path, readBounded(path), hookKey).config;
}

/**
 * What becomes of a private key that a command sets: the command is asked for it, for this interface, unless it is known
 * already; or such a file is refused; or the key does not matter.
 */
export type HookKeyUse =
  | { readonly interfaceName: string; readonly known?: Uint8Array }
  | "refuse"
  | "leave";

/**
 * The same of a file that has been read already, with its text.
 *
 * @param path as messages name it
 */
export function configOf(
  path: string,
  { bytes, mode }: { readonly bytes: Uint8Array; readonly mode: number },
  hookKey: HookKeyUse = "refuse",
): ReadConfig {
  if (bytes.length > MAX_CONFIG_SIZE) throw unreadable(path, "it is longer than 1 MiB");
  const text = decode(bytes, path);
  const keyOfHooks = (hooks: readonly HookCommand[]) => {
    if (hookKey === "refuse") return refuseHookKey(hooks, path);
    if (hookKey === "leave") return { privateKey: new Uint8Array(KEY_LENGTH), done: [] };
    return keyFromHooks(hooks, { fileName: path, ...hookKey });
  };
  const config = parseConfig(text, path, { names: hostNames(), keyOfHooks });
  if ((mode & 0o077) === 0) return { text, config };
  const warning = `${path}: others can read or write this file, which holds keys: chmod 600 it`;
  return { text, config: { ...config, warnings: [warning, ...config.warnings] } };
}

/** The file's content, and its permission bits if it is a regular file: a pipe has no lasting ones. */
function readBounded(path: string): { bytes: Uint8Array; mode: number } {
  try {
    using file = Deno.openSync(path);
    const info = file.statSync();
    if (info.isDirectory) throw unreadable(path, "it is a directory");
    // One byte more than allowed tells a file that is too long from one that is not, whatever its size says.
    const bytes = new Uint8Array(MAX_CONFIG_SIZE + 1);
    let length = 0;
    for (let read: number | null = 0; read !== null && length < bytes.length;) {
      read = file.readSync(bytes.subarray(length));
      length += read ?? 0;
    }
    return { bytes: bytes.subarray(0, length), mode: info.isFile ? info.mode ?? 0 : 0 };
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw unreadable(path, reason(error), error);
  }
}

function reason(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "no such file: give one with --config FILE";
  if (error instanceof Deno.errors.PermissionDenied) {
    return "permission denied: run as its owner or as root";
  }
  if (error instanceof Deno.errors.NotCapable) {
    return "Deno keeps device and /proc files from programs: copy it to a file";
  }
  if (error instanceof Deno.errors.NotADirectory) return "a part of its path is not a directory";
  return error instanceof Error ? error.message : String(error);
}

function unreadable(path: string, why: string, cause?: unknown): ConfigError {
  return new ConfigError(`Cannot read configuration ${JSON.stringify(path)}: ${why}`, { cause });
}

function decode(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw unreadable(path, "it is not text in UTF-8", cause);
  }
}
