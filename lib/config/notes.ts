/** Owns the warnings that reading a file leaves: what it accepts without effect. */
import type { Entry } from "./config_document.ts";

/** Collects warnings. IPv6 is one warning, at its first line, however often it occurs. */
export class Notes {
  readonly #warnings: string[] = [];
  #ipv6: Entry | undefined;

  warn(entry: Entry, text: string): void {
    this.#warnings.push(`${entry.fileName}:${entry.line}: ${entry.key}: ${text}`);
  }

  /** Notes that `entry` holds an IPv6 address. */
  ipv6(entry: Entry): void {
    if (this.#ipv6 === undefined || entry.line < this.#ipv6.line) this.#ipv6 = entry;
  }

  /** All warnings, one line each. */
  warnings(): readonly string[] {
    if (this.#ipv6 === undefined) return this.#warnings;
    const { fileName, line } = this.#ipv6;
    const text = "IPv6 is not carried: the IPv6 addresses in this file have no effect";
    return [...this.#warnings, `${fileName}:${line}: ${text}`];
  }
}
