/**
 * Swarms of notifications, answered by one call: soon after the first, while they go on as well, and no more often than
 * they are worth. A program that changes something in a tight loop neither keeps the call from coming nor the thread
 * busy.
 */
import type { LogCategory } from "../cli/command.ts";
import { guarded } from "./guard.ts";

export interface SwarmOptions {
  readonly category: LogCategory;
  /** What the call does, for the log. */
  readonly entry: string;
  readonly call: () => void;
  /** ms between the first notification and the call. */
  readonly settleTime: number;
  /** ms between two calls, at least. */
  readonly pause: number;
}

export class Swarm implements Disposable {
  readonly #options: SwarmOptions;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #calledAt = -Infinity;
  #isClosed = false;

  constructor(options: SwarmOptions) {
    this.#options = options;
  }

  /** Takes note of one. */
  notice(): void {
    if (this.#isClosed) return;
    const { category, entry, call, settleTime, pause } = this.#options;
    this.#timer ??= setTimeout(
      guarded(category, entry, () => {
        this.#timer = undefined;
        this.#calledAt = performance.now();
        call();
      }),
      Math.max(settleTime, this.#calledAt + pause - performance.now()),
    );
  }

  /** Forgets what was noticed, and takes note of nothing more: the undoing of a tunnel is a swarm itself. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
