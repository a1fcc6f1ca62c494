/** Throttle and counts of errors that no caller is there to take: by entry, on the monotonic clock. */

/** ms between two lines about one entry. */
const INTERVAL = 10_000;

interface Known {
  count: number;
  /** Those that no line has told of. */
  suppressed: number;
  toldAt: number;
}

export class FaultLog {
  readonly #known = new Map<string, Known>();

  /**
   * Counts an error of an entry. Entries are named in the source, so that there are few of them.
   *
   * @param now monotonic ms
   * @returns how many were suppressed since the last line, where a line is due; -1 where none is
   */
  add(entry: string, now: number): number {
    let known = this.#known.get(entry);
    if (known === undefined) {
      known = { count: 0, suppressed: 0, toldAt: -Infinity };
      this.#known.set(entry, known);
    }
    known.count++;
    if (now - known.toldAt < INTERVAL) {
      known.suppressed++;
      return -1;
    }
    const { suppressed } = known;
    known.suppressed = 0;
    known.toldAt = now;
    return suppressed;
  }

  /** How many errors each entry has had; entries without any are left out. */
  counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(Array.from(this.#known, ([entry, { count }]) => [entry, count]));
  }
}
