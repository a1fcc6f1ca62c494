/** Timers of a test's own in place of the runtime's, for code that takes no clock: time passes when the test says so. */

interface Timer {
  readonly at: number;
  readonly call: () => void;
}

export class FakeTimers implements Disposable {
  readonly #real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
  readonly #timers = new Map<number, Timer>();
  #now = 0;
  #last = 0;

  constructor() {
    const set = (call: () => void, delay = 0) => {
      this.#timers.set(++this.#last, { at: this.#now + delay, call });
      return this.#last;
    };
    const clear = (id?: number) => void this.#timers.delete(id ?? 0);
    Object.assign(globalThis, { setTimeout: set, clearTimeout: clear });
  }

  /** Timers that wait. */
  get size(): number {
    return this.#timers.size;
  }

  /** Lets ms pass; each timer that is due by then is called at its time. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      // What the test or a timer has begun goes on first: it may set timers or clear them.
      await this.#settled();
      const [next] = [...this.#timers].filter(([, { at }]) => at <= end)
        .sort(([, a], [, b]) => a.at - b.at);
      if (next === undefined) break;
      const [id, { at, call }] = next;
      this.#timers.delete(id);
      this.#now = at;
      call();
    }
    this.#now = end;
  }

  /** All promises that are resolved have had their effect: a macrotask comes after them. */
  async #settled(): Promise<void> {
    await new Promise<void>((resolve) => this.#real.setTimeout(resolve, 0));
  }

  [Symbol.dispose](): void {
    Object.assign(globalThis, this.#real);
  }
}
