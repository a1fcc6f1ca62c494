/**
 * Server path watch: whether packets to the server take another path after the host's network has changed.
 *
 * Notifications come in bursts: the path is read soon after the first one, also while they go on, and no more often
 * than once in `SETTLE_TIME`, so that a program which changes routes in a tight loop costs little.
 */

/** ms to wait for the rest of a burst, and between two readings at least. */
const SETTLE_TIME = 200;

export class ServerPathWatch {
  /** When the path is to be read; `Infinity` for never. */
  readAt = Infinity;
  #lastRead = -Infinity;
  /** The path to the address in use; null before it was read. */
  #path: string | null = null;

  networkChanged(now: number): void {
    if (this.readAt !== Infinity) return;
    this.readAt = Math.max(now + SETTLE_TIME, this.#lastRead + SETTLE_TIME);
  }

  /** The path is being read. */
  reading(now: number): void {
    this.readAt = Infinity;
    this.#lastRead = now;
  }

  /** Another address is in use: the next reading is compared with nothing. */
  forget(): void {
    this.#path = null;
  }

  /** @returns whether this path is another one than before */
  isOther(path: string): boolean {
    return this.#path !== null && path !== "" && path !== this.#path;
  }

  /** Takes note of a path. Between two paths there may be none: the next notification brings the new one. */
  learn(path: string): void {
    if (this.#path === null || path !== "") this.#path = path;
  }
}
