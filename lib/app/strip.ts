/** `vpn strip`: what `wg` takes of a configuration, as `wg-quick strip` prints it. */
import { wgText } from "../config/wg_text.ts";
import { loadConfig } from "./config_file.ts";
import { configPathOf } from "./config_place.ts";
import { ExitCode } from "./errors.ts";
import { writeText } from "./output.ts";

/** @throws {ConfigError} where the file cannot be read or has a mistake */
export function runStrip(name: string): number {
  const config = loadConfig(configPathOf(name), "leave");
  for (const warning of config.warnings) writeText(Deno.stderr, `vpn: warning: ${warning}\n`);
  writeText(Deno.stdout, wgText(config));
  return ExitCode.ok;
}
