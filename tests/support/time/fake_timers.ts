/**
 * Timers of a test's own in place of the runtime's, for code that takes no clock: time passes when the test says so.
 */

interface Timer {
  readonly at: number;
  readonly call: () => void;
  /** ms after which it is due again; null for once. */
  readonly interval: number | null;
}

export class FakeTimers implements Disposable {
  readonly #real = {
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
    setInterval: globalThis.setInterval,
    clearInterval: globalThis.clearInterval,
  };
  readonly #timers = new Map<number, Timer>();
  #now = 0;
  #last = 0;

  constructor() {
    const set = (call: () => void, delay: number, interval: number | null) => {
      this.#timers.set(++this.#last, { at: this.#now + delay, call, interval });
      return this.#last;
    };
    const clear = (id?: number) => void this.#timers.delete(id ?? 0);
    Object.assign(globalThis, {
      setTimeout: (call: () => void, delay = 0) => set(call, delay, null),
      clearTimeout: clear,
      setInterval: (call: () => void, delay = 0) => set(call, delay, delay),
      clearInterval: clear,
    });
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
      const [id, { at, call, interval }] = next;
      if (interval === null) this.#timers.delete(id);
      else this.#timers.set(id, { at: at + interval, call, interval });
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
