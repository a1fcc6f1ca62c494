/** Client tally: how many queries each client of the proxy has asked, and what became of them; no names. */
import { MAX_PEERS } from "../limits/max_peers.ts";
import type { DnsClient } from "./cache.ts";

/** Of one client, since the start. */
export interface ClientQueries {
  /** Those that were looked at. */
  queries: number;
  /** Of these, answered from the cache; for names that are blocked; told that there is no such name, blocked or not. */
  cached: number;
  blocked: number;
  nameErrors: number;
  /** Dropped unseen, as there were too many in a second. */
  refused: number;
}

export class ClientTally {
  readonly #clients = new Map<DnsClient, ClientQueries>();
  readonly #capacity: number;

  /** @param capacity clients; in a full table the one that came first is forgotten */
  constructor(capacity = 2 * MAX_PEERS) {
    this.#capacity = capacity;
  }

  /** What there is of a client; null for nothing. */
  find(client: DnsClient): Readonly<ClientQueries> | null {
    return this.#clients.get(client) ?? null;
  }

  /** Counts one more. */
  add(client: DnsClient, what: keyof ClientQueries): void {
    let known = this.#clients.get(client);
    if (known === undefined) {
      if (this.#clients.size >= this.#capacity) {
        this.#clients.delete(this.#clients.keys().next().value!);
      }
      known = { queries: 0, cached: 0, blocked: 0, nameErrors: 0, refused: 0 };
      this.#clients.set(client, known);
    }
    known[what]++;
  }
}
