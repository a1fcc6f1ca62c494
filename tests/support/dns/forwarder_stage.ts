/** A DNS forwarder in front of scripted upstreams. */
import {
  DnsForwarder,
  type DnsTransport,
  type DomainUpstreams,
} from "../../../lib/core/dns/forwarder.ts";
import type {
  DnsExchange,
  Resolver,
  UpstreamTransport,
  UpstreamVerdict,
} from "../../../lib/core/dns/upstream.ts";
import { FakeClock } from "../time/fake_clock.ts";
import { Random } from "../random.ts";
import type { HostAddress } from "../../../lib/core/wire/host_address.ts";
import { addressData, ANSWER_FLAGS, buildAnswer, questionOf } from "./messages.ts";

export const FIRST = 1;
export const SECOND = 2;
export const SERVER_FAILURE = 2;
export const DATA = addressData("198.51.100.77");

const CLIENT = "client";

interface Asked {
  readonly upstream: HostAddress;
  readonly transport: UpstreamTransport;
  readonly query: Uint8Array;
}

/** A resolver that is asked without TLS. */
export function inTheOpen(address: number): Resolver {
  return { address, tlsName: null };
}

/** What an upstream says to a query: each message in turn, until one is taken. */
type Script = (asked: Asked) => readonly Uint8Array[] | Promise<readonly Uint8Array[]>;

/** A forwarder in front of scripted upstreams. */
export class Stage {
  readonly clock = new FakeClock();
  readonly exchanges: Asked[] = [];
  readonly errors: unknown[] = [];
  /** What was told of upstreams. */
  readonly health: string[] = [];
  readonly forwarder: DnsForwarder;
  /** Exchanges under way. */
  open = 0;

  constructor(
    script: Script,
    upstreams: readonly (number | Resolver)[] = [FIRST, SECOND],
    routes: readonly DomainUpstreams[] = [],
  ) {
    const random = new Random(7);
    this.forwarder = new DnsForwarder({
      upstreams: upstreams.map((each) => typeof each === "number" ? inTheOpen(each) : each),
      routes,
      exchange: (upstream, query, transport, verdict) =>
        this.#exchange(script, { upstream: upstream.address, transport, query }, verdict),
      now: () => this.clock.now,
      random: (size) => random.bytes(size),
      onError: (error) => this.errors.push(error),
      onHealth: ({ address }, isAlive) =>
        this.health.push(`${address} ${isAlive ? "alive" : "dead"}`),
    });
  }

  /** Who was asked, in order. */
  get asked(): string[] {
    return this.exchanges.map(({ upstream, transport }) => `${upstream} ${transport}`);
  }

  ask(
    query: Uint8Array,
    { transport = "udp", client = CLIENT }: { transport?: DnsTransport; client?: string } = {},
  ): Promise<Uint8Array | null> {
    return this.forwarder.answer(query, { transport, client, source: "resolver" });
  }

  #exchange(
    script: Script,
    asked: Asked,
    verdict: (message: Uint8Array) => UpstreamVerdict,
  ): DnsExchange {
    this.exchanges.push(asked);
    this.open++;
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | null>();
    const run = async () => {
      for (const message of await script(asked)) {
        const judgement = verdict(message);
        if (judgement !== "wait") return judgement === "take" ? message : null;
      }
      return null;
    };
    run().then(resolve, reject);
    return {
      answer: promise.finally(() => this.open--),
      cancel: () => resolve(null),
    };
  }
}

export function right({ query }: Asked): readonly Uint8Array[] {
  return [answerTo(query)];
}

export function answerTo(query: Uint8Array, timeToLive = 60): Uint8Array {
  return buildAnswer(query, { answers: [{ timeToLive, data: DATA }] });
}

export function failing(query: Uint8Array): Uint8Array {
  return buildAnswer(query, { flags: ANSWER_FLAGS | SERVER_FAILURE });
}

/** Answers all questions but those for names that begin with "void". */
export function voidless({ query }: Asked): readonly Uint8Array[] | Promise<never> {
  return questionOf(query).name.toLowerCase().startsWith("void")
    ? new Promise<never>(() => {})
    : [answerTo(query)];
}

/** Lets all promises go on that can. */
export async function settled(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 0));
}

/** A message with its name in lower case, as a server that knows no better repeats it. */
export function inLowerCase(message: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(message);
  for (let at = 12; copy[at] !== 0; at++) {
    if (copy[at]! >= 0x41 && copy[at]! <= 0x5a) copy[at]! |= 0x20;
  }
  return copy;
}
