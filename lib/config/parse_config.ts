/** Owns turning the text of a configuration file into a `Config`. */
import type { Config } from "./config.ts";
import { parseDocument } from "./config_document.ts";
import { ConfigError } from "./config_error.ts";
import { readInterface } from "./interface_section.ts";
import { Notes } from "./notes.ts";
import { PeerReader } from "./peer_section.ts";

/**
 * Reads a configuration in wg-quick's format with our keys besides. What a role demands is left to
 * `validateServer()` and `validateClient()`.
 *
 * @param fileName the file's name, for messages
 * @throws {ConfigError} for the first mistake found; one line, and never with a key in it
 */
export function parseConfig(text: string, fileName: string): Config {
  const sections = parseDocument(text, fileName);
  const [own, second] = sections.filter(({ name }) => name === "Interface");
  if (own === undefined) throw new ConfigError(`${fileName}: there is no [Interface] section`);
  if (second !== undefined) {
    throw new ConfigError(
      `${fileName}:${second.line}: a second [Interface] section: the first is on line ${own.line}`,
    );
  }
  const notes = new Notes();
  const interfaceConfig = readInterface(own, notes);
  const peerReader = new PeerReader(notes);
  for (const section of sections) if (section.name === "Peer") peerReader.read(section);
  peerReader.refuseOwnKey(interfaceConfig.publicKey);
  return {
    fileName,
    interface: interfaceConfig,
    peers: peerReader.peers,
    warnings: notes.warnings(),
  };
}
