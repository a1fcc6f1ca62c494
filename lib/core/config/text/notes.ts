/**
 * What reading a file leaves to tell: warnings of what it accepts without effect, and notes of what is as it should be.
 */
import type { Entry } from "./config_document.ts";

/** Why addresses of IPv6 have no effect, where nothing else is said. */
const NOT_ASKED_FOR = "Address has no IPv6 address, so that the tunnel carries IPv4 alone";

/** Collects warnings and notes. IPv6 without effect is one note, at its first line, however often it occurs. */
export class Notes {
  readonly #warnings: string[] = [];
  readonly #once = new Set<string>();
  #ipv6: Entry | undefined;
  #whyNoIpv6: string | null = NOT_ASKED_FOR;

  warn(entry: Entry, text: string): void {
    this.#warnings.push(`${entry.fileName}:${entry.line}: ${entry.key}: ${text}`);
  }

  /** Warns at the first of the lines that this is true of. */
  warnOnce(entry: Entry, text: string): void {
    if (this.#once.has(text)) return;
    this.#once.add(text);
    this.#warnings.push(`${entry.fileName}:${entry.line}: ${text}`);
  }

  /** Says why IPv6 is not carried; null where it is. */
  setWhyNoIpv6(reason: string | null): void {
    this.#whyNoIpv6 = reason;
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
    if (this.#ipv6 === undefined || this.#whyNoIpv6 === null) return [];
    const { fileName, line } = this.#ipv6;
    const reason = this.#whyNoIpv6;
    return [
      `${fileName}:${line}: ${reason}: the IPv6 addresses in this file have no effect`,
    ];
  }
}
