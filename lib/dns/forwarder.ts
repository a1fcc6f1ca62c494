/**
 * Owns the forwarding of queries: from the cache, or from the first upstream that answers.
 *
 * Sockets, time and randomness come in from outside. An answer counts only when id and question are those that were asked
 * (RFC 5452 section 9): without that, anybody who guesses a port could plant an answer in the cache.
 */
import { DnsCache } from "./cache.ts";
import {
  answerFor,
  cacheKey,
  failure,
  FLAG_RESPONSE,
  FLAG_TRUNCATED,
  HEADER_SIZE,
  isQuery,
  parse,
  type Parsed,
  RCODE_FORMAT_ERROR,
  RCODE_NOT_IMPLEMENTED,
  RCODE_SERVER_FAILURE,
  responseCode,
  truncated,
  withId,
  withoutOptions,
} from "./message.ts";

/** Queries under way at one time; more are answered with a failure at once. */
const MAX_IN_FLIGHT = 256;

/** How a query came, and so how long its answer may be. */
export type Transport = "udp" | "tcp";

export interface ForwarderOptions {
  /** IPv4 addresses of the upstream resolvers, host order, in the order in which they are tried. */
  readonly upstreams: readonly number[];
  /**
   * Sends a query to an upstream and hands over each message that comes back to `accept`, until it returns true or time
   * is up: then it resolves to that message, or to null.
   */
  readonly exchange: (
    upstream: number,
    query: Uint8Array<ArrayBuffer>,
    transport: Transport,
    accept: (answer: Uint8Array) => boolean,
  ) => Promise<Uint8Array | null>;
  /** Monotonic ms. */
  readonly now: () => number;
  /** Draws an unsigned 16-bit number. */
  readonly randomId: () => number;
}

export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #cache = new DnsCache();
  #inFlight = 0;

  constructor(options: ForwarderOptions) {
    this.#options = options;
  }

  /** The answer to a query that came by `transport`; null for what deserves none. */
  async answer(query: Uint8Array, transport: Transport): Promise<Uint8Array | null> {
    if (query.length < HEADER_SIZE) return null;
    const flags = query[2] << 8 | query[3];
    // An answer to an answer would go on for ever.
    if ((flags & FLAG_RESPONSE) !== 0) return null;
    const parsed = parse(query);
    if (parsed === null) return failure(query, RCODE_FORMAT_ERROR);
    if (!isQuery(flags)) return failure(query, RCODE_NOT_IMPLEMENTED);
    const answer = await this.#resolve(query, parsed);
    if (transport === "udp" && answer.length > parsed.udpSize) {
      return truncated(answer, parsed.questionEnd);
    }
    return answer;
  }

  async #resolve(query: Uint8Array, parsed: Parsed): Promise<Uint8Array> {
    const key = cacheKey(parsed);
    const kept = this.#cache.find(key, this.#options.now());
    if (kept !== null) return answerFor(query, kept.answer, kept);
    if (this.#inFlight >= MAX_IN_FLIGHT) return failure(query, RCODE_SERVER_FAILURE);
    this.#inFlight++;
    try {
      return await this.#ask(query, parsed, key);
    } finally {
      this.#inFlight--;
    }
  }

  /** Asks one upstream after the other, until one knows more than that it cannot help. */
  async #ask(query: Uint8Array, parsed: Parsed, key: string): Promise<Uint8Array> {
    let last: Uint8Array | null = null;
    for (const upstream of this.#options.upstreams) {
      const answer = await this.#askOne(upstream, query, parsed);
      if (answer === null) continue;
      const answerParsed = parse(answer)!;
      last = withId(answer, parsed.id);
      if (responseCode(answerParsed.flags) === RCODE_SERVER_FAILURE) continue;
      this.#cache.store(key, answer, { parsed: answerParsed, now: this.#options.now() });
      return last;
    }
    return last ?? failure(query, RCODE_SERVER_FAILURE);
  }

  async #askOne(upstream: number, query: Uint8Array, parsed: Parsed): Promise<Uint8Array | null> {
    const id = this.#options.randomId();
    const asked = withId(withoutOptions(query), id);
    const accept = (answer: Uint8Array) => {
      const got = parse(answer);
      return got !== null && got.id === id && got.question === parsed.question &&
        (got.flags & FLAG_RESPONSE) !== 0;
    };
    const answer = await this.#options.exchange(upstream, asked, "udp", accept);
    const isWhole = answer === null || ((answer[2] << 8 | answer[3]) & FLAG_TRUNCATED) === 0;
    const whole = isWhole ? answer : await this.#options.exchange(upstream, asked, "tcp", accept);
    return whole === null ? null : withoutOptions(whole);
  }
}
