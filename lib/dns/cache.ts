/** Owns the answers kept for later: bounded in number and in bytes, each for as long as its times to live say. */
import type { Parsed } from "./message.ts";

const MAX_ENTRIES = 4096;
const MAX_BYTES = 4 * 1024 * 1024;
/** Seconds; nobody should live with a mistake longer than that. */
const MAX_TIME_TO_LIVE = 86_400;

interface Entry {
  readonly answer: Uint8Array;
  readonly parsed: Parsed;
  /** ms */
  readonly storedAt: number;
  readonly expiresAt: number;
}

export class DnsCache {
  /** In the order of their last use: the first goes first. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  get size(): number {
    return this.#entries.size;
  }

  /** The answer kept under `key` and its age in whole seconds, or null. `now` is monotonic ms. */
  find(key: string, now: number): { answer: Uint8Array; parsed: Parsed; age: number } | null {
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    this.#remove(key, entry);
    if (now >= entry.expiresAt) return null;
    this.#insert(key, entry);
    const { answer, parsed, storedAt } = entry;
    return { answer, parsed, age: Math.floor((now - storedAt) / 1000) };
  }

  /** Keeps an answer, unless its time to live is 0. */
  store(key: string, answer: Uint8Array, { parsed, now }: { parsed: Parsed; now: number }): void {
    const seconds = Math.min(parsed.timeToLive, MAX_TIME_TO_LIVE);
    if (seconds <= 0) return;
    const before = this.#entries.get(key);
    if (before !== undefined) this.#remove(key, before);
    const expiresAt = now + seconds * 1000;
    this.#insert(key, { answer: Uint8Array.from(answer), parsed, storedAt: now, expiresAt });
    for (const [oldest, entry] of this.#entries) {
      if (this.#entries.size <= MAX_ENTRIES && this.#bytes <= MAX_BYTES) break;
      this.#remove(oldest, entry);
    }
  }

  #insert(key: string, entry: Entry): void {
    this.#entries.set(key, entry);
    this.#bytes += entry.answer.length;
  }

  #remove(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#bytes -= entry.answer.length;
  }
}
