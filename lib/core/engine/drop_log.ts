/**
 * Drop log: the throttle of log lines about dropped packets: by reason, on the monotonic clock.
 *
 * The first drop of a reason is told at once, the next only when more than five seconds have passed, with the count of
 * those not told. So a flood of bad packets costs a line, not a disk.
 */
import { DROP_REASON_NAMES, type DropCounters, DropReason } from "../wire/drop_reason.ts";

/** ms between two lines about one reason. */
const INTERVAL = 5000;

/** Reasons that need no line: they are part of ordinary traffic, and are counted all the same. */
const SILENT: ReadonlySet<number> = new Set([
  DropReason.cookieSent,
  DropReason.fragmentationNeeded,
]);

export class DropLog {
  readonly #drops: DropCounters;
  readonly #told: Float64Array;
  readonly #toldAt: Float64Array;
  #total = 0;

  constructor(drops: DropCounters) {
    this.#drops = drops;
    this.#told = new Float64Array(drops.counts.length);
    this.#toldAt = new Float64Array(drops.counts.length).fill(-Infinity);
  }

  /** Whether anything was dropped since `takeLines()`: cheap enough for every turn of the loop. */
  get hasNews(): boolean {
    return this.#drops.total !== this.#total;
  }

  /**
   * Takes the lines that are due, without payloads: the reason, the length of the last packet, the count suppressed
   * since.
   *
   * @param now monotonic ms
   */
  takeLines(now: number): string[] {
    const lines: string[] = [];
    this.#total = this.#drops.total;
    const { counts, lastLengths } = this.#drops;
    for (let reason = 1; reason < counts.length; reason++) {
      const fresh = counts[reason] - this.#told[reason];
      if (fresh === 0 || now - this.#toldAt[reason] <= INTERVAL || SILENT.has(reason)) continue;
      this.#told[reason] = counts[reason];
      this.#toldAt[reason] = now;
      const suppressed = fresh > 1 ? `, ${fresh - 1} more since the last line` : "";
      lines.push(
        `dropped packet: ${DROP_REASON_NAMES[reason]}, ${lastLengths[reason]} bytes${suppressed}`,
      );
    }
    return lines;
  }
}
