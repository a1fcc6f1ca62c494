/** `vpn strip`: what `wg` takes of a configuration, as `wg-quick strip` prints it. */
import { formatEndpoint } from "../core/config/text/config_writer.ts";
import { wgText } from "../core/config/text/wg_text.ts";
import { admittedPeers } from "../core/peers/admission.ts";
import { loadConfig } from "../host/files/config_file.ts";
import { configPathOf } from "../host/files/config_place.ts";
import { ExitCode } from "../process/errors.ts";
import { writeText } from "../process/output.ts";

/** @throws {ConfigError} where the file cannot be read or has a mistake */
export function runStrip(name: string): number {
  const config = loadConfig(configPathOf(name), "leave");
  for (const warning of config.warnings) writeText(Deno.stderr, `vpn: warning: ${warning}\n`);
  // WireGuard, which knows of no such thing, would let the others in.
  const peers = admittedPeers(config.peers, Date.now());
  const left = config.peers.filter((peer) => !peers.includes(peer));
  for (const { line } of left) {
    const warning =
      `${config.fileName}:${line}: [Peer]: is left out: it is disabled or has expired`;
    writeText(Deno.stderr, `vpn: warning: ${warning}\n`);
  }
  for (const { line, otherEndpoints } of peers) {
    const last = otherEndpoints.at(-1);
    if (last === undefined) continue;
    const warning = `${config.fileName}:${line}: [Peer]: Endpoint: wg takes the last alone: ${
      formatEndpoint(last)
    }`;
    writeText(Deno.stderr, `vpn: warning: ${warning}\n`);
  }
  writeText(Deno.stdout, wgText({ ...config, peers }));
  return ExitCode.ok;
}
