/**
 * Query budgets: how many queries a client may ask in a second, so that none takes all of the proxy's time; and how
 * many of them may become questions upstream, as public resolvers cut off anyone who asks more than some 1,500 a
 * second: that would be the gateway, and so everybody behind it.
 */
import type { DnsClient } from "./cache.ts";

/**
 * Queries a second and at once: of a site with hundreds of people behind one client; a tenth of what one thread
 * answers.
 */
const QUERIES = { rate: 2_000, burst: 4_000 };
/** Questions upstream that each client has for itself, a second and at once. */
const OWN_QUESTIONS = { rate: 200, burst: 500 };
/** Those of all clients. */
const ALL_QUESTIONS = { rate: 1_000, burst: 2_000 };
/**
 * Questions that one by TCP counts as besides. Its answer has up to 64 KiB, thousands of records, of which each costs
 * our time: anyone who has a domain can have as many of them as he may ask for.
 */
const TCP_COST = 32;
/** Bytes of an answer that count as a query besides. */
const ANSWER_COST_SIZE = 4_096;
/** Clients that are remembered; one that is forgotten starts with a full budget. */
const MAX_CLIENTS = 16_384;

interface Rate {
  /** A second. */
  readonly rate: number;
  readonly burst: number;
}

class Bucket {
  readonly #rate: Rate;
  #left: number;
  /** Monotonic ms. */
  #filledAt: number;

  constructor(rate: Rate, now: number) {
    this.#rate = rate;
    this.#left = rate.burst;
    this.#filledAt = now;
  }

  /** What is left. */
  fill(now: number): number {
    const { rate, burst } = this.#rate;
    const elapsed = Math.max(0, now - this.#filledAt);
    this.#left = Math.min(burst, this.#left + elapsed * rate / 1000);
    this.#filledAt = now;
    return this.#left;
  }

  take(count = 1): void {
    this.#left = Math.max(0, this.#left - count);
  }

  /** Takes what may not be there yet. */
  owe(count: number): void {
    this.#left = Math.max(-this.#rate.burst, this.#left - count);
  }
}

/** A bucket for each client; those that were made first are forgotten first. */
class Buckets {
  readonly #rate: Rate;
  readonly #buckets = new Map<DnsClient, Bucket>();

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  of(client: DnsClient, now: number): Bucket {
    let bucket = this.#buckets.get(client);
    if (bucket === undefined) {
      if (this.#buckets.size >= MAX_CLIENTS) {
        this.#buckets.delete(this.#buckets.keys().next().value!);
      }
      bucket = new Bucket(this.#rate, now);
      this.#buckets.set(client, bucket);
    }
    return bucket;
  }
}

export class QueryBudget {
  /** Queries refused so far. */
  refused = 0;
  readonly #clients = new Buckets(QUERIES);

  /**
   * Takes one query from a client's budget.
   *
   * @param now monotonic ms
   * @returns whether there was one
   */
  take(client: DnsClient, now: number): boolean {
    const bucket = this.#clients.of(client, now);
    if (bucket.fill(now) < 1) {
      this.refused++;
      return false;
    }
    bucket.take();
    return true;
  }

  /** Counts an answer: a query of a few bytes may have 64 KiB for it, again and again. */
  charge(client: DnsClient, size: number, now: number): void {
    const count = Math.floor(size / ANSWER_COST_SIZE);
    if (count > 0) this.#clients.of(client, now).owe(count);
  }
}

export class QuestionBudget {
  readonly #clients = new Buckets(OWN_QUESTIONS);
  #all: Bucket | null = null;

  /**
   * Takes one question upstream: from the client's own budget, which is its whatever others do; beyond it, from what
   * nobody uses.
   *
   * @param now monotonic ms
   * @returns whether there was one
   */
  take(client: DnsClient, now: number): boolean {
    return this.#take(client, now, 1);
  }

  /** The same, for a question upstream that is to be asked by TCP now. */
  takeTcp(client: DnsClient, now: number): boolean {
    return this.#take(client, now, TCP_COST);
  }

  #take(client: DnsClient, now: number, count: number): boolean {
    this.#all ??= new Bucket(ALL_QUESTIONS, now);
    const own = this.#clients.of(client, now);
    const all = this.#all.fill(now);
    if (own.fill(now) >= count) own.take(count);
    // The other half is for those who have not used up their own.
    else if (all <= ALL_QUESTIONS.burst / 2) return false;
    this.#all.take(count);
    return true;
  }
}
