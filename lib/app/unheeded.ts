/**
 * Owns the list of configuration keys that are read and checked but not acted on yet, and what is said about them.
 *
 * A key leaves this list with the change that gives it its effect.
 */
import type { Config } from "../config/config.ts";

/** A warning for each key that has no effect in this version. */
export function checkUnheeded(config: Config): string[] {
  const warnings: string[] = [];
  for (const peer of config.peers) {
    if (peer.rateLimit === null) continue;
    warnings.push(
      `${config.fileName}:${peer.line}: [Peer]: RateLimit: has no effect in this version`,
    );
  }
  return warnings;
}
