/**
 * What reading a file leaves to tell: warnings of what it accepts without effect, and notes of what is as it should be.
 */
import type { Entry } from "./config_document.ts";

/** Collects warnings and notes. IPv6 is one note, at its first line, however often it occurs. */
export class Notes {
  readonly #warnings: string[] = [];
  readonly #once = new Set<string>();
  #ipv6: Entry | undefined;

  warn(entry: Entry, text: string): void {
    this.#warnings.push(`${entry.fileName}:${entry.line}: ${entry.key}: ${text}`);
  }

  /** Warns at the first of the lines that this is true of. */
  warnOnce(entry: Entry, text: string): void {
    if (this.#once.has(text)) return;
    this.#once.add(text);
    this.#warnings.push(`${entry.fileName}:${entry.line}: ${text}`);
  }

  /** Notes that `entry` holds an IPv6 address. */
  ipv6(entry: Entry): void {
    if (this.#ipv6 === undefined || entry.line < this.#ipv6.line) this.#ipv6 = entry;
  }

  /** All warnings, one line each. */
  warnings(): readonly string[] {
    return this.#warnings;
  }

  /** All notes, one line each. */
  notes(): readonly string[] {
    if (this.#ipv6 === undefined) return [];
    const { fileName, line } = this.#ipv6;
    return [
      `${fileName}:${line}: IPv6 is not supported inside the tunnel: the IPv6 addresses in this file have no effect`,
    ];
  }
}
