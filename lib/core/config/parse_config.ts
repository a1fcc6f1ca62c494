/** How the text of a configuration file becomes a `Config`. */
import { atOnce } from "./at_once.ts";
import type { Config, HookCommand } from "./config.ts";
import type { HookKeys, WantedKeys } from "./hook_keys.ts";
import { documentSteps, type HostNames, type Section } from "./text/config_document.ts";
import { ConfigError } from "./config_error.ts";
import { checkAccessReferences } from "./text/access_references.ts";
import { GroupReader } from "./text/group_section.ts";
import { readInterface } from "./text/interface_section.ts";
import { Notes } from "./text/notes.ts";
import { PeerReader } from "./text/peer_section.ts";

/** What of the host a configuration may refer to. */
export interface ConfigHost {
  /** By which ports and routing tables may be given; left out, there are none. */
  readonly names?: HostNames;
  /** Asked for the keys that these commands, `PreUp` and `PostUp`, would set. */
  readonly keysOfHooks?: (hooks: readonly HookCommand[], wanted: WantedKeys) => HookKeys;
}

/**
 * Reads a configuration in wg-quick's format with our keys besides. What a role demands is left to
 * `validateServer()` and `validateClient()`.
 *
 * @param fileName the file's name, for messages
 * @throws {ConfigError} for the first mistake found; one line, and never with a key in it
 */
export function parseConfig(text: string, fileName: string, host: ConfigHost = {}): Config {
  return atOnce(configSteps(text, fileName, host));
}

/** The same in steps: a file may have thousands of peers, and who reads it may have others to serve. */
export function* configSteps(
  text: string,
  fileName: string,
  host: ConfigHost = {},
): Generator<void, Config> {
  const sections = yield* documentSteps(text, fileName, host.names);
  const notes = new Notes();
  const draft = readInterface(interfaceOf(sections, fileName), notes);
  const peerReader = new PeerReader(notes, draft);
  const groupReader = new GroupReader(notes);
  for (const section of sections) {
    yield;
    if (section.name === "Peer") peerReader.read(section);
    else if (section.name === "Group") groupReader.read(section);
  }
  // Last: no command runs for a file that has a mistake.
  const keys = host.keysOfHooks?.(draft.hooks, {
    privateKey: !draft.hasPrivateKey,
    isPeer: (publicKey) => peerReader.has(publicKey),
  });
  const interfaceConfig = draft.config(keys ?? null);
  const peers = yield* peerReader.peers(
    interfaceConfig.publicKey,
    keys?.presharedKeys ?? new Map(),
  );
  const groups = groupReader.groups(peers, (publicKey) => peerReader.groupsEntry(publicKey));
  checkAccessReferences(fileName, { peers, groups }, notes);
  return {
    fileName,
    interface: interfaceConfig,
    peers,
    groups,
    warnings: notes.warnings(),
    notes: notes.notes(),
  };
}

/** All `[Interface]` sections as one, as for `wg` and `wg-quick`. */
function interfaceOf(sections: readonly Section[], fileName: string): Section {
  const own = sections.filter(({ name }) => name === "Interface");
  if (own.length === 0) throw new ConfigError(`${fileName}: there is no [Interface] section`);
  return { ...own[0]!, entries: own.flatMap(({ entries }) => entries) };
}
