/** `vpn strip`: what `wg` takes of a configuration, as `wg-quick strip` prints it. */
import { wgText } from "../core/config/text/wg_text.ts";
import { loadConfig } from "../host/files/config_file.ts";
import { configPathOf } from "../host/files/config_place.ts";
import { ExitCode } from "../process/errors.ts";
import { writeText } from "../process/output.ts";

/** @throws {ConfigError} where the file cannot be read or has a mistake */
export function runStrip(name: string): number {
  const config = loadConfig(configPathOf(name), "leave");
  for (const warning of config.warnings) writeText(Deno.stderr, `vpn: warning: ${warning}\n`);
  writeText(Deno.stdout, wgText(config));
  return ExitCode.ok;
}
