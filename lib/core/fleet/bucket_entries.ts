/**
 * Bucket entries: those of peers and groups as they are in the bucket, up to a size. Who can write to the bucket can
 * put any number of them there, and each gateway of the fleet would hold them.
 */
import type { EntryValue } from "./store_entries.ts";

/** What an entry takes besides its bytes, and those of its key. */
const OVERHEAD = 512;

interface Held {
  readonly revision: number;
  readonly value: EntryValue;
  readonly size: number;
}

export class BucketEntries {
  readonly #maxSize: number;
  readonly #maxGone: number;
  readonly #held = new Map<string, Held>();
  /** Revisions of entries that are gone, the one that went first first. */
  readonly #gone = new Map<string, number>();
  #size = 0;

  /**
   * @param maxSize bytes of all that are held
   * @param maxGone entries that are gone whose revisions are held
   */
  constructor({ maxSize, maxGone }: { readonly maxSize: number; readonly maxGone: number }) {
    this.#maxSize = maxSize;
    this.#maxGone = maxGone;
  }

  /** The revision of an entry, of one that is gone as well; 0 where there never was one, or it is not held. */
  revisionOf(key: string): number {
    return this.#held.get(key)?.revision ?? this.#gone.get(key) ?? 0;
  }

  /** Null for one that is gone, or is not held. */
  valueOf(key: string): EntryValue | null {
    return this.#held.get(key)?.value ?? null;
  }

  /**
   * Takes an entry.
   *
   * @param length bytes of its value
   * @returns false where there is no room: it is not held then, and one that was is not what it was any more
   */
  put(key: string, { revision, value }: Omit<Held, "size">, length: number): boolean {
    const before = this.#held.get(key)?.size ?? 0;
    const size = OVERHEAD + key.length + length;
    if (this.#size - before + size > this.#maxSize) {
      this.remove(key, revision);
      return false;
    }
    this.#gone.delete(key);
    this.#held.set(key, { revision, value, size });
    this.#size += size - before;
    return true;
  }

  /** An entry is gone. */
  remove(key: string, revision: number): void {
    this.#size -= this.#held.get(key)?.size ?? 0;
    this.#held.delete(key);
    this.#gone.delete(key);
    this.#gone.set(key, revision);
    if (this.#gone.size > this.#maxGone) this.#gone.delete(this.#gone.keys().next().value!);
  }
}
