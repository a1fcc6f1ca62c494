/** How often something may be done: so many times at once, and so many times a second after that. */

/** Places in the state: what is left, and when that was, monotonic ms. */
const LEFT = 0;
const AT = 1;

export class Allowance {
  readonly #perMs: number;
  readonly #burst: number;
  /** Kept in an array: in a field, each new number would be an object on the heap. */
  readonly #state: Float64Array<ArrayBuffer>;

  constructor({ perSecond, burst }: { readonly perSecond: number; readonly burst: number }) {
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#state = Float64Array.of(burst, -Infinity);
  }

  /** Whether it may be done once more now; a time before the last one brings nothing. */
  has(now: number): boolean {
    const state = this.#state;
    const elapsed = now - state[AT]!;
    if (elapsed > 0) {
      state[LEFT] = Math.min(this.#burst, state[LEFT]! + elapsed * this.#perMs);
      state[AT] = now;
    }
    return state[LEFT]! >= 1;
  }

  /** The same; if so, it is counted. */
  take(now: number): boolean {
    if (!this.has(now)) return false;
    this.#state[LEFT]! -= 1;
    return true;
  }

  /** What was taken last is not counted after all. */
  giveBack(): void {
    this.#state[LEFT] = Math.min(this.#burst, this.#state[LEFT]! + 1);
  }
}
