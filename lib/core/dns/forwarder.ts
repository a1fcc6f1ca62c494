/**
 * DNS forwarder: answers queries from the cache, or by the first upstream that has an answer.
 *
 * - Equal questions under way are one question upstream: many at a time would be as many targets for a forger, and a
 *   guess at one of them is found by the birthday paradox (RFC 5452 section 5).
 * - A dead upstream is asked after the others, see `upstream_health.ts`; where all seem dead, all are asked at once,
 *   and the first answer counts.
 * - Queries that wait are bounded, with fair shares: in a full table the client with the most loses its oldest.
 *
 * Sockets, time and randomness come in from outside.
 */
import { FairShares, type Place } from "../limits/fair_shares.ts";
import { DnsCache, type DnsClient } from "./cache.ts";
import {
  answerFor,
  cacheKey,
  cannotHelp,
  failure,
  FLAG_RESPONSE,
  HEADER_SIZE,
  isQuery,
  parse,
  type Parsed,
  RCODE_FORMAT_ERROR,
  RCODE_NOT_IMPLEMENTED,
  RCODE_SERVER_FAILURE,
  responseCode,
} from "./message.ts";
import { QuestionBudget } from "./query_budget.ts";
import { type DnsExchange, type Resolver, Upstream, type UpstreamOptions } from "./upstream.ts";
import { UpstreamHealth } from "./upstream_health.ts";
import { domainsOf, wireName } from "./wire_name.ts";

/** Queries that wait for an answer at one time, and so the most sockets to upstreams. */
const MAX_WAITING = 512;

/** How a query came, and so how long its answer may be. */
export type DnsTransport = "udp" | "tcp";

/** Who has answered: a resolver, the cache, or the proxy itself, by the peers' names or by a list of blocked names. */
export type AnswerSource = "resolver" | "cache" | "names" | "block-list";

/** Who asks, and how. */
export interface DnsAsker {
  readonly transport: DnsTransport;
  readonly client: DnsClient;
  /** Is set to who has answered where it is no resolver. */
  source: AnswerSource;
}

export interface DnsForwarderOptions
  extends Omit<UpstreamOptions, "resolver" | "onWrong" | "onAnswer"> {
  /** In the order in which they are tried. */
  readonly upstreams: readonly Resolver[];
  /** Who is asked instead, for names in some domains. */
  readonly routes?: readonly DomainUpstreams[];
  /** Has an answer of its own, within so many bytes, or null for what others are to be asked. */
  readonly local?: (
    query: Uint8Array,
    parsed: Parsed,
    limit: number,
    asker: DnsAsker,
  ) => Uint8Array | null;
  /** Monotonic ms. */
  readonly now: () => number;
  /** Is told when an upstream answers no more, and when it answers again. */
  readonly onHealth: (upstream: Resolver, isAlive: boolean) => void;
}

/** Upstreams of a domain, which alone know its names: where they do not answer, nobody else is asked. */
export interface DomainUpstreams {
  /** In ASCII, as in `corp.example`. */
  readonly domain: string;
  /** In the order in which they are tried. */
  readonly upstreams: readonly Resolver[];
}

/** An answer under the id and in the spelling of anyone who asked first. */
interface Answer {
  readonly answer: Uint8Array;
  readonly parsed: Parsed;
}

/** A query that waits. */
interface Waiter {
  readonly client: DnsClient;
  readonly question: PendingQuestion;
  readonly settle: (answer: Answer | null) => void;
}

/** A question under way, with all who wait for its answer. */
interface PendingQuestion {
  readonly key: string;
  readonly waiters: Set<Waiter>;
  /** Whether nobody waits any more. */
  isCancelled: boolean;
  readonly exchanges: Map<Upstream, DnsExchange>;
}

/** What is asked, and for whom first. */
interface Asked {
  readonly query: Uint8Array;
  readonly parsed: Parsed;
  readonly client: DnsClient;
}

/** What is asked of those that know a name, and who waits for it. */
interface AskContext {
  readonly question: PendingQuestion;
  readonly health: UpstreamHealth<Upstream>;
  readonly asked: Asked;
}

/** What has happened since the start. */
export interface ForwarderCounts {
  /** Queries of clients. */
  queries: number;
  /** Those that were answered from the cache. */
  hits: number;
  /** Those that joined an equal question under way. */
  merged: number;
  /** Those that would have been more questions upstream than their client may ask. */
  overBudget: number;
  /** Those that lost their place to another query. */
  evicted: number;
  /** Messages that came for an answer and were none: late, broken or forged. */
  wrongAnswers: number;
}

export class DnsForwarder {
  readonly counts: ForwarderCounts = {
    queries: 0,
    hits: 0,
    merged: 0,
    overBudget: 0,
    evicted: 0,
    wrongAnswers: 0,
  };
  readonly #options: DnsForwarderOptions;
  #health: UpstreamHealth<Upstream>;
  /** By their domains, as wire names. */
  #routes: ReadonlyMap<string, UpstreamHealth<Upstream>>;
  #cache = new DnsCache();
  readonly #pending = new Map<string, PendingQuestion>();
  readonly #budget = new QuestionBudget();
  readonly #waiting: FairShares<DnsClient, Waiter>;

  constructor(options: DnsForwarderOptions) {
    this.#options = options;
    this.#health = this.#healthOf(options.upstreams);
    this.#routes = this.#routesOf(options.routes ?? []);
    this.#waiting = new FairShares({
      capacity: MAX_WAITING,
      evict: (waiter) => {
        this.counts.evicted++;
        this.#leave(waiter);
        waiter.settle(null);
      },
    });
  }

  /** Asks these from now on; what is cached stays, and what is under way goes on. */
  setUpstreams(upstreams: readonly Resolver[]): void {
    this.#health = this.#healthOf(upstreams);
  }

  /** Asks these for names in their domains from now on; nothing is cached any more, as it may be from others. */
  setRoutes(routes: readonly DomainUpstreams[]): void {
    this.#routes = this.#routesOf(routes);
    this.#cache = new DnsCache();
  }

  #routesOf(routes: readonly DomainUpstreams[]): ReadonlyMap<string, UpstreamHealth<Upstream>> {
    return new Map(
      routes.map(({ domain, upstreams }) => [wireName(domain) ?? "", this.#healthOf(upstreams)]),
    );
  }

  /** Who is to be asked: those of the longest domain that a name is in. */
  #healthFor({ question }: Parsed): UpstreamHealth<Upstream> {
    if (this.#routes.size === 0) return this.#health;
    for (const domain of domainsOf(question.slice(0, -4))) {
      const health = this.#routes.get(domain);
      if (health !== undefined) return health;
    }
    return this.#health;
  }

  #healthOf(upstreams: readonly Resolver[]): UpstreamHealth<Upstream> {
    const options = this.#options;
    const onWrong = () => this.counts.wrongAnswers++;
    const health = new UpstreamHealth({
      upstreams: upstreams.map((resolver) =>
        new Upstream({
          ...options,
          resolver,
          onWrong,
          onAnswer: (upstream) => health.answered(upstream),
        })
      ),
      onChange: ({ resolver }, isAlive) => options.onHealth(resolver, isAlive),
    });
    return health;
  }

  /** The answer to a query; null for what deserves none. */
  async answer(query: Uint8Array, asker: DnsAsker): Promise<Uint8Array | null> {
    if (query.length < HEADER_SIZE) return null;
    const flags = query[2]! << 8 | query[3]!;
    // An answer to an answer would go on for ever.
    if ((flags & FLAG_RESPONSE) !== 0) return null;
    this.counts.queries++;
    const parsed = parse(query);
    if (parsed === null) return failure(query, RCODE_FORMAT_ERROR);
    if (!isQuery(flags)) return failure(query, RCODE_NOT_IMPLEMENTED);
    return await this.#resolve(query, parsed, asker);
  }

  async #resolve(query: Uint8Array, parsed: Parsed, asker: DnsAsker): Promise<Uint8Array> {
    const { transport, client } = asker;
    const limit = transport === "udp" ? parsed.udpSize : Infinity;
    const own = this.#options.local?.(query, parsed, limit, asker) ?? null;
    if (own !== null) return own;
    const key = cacheKey(parsed);
    const kept = this.#cache.find(key, this.#options.now());
    if (kept !== null) {
      this.counts.hits++;
      asker.source = "cache";
      return answerFor(query, kept.answer, { ...kept, limit });
    }
    const found = await this.#join(key, query, { parsed, client });
    if (found === null) return failure(query, RCODE_SERVER_FAILURE);
    return answerFor(query, found.answer, { parsed: found.parsed, age: 0, limit });
  }

  /** Waits for the answer to a question, which is asked unless it is under way. */
  #join(
    key: string,
    query: Uint8Array,
    { parsed, client }: { parsed: Parsed; client: DnsClient },
  ): Promise<Answer | null> {
    const known = this.#pending.get(key);
    if (known === undefined && !this.#budget.take(client, this.#options.now())) {
      this.counts.overBudget++;
      return Promise.resolve(null);
    }
    const question = known ??
      { key, waiters: new Set(), isCancelled: false, exchanges: new Map() };
    const { promise, resolve } = Promise.withResolvers<Answer | null>();
    let place: Place<DnsClient, Waiter> | null = null;
    const waiter: Waiter = {
      client,
      question,
      settle: (answer) => {
        if (place !== null) this.#waiting.remove(place);
        resolve(answer);
      },
    };
    // First, as its place may be that of another one of this question, which would be given up without it.
    question.waiters.add(waiter);
    place = this.#waiting.add(client, waiter);
    if (known !== undefined) {
      this.counts.merged++;
      return promise;
    }
    this.#pending.set(key, question);
    this.#ask(question, { query, parsed, client }).then(
      (answer) => this.#settle(question, answer),
      (error) => {
        this.#settle(question, null);
        throw error;
      },
    ).catch(this.#options.onError);
    return promise;
  }

  #settle(question: PendingQuestion, answer: Answer | null): void {
    if (this.#pending.get(question.key) === question) this.#pending.delete(question.key);
    for (const waiter of question.waiters) waiter.settle(answer);
    question.waiters.clear();
  }

  /** Takes a waiter away; a question that nobody waits for is given up. */
  #leave(waiter: Waiter): void {
    const { question } = waiter;
    question.waiters.delete(waiter);
    if (question.waiters.size > 0) return;
    question.isCancelled = true;
    if (this.#pending.get(question.key) === question) this.#pending.delete(question.key);
    for (const exchange of question.exchanges.values()) exchange.cancel();
  }

  /**
   * Asks one upstream after the other, until one knows more than that it cannot help; the dead ones only if all are.
   */
  async #ask(question: PendingQuestion, asked: Asked): Promise<Answer | null> {
    const health = this.#healthFor(asked.parsed);
    const { alive, dead } = health;
    // An answer of those who were asked before others took their place is not kept for them.
    const cache = this.#cache;
    if (alive.length > 0) this.#probe(health, asked);
    let found: Answer | null = null;
    for (const upstream of alive) {
      found = await this.#askOne(upstream, { question, health, asked }) ?? found;
      if (question.isCancelled) return null;
      if (found !== null && isHelpful(found)) break;
    }
    if (found === null) found = await this.#askAll(dead, { question, health, asked });
    if (found !== null && isHelpful(found)) {
      const { parsed, answer } = found;
      const now = this.#options.now();
      cache.store(question.key, answer, { parsed, client: asked.client, now });
    }
    return found;
  }

  /** Asks several at once, and takes the first answer that helps; else the last one. */
  #askAll(upstreams: readonly Upstream[], context: AskContext): Promise<Answer | null> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer | null>();
    let last: Answer | null = null;
    let open = upstreams.length;
    if (open === 0) resolve(null);
    for (const upstream of upstreams) {
      this.#askOne(upstream, context).then((found) => {
        last = found ?? last;
        open--;
        if (open === 0 || found !== null && isHelpful(found)) resolve(last);
      }, reject);
    }
    return promise;
  }

  async #askOne(
    upstream: Upstream,
    { question, health, asked: { query, parsed } }: AskContext,
  ): Promise<Answer | null> {
    const { answers } = upstream;
    const from = this.#options.now();
    const found = await upstream.ask(query, parsed, {
      onExchange: (exchange) => {
        if (exchange === null) question.exchanges.delete(upstream);
        else question.exchanges.set(upstream, exchange);
        if (question.isCancelled) exchange?.cancel();
      },
      mayAskByTcp: () => this.#mayAskByTcp(question),
    });
    // One that nobody waited for any more was cut short.
    if (!question.isCancelled && upstream.answers === answers) {
      health.missed(upstream, { from, now: this.#options.now() });
    }
    return found;
  }

  /** Sends the question to dead upstreams whose time has come as well; nobody waits for what they say. */
  #probe(health: UpstreamHealth<Upstream>, { query, parsed }: Asked): void {
    const from = this.#options.now();
    for (const upstream of health.takeDue(from)) {
      const { answers } = upstream;
      upstream.ask(query, parsed, { onExchange: () => {}, mayAskByTcp: () => false }).then(() => {
        if (upstream.answers !== answers) return;
        health.missed(upstream, { from, now: this.#options.now() });
      }).catch(this.#options.onError);
    }
  }

  /** Anyone who waits may pay: who has asked first and has no more must not take the answer from others. */
  #mayAskByTcp({ waiters }: PendingQuestion): boolean {
    const now = this.#options.now();
    const clients = new Set(Array.from(waiters, ({ client }) => client));
    for (const client of clients) if (this.#budget.takeTcp(client, now)) return true;
    this.counts.overBudget++;
    return false;
  }
}

/** Whether an answer says more than that its server cannot help. */
function isHelpful({ parsed }: Answer): boolean {
  return !cannotHelp(responseCode(parsed.flags));
}
