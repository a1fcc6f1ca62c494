/**
 * Expiry watch: notices that moments of the wall clock have passed, whatever becomes of that clock: it may be set
 * forward or back, and go on while the machine sleeps and no timer runs.
 */
import { guarded } from "../process/guard.ts";

/** ms between looks at the clock while there is a moment to wait for: no later is a step of it noticed. */
const INTERVAL = 1_000;

export interface ExpiryWatchOptions {
  /** The wall clock, Unix ms. */
  readonly now: () => number;
  /** Is told when more moments have passed than before, or fewer. */
  readonly onTurn: () => void;
}

export class ExpiryWatch implements Disposable {
  readonly #options: ExpiryWatchOptions;
  /** Unix ms, ascending. */
  #moments: readonly number[] = [];
  /** How many of them have passed, as far as anybody knows. */
  #passed = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isEnded = false;

  constructor(options: ExpiryWatchOptions) {
    this.#options = options;
  }

  /**
   * Waits for these from now on.
   *
   * @param knownAt the time by which the caller knows which of them have passed
   */
  watch(moments: readonly number[], knownAt: number): void {
    this.#moments = moments.toSorted((one, other) => one - other);
    this.#passed = this.#passedAt(knownAt);
    this.#arm();
  }

  [Symbol.dispose](): void {
    this.#isEnded = true;
    clearTimeout(this.#timer);
  }

  #arm(): void {
    clearTimeout(this.#timer);
    if (this.#moments.length === 0 || this.#isEnded) return;
    const now = this.#options.now();
    // The next one is due by what is known: if the clock has moved past it since, at once.
    const next = this.#moments[this.#passed] ?? Infinity;
    const delay = Math.max(0, Math.min(INTERVAL, next - now));
    this.#timer = setTimeout(
      guarded("control", "looking for peers that have expired", () => this.#look()),
      delay,
    );
  }

  #look(): void {
    const passed = this.#passedAt(this.#options.now());
    const isTurn = passed !== this.#passed;
    this.#passed = passed;
    this.#arm();
    if (isTurn) this.#options.onTurn();
  }

  #passedAt(now: number): number {
    const first = this.#moments.findIndex((moment) => moment > now);
    return first < 0 ? this.#moments.length : first;
  }
}
