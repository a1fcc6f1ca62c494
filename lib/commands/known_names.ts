/** Names that a shell may complete: what runs on this host, its network namespaces, and the peers that are meant. */
import type { KnownNames } from "../cli/completion.ts";
import type { Config } from "../core/config/config.ts";
import { ConfigError } from "../core/config/config_error.ts";
import { encodeKey } from "../core/config/values/key_text.ts";
import { isInterfaceName } from "../core/config/values/interface_name.ts";
import { loadConfigAgain } from "../host/files/config_file.ts";
import { CONFIG_DIRECTORY } from "../host/files/config_place.ts";
import { ControlClient } from "../control/client.ts";
import { findInstance, runningInstances } from "../control/instances.ts";
import type { Status } from "../control/status.ts";
import { AppError } from "../process/errors.ts";

const NAMESPACES = "/run/netns";
/** ms that a person who has pressed a key waits for what runs. */
const ANSWER_TIMEOUT = 500;

/**
 * The names that may stand in a command line; none where they cannot be had, as a shell that completes has no place for
 * complaints.
 *
 * @param words what stands behind `vpn` so far
 */
export async function knownNames(words: readonly string[]): Promise<KnownNames> {
  return {
    interface: await orNone(() => [
      ...new Set(runningInstances().map(({ interfaceName }) => interfaceName)),
    ]),
    netns: await orNone(() => Array.from(Deno.readDirSync(NAMESPACES), ({ name }) => name).sort()),
    peer: await orNone(() => peerNames(words)),
    peers: await orNone(async () => [...await peerNames(words), ...groupNames(words)]),
    config: await orNone(configNames),
  };
}

/** Those that `vpn up NAME` takes. */
function configNames(): string[] {
  return Array.from(Deno.readDirSync(CONFIG_DIRECTORY), ({ name }) => name)
    .filter((name) => name.endsWith(".conf"))
    .map((name) => name.slice(0, -".conf".length))
    .filter(isInterfaceName)
    .sort();
}

/** What peers are called: one without a name by its public key. */
async function peerNames(words: readonly string[]): Promise<string[]> {
  const [command, action] = words;
  if (command === "peer" && action !== "add") {
    return ownConfig(words).peers.map(({ name, publicKey }) => name ?? encodeKey(publicKey));
  }
  if (command !== "capture") return [];
  const instance = findInstance(valueOf(words, "--interface") ?? "vpn0");
  using client = await ControlClient.connect(instance);
  const { peers } = await client.request("status", {}, { timeout: ANSWER_TIMEOUT }) as Status;
  return peers.map(({ name, publicKey }) => name ?? publicKey);
}

/** What stands for all peers of a group, as in `@contractors`. */
function groupNames(words: readonly string[]): string[] {
  return ownConfig(words).groups.map(({ name }) => `@${name}`);
}

function ownConfig(words: readonly string[]): Config {
  return loadConfigAgain(valueOf(words, "--config") ?? "server.conf", "leave");
}

/** What an option is given in a command line that need not be whole. */
function valueOf(words: readonly string[], option: string): string | undefined {
  const at = words.indexOf(option);
  if (at >= 0) return words[at + 1];
  return words.find((word) => word.startsWith(`${option}=`))?.slice(option.length + 1);
}

async function orNone(call: () => string[] | Promise<string[]>): Promise<string[]> {
  try {
    return await call();
  } catch (error) {
    const isExpected = error instanceof AppError || error instanceof ConfigError ||
      error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied;
    if (isExpected) return [];
    throw error;
  }
}
