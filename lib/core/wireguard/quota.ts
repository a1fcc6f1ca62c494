/**
 * Quota: bytes that a peer may still send and be sent together, as `receivedBytes` and `sentBytes` of it count them.
 * Which of them are its quota's, and for how long, its caller knows; here it is a mark that is passed.
 */

export interface QuotaOptions {
  /** The mark: bytes both ways since the peer was added. */
  readonly end: number;
  /** Bytes after which it is reported how far the peer has come, so that little is lost with this process. */
  readonly step: number;
  /** Bits a second each way behind the mark; null where nothing passes there. */
  readonly rate: number | null;
}

/** Bytes of a step behind the mark, where nobody needs to know precisely. */
const PASSED_STEP = 16_000_000;

export class Quota {
  readonly rate: number | null;
  /** Whether the mark has been passed. */
  isPassed = false;
  readonly #end: number;
  readonly #step: number;
  /** Where there is something to report. */
  #next = 0;

  /** @param used bytes by now */
  constructor({ end, step, rate }: QuotaOptions, used: number) {
    this.rate = rate;
    this.#end = end;
    this.#step = step;
    this.advance(used);
  }

  /** Whether there is something to report. */
  isDue(used: number): boolean {
    return used >= this.#next;
  }

  /** So much is used by now. */
  advance(used: number): void {
    this.isPassed = used >= this.#end;
    this.#next = this.isPassed
      ? used + Math.max(this.#step, PASSED_STEP)
      : Math.min(used + this.#step, this.#end);
  }
}
