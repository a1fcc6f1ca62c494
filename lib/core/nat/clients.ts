/** Clients of the NAT: which client an inner address belongs to, and what each holds. */
import { Client } from "./records.ts";

/** Clients that hold anything, by what `clientOf` names them. */
export class Clients {
  readonly #clients = new Map<unknown, Client>();
  readonly #clientOf: (address: number) => unknown;

  /** @param clientOf whose an inner address (signed) is: addresses with one answer are one client's */
  constructor(clientOf: (address: number) => unknown) {
    this.#clientOf = clientOf;
  }

  /** The client that an inner address belongs to. */
  of(address: number): Client {
    const identity = this.#clientOf(address);
    let client = this.#clients.get(identity);
    if (client === undefined) {
      client = new Client(identity);
      this.#clients.set(identity, client);
    }
    return client;
  }

  /** The client of this identity; null when it holds nothing. */
  get(identity: unknown): Client | null {
    return this.#clients.get(identity) ?? null;
  }

  /** Those that hold anything, or did until a moment ago. */
  get all(): Iterable<Client> {
    return this.#clients.values();
  }

  /**
   * Forgets those that hold nothing. Not to be done while a packet is under way: what it makes is counted by its
   * client.
   */
  tidy(): void {
    for (const [identity, client] of this.#clients) {
      if (client.isEmpty) this.#clients.delete(identity);
    }
  }
}
