/** Configuration file: reads one from the disk. */
import { atOnce } from "../../core/config/at_once.ts";
import type { Config, HookCommand } from "../../core/config/config.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import { KEY_LENGTH } from "../../core/config/values/key_text.ts";
import { configSteps } from "../../core/config/parse_config.ts";
import type { HookKeys, WantedKeys } from "../../core/config/hook_keys.ts";
import { errorMessage } from "../../process/errors.ts";
import { type FileContent, readFileOrPipe, readRegular } from "./bounded_read.ts";
import { hostNames } from "../dns/host_names.ts";
import { canCarryIpv6 } from "../network/ipv6_presence.ts";
import { keysFromHooks, type KnownKeys, refuseHookKey } from "../hooks/hook_key.ts";

/** Bytes; a thousand peers take 200 KiB. */
export const MAX_CONFIG_SIZE: number = 1024 * 1024;
const OWNER_ONLY = 0o600;

export interface ReadConfig {
  readonly text: string;
  readonly config: Config;
}

/**
 * Reads and parses the file that `--config` names. A file that others can read is a warning.
 *
 * @param hookKeys what becomes of keys that commands set
 * @throws {ConfigError} when it cannot be read, is no text of at most 1 MiB, or has a mistake
 */
export function loadConfig(path: string, hookKeys: HookKeyUse = "refuse"): Config {
  return readConfigFile(path)(hookKeys);
}

/**
 * Reads the file, whatever it says, and returns what parses it: a pipe is to be waited for while signals still end the
 * process.
 *
 * @throws {ConfigError} where it cannot be read, or is longer than 1 MiB; what is returned, where it has a mistake
 */
export function readConfigFile(path: string): (hookKeys: HookKeyUse) => Config {
  const content = reading(path, readFileOrPipe);
  return (hookKeys) => atOnce(toRunSteps(path, content, hookKeys));
}

/**
 * The same of a file that is read more than once: a pipe is empty the second time, or nobody ever writes into it, while
 * a tunnel waits for it.
 *
 * @throws {ConfigError} also where it is no regular file
 */
export function loadConfigAgain(path: string, hookKeys: HookKeyUse): Config {
  return atOnce(loadSteps(path, hookKeys));
}

/** The same in steps, for who has others to serve meanwhile. */
export function* loadSteps(path: string, hookKeys: HookKeyUse): Generator<void, Config> {
  return yield* toRunSteps(path, reading(path, readRegular), hookKeys);
}

/**
 * What becomes of keys that commands set: the commands are asked for them, for this interface, unless they are known
 * already; or a file without a private key is refused; or the keys do not matter.
 */
export type HookKeyUse =
  | { readonly interfaceName: string; readonly known?: KnownKeys }
  | "refuse"
  | "leave";

/**
 * The same of a file that has been read already and is to be changed, with its text.
 *
 * @param path as messages name it
 */
export function* toChangeSteps(path: string, file: ReadFile): Generator<void, ReadConfig> {
  const text = textToChange(path, file.bytes);
  return { text, config: yield* configIn(path, { text, mode: file.mode }, "refuse") };
}

/**
 * The text of such a file, whatever it says.
 *
 * @throws {ConfigError} where it is no text of at most 1 MiB
 */
export function textToChange(path: string, bytes: Uint8Array): string {
  requireShort(path, bytes);
  return decodeToChange(bytes, path);
}

/** What a text that a file may come to have says, as a tunnel would run from it; in steps. */
export function* textSteps(
  path: string,
  text: string,
  hookKeys: HookKeyUse,
): Generator<void, Config> {
  const bytes = new TextEncoder().encode(text);
  return yield* toRunSteps(path, { bytes, mode: OWNER_ONLY }, hookKeys);
}

interface ReadFile {
  readonly bytes: Uint8Array;
  readonly mode: number;
}

function* toRunSteps(
  path: string,
  { bytes, mode }: ReadFile,
  hookKeys: HookKeyUse,
): Generator<void, Config> {
  requireShort(path, bytes);
  const text = decodeToRead(bytes, path);
  return asHostCan(yield* configIn(path, { text, mode }, hookKeys));
}

function* configIn(
  path: string,
  { text, mode }: { readonly text: string; readonly mode: number },
  hookKeys: HookKeyUse,
): Generator<void, Config> {
  const keysOfHooks = (hooks: readonly HookCommand[], wanted: WantedKeys): HookKeys => {
    if (hookKeys === "refuse" && wanted.privateKey) refuseHookKey(hooks, path);
    if (typeof hookKeys === "object") {
      return keysFromHooks(hooks, { fileName: path, wanted, ...hookKeys });
    }
    const privateKey = hookKeys === "leave" ? new Uint8Array(KEY_LENGTH) : null;
    return { privateKey, presharedKeys: new Map(), done: [] };
  };
  const config = yield* configSteps(text, path, { names: hostNames(), keysOfHooks });
  if ((mode & 0o077) === 0) return config;
  const warning =
    `${path}: other users can read or write this file, which contains keys: run \`chmod 600\` on it`;
  return { ...config, warnings: [warning, ...config.warnings] };
}

function requireShort(path: string, bytes: Uint8Array): void {
  if (bytes.length > MAX_CONFIG_SIZE) throw unreadable(path, "it is longer than 1 MiB");
}

/** Without IPv6 inside the tunnel where this host has none: a file with both families still connects by IPv4. */
function asHostCan(config: Config): Config {
  const { addresses6, lines } = config.interface;
  if (addresses6.length === 0 || canCarryIpv6()) return config;
  const note = `${config.fileName}:${
    lines.get("Address")
  }: Address: IPv6 is switched off on this host: the IPv6 addresses in this file have no effect`;
  return {
    ...config,
    interface: { ...config.interface, addresses6: [] },
    notes: [...config.notes, note],
  };
}

/** Reads a file by one of the ways to do so. */
function reading(
  path: string,
  read: (path: string, limit: number) => FileContent,
): FileContent {
  try {
    return read(path, MAX_CONFIG_SIZE);
  } catch (error) {
    throw unreadable(path, reason(error), error);
  }
}

function reason(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "no such file: give one with --config FILE";
  if (error instanceof Deno.errors.PermissionDenied) {
    return "permission denied: run as its owner or as root";
  }
  if (error instanceof Deno.errors.NotCapable) {
    return "Deno does not let programs read device and /proc files: copy it to a file";
  }
  if (error instanceof Deno.errors.NotADirectory) return "a part of its path is not a directory";
  return errorMessage(error);
}

function unreadable(path: string, why: string, cause?: unknown): ConfigError {
  return new ConfigError(`Cannot read configuration ${JSON.stringify(path)}: ${why}`, { cause });
}

/** All of it, as all that is not changed is written again. */
function decodeToChange(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw notText(path, cause);
  }
}

/** Comments may be in any encoding, as for `wg` and `wg-quick`. */
function decodeToRead(bytes: Uint8Array, path: string): string {
  const text = new TextDecoder().decode(bytes);
  if (/^[^#\n]*\ufffd/m.test(text)) throw notText(path);
  return text;
}

function notText(path: string, cause?: unknown): ConfigError {
  return unreadable(path, "it is not UTF-8 text: save it in UTF-8", cause);
}
