/** Query budget: how many queries a client may ask in a second, so that none of them takes all of the proxy's time. */
import type { Client } from "./cache.ts";

/** Queries a second: of a site with hundreds of people behind one client; a tenth of what one thread answers. */
const RATE = 2_000;
/** Queries at once. */
const BURST = 4_000;
/** Clients that are remembered; one that is forgotten starts with a full budget. */
const MAX_CLIENTS = 16_384;

export class QueryBudget {
  /** Queries refused so far. */
  refused = 0;
  /** Oldest first. */
  readonly #clients = new Map<Client, { left: number; filledAt: number }>();

  /**
   * Takes one query from a client's budget.
   *
   * @param now monotonic ms
   * @returns whether there was one
   */
  take(client: Client, now: number): boolean {
    let budget = this.#clients.get(client);
    if (budget === undefined) {
      if (this.#clients.size >= MAX_CLIENTS) {
        this.#clients.delete(this.#clients.keys().next().value!);
      }
      budget = { left: BURST, filledAt: now };
      this.#clients.set(client, budget);
    }
    const elapsed = Math.max(0, now - budget.filledAt);
    budget.left = Math.min(BURST, budget.left + elapsed * RATE / 1000);
    budget.filledAt = now;
    if (budget.left < 1) {
      this.refused++;
      return false;
    }
    budget.left--;
    return true;
  }
}
