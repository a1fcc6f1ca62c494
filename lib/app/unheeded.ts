/**
 * Owns the list of configuration keys that are read and checked but not acted on yet, and what is said about them.
 *
 * A key that must have its effect is an error: without the `Transport` that somebody asks for, the traffic would be seen for
 * what it is. The others are warnings. A key leaves this list with the change that gives it its effect.
 */
import type { Config } from "../config/config.ts";
import { ConfigError } from "../config/config_error.ts";

/**
 * @returns a warning for each key that has no effect in this version
 * @throws {ConfigError} for a key without whose effect the configuration must not run
 */
export function checkUnheeded(config: Config): string[] {
  const { transport } = config.interface;
  if (transport !== "udp") {
    throw notBuilt(
      config,
      "Transport",
      `cannot use "${transport}": this version has UDP only`,
    );
  }
  const warnings: string[] = [];
  for (const peer of config.peers) {
    if (peer.rateLimit === null) continue;
    warnings.push(
      `${config.fileName}:${peer.line}: [Peer]: RateLimit: has no effect in this version`,
    );
  }
  return warnings;
}

function notBuilt(config: Config, key: string, problem: string): ConfigError {
  const line = config.interface.lines.get(key) ?? 0;
  return new ConfigError(`${config.fileName}:${line}: ${key}: ${problem}`);
}
