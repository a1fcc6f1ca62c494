/** Health of a back end: what the answers to checks come to, so that one that fails by chance changes nothing. */

/** In a row, until a back end is taken for down, or for up again. */
const FAILURES = 2;
const SUCCESSES = 2;
/** ms until the next check, and after a failure that decides nothing yet. */
const INTERVAL = 1_000;
const RETRY = 250;

export class BackEndHealth {
  /** At first it is taken for up: with nobody to choose, nothing would be served until all are known. */
  isUp = true;
  /** Why the last check failed; null where it did not. */
  problem: string | null = null;
  /** Checks in a row that speak against what it is taken for. */
  #against = 0;

  /**
   * Takes the outcome of a check.
   *
   * @param problem null where the back end has answered
   * @returns whether it is taken for something else now
   */
  take(problem: string | null): boolean {
    this.problem = problem;
    if ((problem === null) === this.isUp) {
      this.#against = 0;
      return false;
    }
    if (++this.#against < (this.isUp ? FAILURES : SUCCESSES)) return false;
    this.isUp = !this.isUp;
    this.#against = 0;
    return true;
  }

  /** ms until the next check. */
  get pause(): number {
    return this.isUp && this.#against > 0 ? RETRY : INTERVAL;
  }
}
