/**
 * Upstream resolver: asks it one question, by TLS where that is configured, and else by UDP, and by TCP where UDP
 * cannot be trusted or does not suffice.
 *
 * TCP is beyond an off-path forger, so it decides in doubt: when wrong answers keep coming, and when the name comes
 * back in another spelling. A server that spells it in its own manner by TCP as well is asked without that check from
 * then on; and so is one that has no TCP, as that of many a home router, and changes the spelling of a second question,
 * too: a forger must have guessed id and port twice.
 */
import type { HostAddress } from "../wire/host_address.ts";
import type { Parsed } from "./message.ts";
import { relevantAnswer } from "./relevant_answer.ts";
import { judge, type Judgement, randomSize, upstreamQuery } from "./upstream_query.ts";

/** Wrong answers to one question after which TCP is asked: late ones are rarer, a forger sends thousands. */
const MAX_WRONG_ANSWERS = 3;

/** Bytes of a query's id. */
const ID_SIZE = 2;

/** What becomes of a message that has come: it is the answer, the next is waited for, or no other is. */
export type UpstreamVerdict = "take" | "wait" | "abandon";

/** A query under way. */
export interface DnsExchange {
  /** The message that was taken; null where there is none in time, or the exchange was abandoned or cancelled. */
  readonly answer: Promise<Uint8Array | null>;
  cancel(): void;
}

/** A resolver that is asked. */
export interface Resolver {
  readonly address: HostAddress;
  /** The name in its certificate, where it is asked by TLS and no other way (RFC 8310, strict); null: without TLS. */
  readonly tlsName: string | null;
}

/** By what an upstream is asked. */
export type UpstreamTransport = "udp" | "tcp" | "tls";

export interface UpstreamOptions {
  readonly resolver: Resolver;
  /** Sends a query to an upstream, from a port of its own, and shows each message that it sends back to `verdict`. */
  readonly exchange: (
    upstream: Resolver,
    query: Uint8Array<ArrayBuffer>,
    transport: UpstreamTransport,
    verdict: (message: Uint8Array) => UpstreamVerdict,
  ) => DnsExchange;
  /** So many bytes that nobody can foresee. */
  readonly random: (size: number) => Uint8Array;
  /** Takes errors that are nobody's else to take. */
  readonly onError: (error: unknown) => void;
  /** Is called for each message that is no answer to what was asked. */
  readonly onWrong: () => void;
  /** Is called for each message that is an answer, whatever it says. */
  readonly onAnswer: (upstream: Upstream) => void;
}

interface AskContext {
  /** Is told of each query under way, and of its end with null. */
  readonly onExchange: (exchange: DnsExchange | null) => void;
  /** Whether TCP may be asked, which costs more. */
  readonly mayAskByTcp: () => boolean;
}

/** What belongs to a question. */
interface Relevant {
  readonly answer: Uint8Array;
  readonly parsed: Parsed;
}

export class Upstream {
  /** Answers so far, whatever they say. */
  answers = 0;
  readonly #options: UpstreamOptions;
  /** Whether it has changed the spelling of names, and nobody else can have done it. */
  #changesCase = false;

  constructor(options: UpstreamOptions) {
    this.#options = options;
  }

  get resolver(): Resolver {
    return this.#options.resolver;
  }

  /**
   * Asks what a client's query asks.
   *
   * @returns what belongs to the question; null where there is no answer
   */
  async ask(query: Uint8Array, parsed: Parsed, context: AskContext): Promise<Relevant | null> {
    const found = this.resolver.tlsName === null
      ? await this.#askInTheOpen(query, parsed, context)
      : await this.#askByTls(query, parsed, context);
    const relevant = found === null ? null : relevantAnswer(found, parsed);
    if (found !== null && relevant === null) this.#options.onWrong();
    return relevant;
  }

  /** Nobody else can answer here: the spelling of the name is left alone, and there is no second way to ask. */
  async #askByTls(
    query: Uint8Array,
    parsed: Parsed,
    { onExchange }: AskContext,
  ): Promise<Uint8Array | null> {
    const asked = upstreamQuery(query, parsed, this.#options.random(ID_SIZE));
    return await this.#exchange(asked, { transport: "tls", onExchange }, (message) => {
      const judgement = this.#judge(asked, message, { question: parsed, anyCase: true });
      if (judgement === "right") return "take";
      return judgement === "wrong" ? "wait" : "abandon";
    });
  }

  async #askInTheOpen(
    query: Uint8Array,
    parsed: Parsed,
    { onExchange, mayAskByTcp }: AskContext,
  ): Promise<Uint8Array | null> {
    const asked = this.#query(query, parsed);
    const message = await this.#askByUdp(asked, parsed, onExchange);
    if (message instanceof Uint8Array) return message;
    if (message === null || !mayAskByTcp()) return null;
    const found = await this.#askByTcp(asked, parsed, onExchange);
    if (found !== null || message !== "misspelt") return found;
    return await this.#askInAnySpelling(this.#query(query, parsed), parsed, onExchange);
  }

  #query(query: Uint8Array, parsed: Parsed): Uint8Array<ArrayBuffer> {
    const random = this.#options.random(randomSize(parsed));
    return upstreamQuery(query, parsed, this.#changesCase ? random.subarray(0, ID_SIZE) : random);
  }

  /** @returns in a word why TCP is to be asked */
  async #askByUdp(
    asked: Uint8Array<ArrayBuffer>,
    parsed: Parsed,
    onExchange: (exchange: DnsExchange | null) => void,
  ): Promise<Uint8Array | "misspelt" | "tcp" | null> {
    let wrong = 0;
    let why: "misspelt" | "tcp" | null = null;
    const answer = await this.#exchange(asked, { transport: "udp", onExchange }, (message) => {
      const anyCase = this.#changesCase;
      const judgement = this.#judge(asked, message, { question: parsed, anyCase });
      if (judgement === "right") return "take";
      if (judgement === "refused") return "abandon";
      if (judgement !== "truncated") this.#options.onWrong();
      if (judgement === "misspelt") why = "misspelt";
      else if (judgement === "truncated" || ++wrong >= MAX_WRONG_ANSWERS) why = "tcp";
      return why === null ? "wait" : "abandon";
    });
    return why ?? answer;
  }

  async #askByTcp(
    asked: Uint8Array<ArrayBuffer>,
    parsed: Parsed,
    onExchange: (exchange: DnsExchange | null) => void,
  ): Promise<Uint8Array | null> {
    return await this.#exchange(asked, { transport: "tcp", onExchange }, (message) => {
      const judgement = this.#judge(asked, message, { question: parsed, anyCase: false });
      if (judgement === "misspelt") this.#changesCase = true;
      return judgement === "right" || judgement === "misspelt" ? "take" : "abandon";
    });
  }

  /**
   * Asks by UDP where there is no TCP to decide: should this come back in another spelling again, it is the server's.
   */
  async #askInAnySpelling(
    asked: Uint8Array<ArrayBuffer>,
    parsed: Parsed,
    onExchange: (exchange: DnsExchange | null) => void,
  ): Promise<Uint8Array | null> {
    return await this.#exchange(asked, { transport: "udp", onExchange }, (message) => {
      const judgement = this.#judge(asked, message, { question: parsed, anyCase: true });
      if (judgement !== "right") return judgement === "wrong" ? "wait" : "abandon";
      const spelling = judge(asked, message, { question: parsed, anyCase: false });
      if (spelling === "misspelt") this.#changesCase = true;
      return "take";
    });
  }

  #judge(
    asked: Uint8Array,
    message: Uint8Array,
    options: { question: Parsed; anyCase: boolean },
  ): Judgement {
    const judgement = judge(asked, message, options);
    if (judgement !== "wrong") {
      this.answers++;
      this.#options.onAnswer(this);
    }
    return judgement;
  }

  async #exchange(
    asked: Uint8Array<ArrayBuffer>,
    { transport, onExchange }: {
      transport: UpstreamTransport;
      onExchange: (exchange: DnsExchange | null) => void;
    },
    verdict: (message: Uint8Array) => UpstreamVerdict,
  ): Promise<Uint8Array | null> {
    const { resolver, exchange } = this.#options;
    const underWay = exchange(resolver, asked, transport, verdict);
    onExchange(underWay);
    try {
      return await underWay.answer;
    } finally {
      onExchange(null);
    }
  }
}
