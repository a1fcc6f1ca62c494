/**
 * Answers kept for later: bounded in number and in bytes, each for as long as its times to live say.
 *
 * Each belongs to the client that asked for it first, and counts as many places as it has kilobytes: in a full cache
 * the client with the most places loses its least recently used ones, so that nobody's flood of names empties it for
 * others.
 */
import { FairShares, type Place } from "../limits/fair_shares.ts";
import type { Parsed } from "./message.ts";

const MAX_PLACES = 4096;
/** Bytes of an answer that fit one place. */
const PLACE_SIZE = 1024;
/** Seconds; nobody should live with a mistake longer than that. */
const MAX_TIME_TO_LIVE = 86_400;

interface Entry {
  readonly key: string;
  readonly answer: Uint8Array;
  readonly parsed: Parsed;
  /** ms */
  readonly storedAt: number;
  readonly expiresAt: number;
  readonly places: Place<DnsClient, Entry>[];
}

/** Who asks: its peer where that is known, else its address. */
export type DnsClient = string | number;

export class DnsCache {
  readonly #entries = new Map<string, Entry>();
  readonly #places = new FairShares<DnsClient, Entry>({
    capacity: MAX_PLACES,
    evict: (entry) => this.#remove(entry),
  });

  get size(): number {
    return this.#entries.size;
  }

  /** The answer kept under `key` and its age in whole seconds, or null. `now` is monotonic ms. */
  find(key: string, now: number): { answer: Uint8Array; parsed: Parsed; age: number } | null {
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    if (now >= entry.expiresAt) {
      this.#remove(entry);
      return null;
    }
    for (const place of entry.places) this.#places.touch(place);
    const { answer, parsed, storedAt } = entry;
    return { answer, parsed, age: Math.floor((now - storedAt) / 1000) };
  }

  /** Keeps an answer, unless its time to live is 0. */
  store(
    key: string,
    answer: Uint8Array,
    { parsed, client, now }: { parsed: Parsed; client: DnsClient; now: number },
  ): void {
    const seconds = Math.min(parsed.timeToLive, MAX_TIME_TO_LIVE);
    if (seconds <= 0) return;
    const before = this.#entries.get(key);
    if (before !== undefined) this.#remove(before);
    const expiresAt = now + seconds * 1000;
    const entry: Entry = {
      key,
      answer: Uint8Array.from(answer),
      parsed,
      storedAt: now,
      expiresAt,
      places: [],
    };
    this.#entries.set(key, entry);
    for (let size = 0; size < answer.length; size += PLACE_SIZE) {
      const place = this.#places.add(client, entry);
      if (place === null) continue;
      entry.places.push(place);
      // The client has no other answer left that this place could have come from: there is no room for this one.
      if (this.#entries.get(key) !== entry) return this.#remove(entry);
    }
  }

  /** Of one that was evicted, the other places. */
  #remove(entry: Entry): void {
    if (this.#entries.get(entry.key) === entry) this.#entries.delete(entry.key);
    for (const place of entry.places) this.#places.remove(place);
  }
}
