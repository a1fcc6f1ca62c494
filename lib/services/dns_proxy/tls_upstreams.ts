/**
 * DNS over TLS (RFC 7858): one connection for each resolver, on which questions follow one another without waiting for
 * answers, and which stays for a while when there are none. A resolver whose certificate is not that of the name which
 * was configured is told nothing (the strict profile of RFC 8310).
 */
import type { DnsExchange, Resolver, UpstreamVerdict } from "../../core/dns/upstream.ts";
import { formatAddress } from "../../core/wire/host_address.ts";
import { errorMessage } from "../../process/errors.ts";
import { background, guarded } from "../../process/guard.ts";
import { systemCertificates } from "../../host/files/system_certificates.ts";
import { isConnectionError } from "./connection_error.ts";
import { closeQuietly, readFramed, writeFramed } from "./framing.ts";

const PORT = 853;
/** ms that an answer may take, a new connection included, which costs three round trips. */
const TIMEOUT = 4_000;
/** ms that a connection stays open without a question (RFC 7766 section 6.2.3: seconds). */
const IDLE_TIME = 10_000;
const MAX_MESSAGE_SIZE = 65_535;

interface TlsQuery {
  readonly message: Uint8Array<ArrayBuffer>;
  readonly verdict: (message: Uint8Array) => UpstreamVerdict;
}

/** A query under way. */
interface Asking extends TlsQuery {
  /** @param answer null for none; "lost" where the connection ended before one came, "silent" where it had to be */
  readonly settle: (answer: Uint8Array | null | "lost" | "silent") => void;
}

export interface TlsUpstreamsOptions {
  /** Is told once why a resolver (`tls://NAME@ADDRESS`) cannot be reached, and with null that it can be again. */
  readonly onChange: (resolver: string, problem: string | null) => void;
  /** Left out: 853. */
  readonly port?: number;
  /** Certificates that are trusted besides those in the runtime, PEM; left out: the system's. */
  readonly trusted?: string;
}

export class TlsUpstreams implements Disposable {
  readonly #options: TlsUpstreamsOptions;
  /** By address and name. */
  readonly #connections = new Map<string, TlsConnection>();
  /** Resolvers whose failure has been told. */
  readonly #told = new Set<string>();
  #isClosed = false;

  constructor(options: TlsUpstreamsOptions) {
    this.#options = options;
  }

  /** Sends a query; see `UpstreamOptions.exchange`. */
  exchange(resolver: Resolver, query: TlsQuery): DnsExchange {
    const { promise, resolve } = Promise.withResolvers<Uint8Array | null>();
    const timer = setTimeout(
      guarded("dns", "waiting for a resolver", () => resolve(null)),
      TIMEOUT,
    );
    let cancel = () => {};
    const ask = (isAgain: boolean) => {
      if (this.#isClosed) return resolve(null);
      const connection = this.#connectionTo(resolver);
      // A server may end a connection that has served just when the next question is on its way.
      const { hasServed } = connection;
      cancel = connection.ask({
        ...query,
        settle: (answer) => {
          if (answer instanceof Uint8Array) resolve(answer);
          else if (!isAgain && (answer === "silent" || answer === "lost" && hasServed)) ask(true);
          else resolve(null);
        },
      });
    };
    ask(false);
    const answer = promise.finally(() => {
      clearTimeout(timer);
      cancel();
    });
    return { answer, cancel: () => resolve(null) };
  }

  /** Ends all connections; nothing is sent any more. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const connection of this.#connections.values()) connection.end();
  }

  #connectionTo(resolver: Resolver): TlsConnection {
    const key = keyOf(resolver);
    const standing = this.#connections.get(key);
    if (standing !== undefined && !standing.hasEnded) return standing;
    const connection = new TlsConnection({
      connect: (signal) => this.#connect(resolver, signal),
      onEnd: () => {
        if (this.#connections.get(key) === connection) this.#connections.delete(key);
      },
    });
    this.#connections.set(key, connection);
    return connection;
  }

  /** A connection that has proven to be the resolver's; null where there is none, which is told once. */
  async #connect(resolver: Resolver, signal: AbortSignal): Promise<Deno.TlsConn | null> {
    const { port = PORT, trusted = systemCertificates(), onChange } = this.#options;
    const [hostname, key] = [formatAddress(resolver.address), keyOf(resolver)];
    let plain: Deno.TcpConn | null = null;
    try {
      plain = await Deno.connect({ hostname, port, signal });
      const secure = await Deno.startTls(plain, {
        hostname: resolver.tlsName ?? hostname,
        ...trusted === "" ? {} : { caCerts: [trusted] },
        alpnProtocols: ["dot"],
      });
      plain = null;
      const close = guarded("dns", "closing a connection", () => closeQuietly(secure));
      signal.addEventListener("abort", close);
      if (signal.aborted) close();
      await secure.handshake();
      signal.removeEventListener("abort", close);
      if (this.#told.delete(key)) onChange(key, null);
      return secure;
    } catch (error) {
      if (plain !== null) closeQuietly(plain);
      if (!isConnectionError(error)) throw error;
      if (!signal.aborted && !this.#told.has(key)) {
        this.#told.add(key);
        onChange(key, errorMessage(error));
      }
      return null;
    }
  }
}

/** As the configuration has it. */
function keyOf({ address, tlsName }: Resolver): string {
  return `tls://${tlsName}@${formatAddress(address)}`;
}

class TlsConnection {
  /** Whether an answer has come. */
  hasServed = false;
  hasEnded = false;
  readonly #asking = new Set<Asking>();
  readonly #unsent = new Set<Asking>();
  readonly #onEnd: () => void;
  readonly #ending = new AbortController();
  #connection: Deno.TlsConn | null = null;
  #isSending = false;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;
  /** Runs while an answer is owed, from the last message on. */
  #silenceTimer: ReturnType<typeof setTimeout> | undefined;

  /** @param connect null where there is no connection */
  constructor(
    { connect, onEnd }: {
      readonly connect: (signal: AbortSignal) => Promise<Deno.TlsConn | null>;
      readonly onEnd: () => void;
    },
  ) {
    this.#onEnd = onEnd;
    background("dns", "querying a resolver by TLS", this.#run(connect));
  }

  /** @returns by which it is given up */
  ask(asking: Asking): () => void {
    clearTimeout(this.#idleTimer);
    this.#asking.add(asking);
    this.#unsent.add(asking);
    this.#awaitMessage();
    this.#send();
    return () => this.#forget(asking);
  }

  /**
   * A connection on which nothing comes may be none any more, and the kernel finds that out in minutes: the next
   * question gets another one. One whose asker waits no more is owed its answer as well.
   */
  #awaitMessage(): void {
    this.#silenceTimer ??= setTimeout(
      guarded("dns", "ending a silent connection", () => this.end("silent")),
      TIMEOUT,
    );
  }

  /** What is under way is lost. */
  end(why: "lost" | "silent" = "lost"): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    clearTimeout(this.#idleTimer);
    clearTimeout(this.#silenceTimer);
    this.#ending.abort();
    if (this.#connection !== null) closeQuietly(this.#connection);
    this.#onEnd();
    const lost = [...this.#asking];
    this.#asking.clear();
    this.#unsent.clear();
    for (const asking of lost) asking.settle(why);
  }

  async #run(connect: (signal: AbortSignal) => Promise<Deno.TlsConn | null>): Promise<void> {
    try {
      const connection = await connect(this.#ending.signal);
      if (connection === null) return;
      if (this.hasEnded) return closeQuietly(connection);
      this.#connection = connection;
      this.#send();
      await this.#receive(connection);
    } catch (error) {
      if (!isConnectionError(error)) throw error;
    } finally {
      this.end();
    }
  }

  async #receive(connection: Deno.TlsConn): Promise<void> {
    for (;;) {
      const message = await readFramed(connection, MAX_MESSAGE_SIZE);
      if (message === null) return;
      this.hasServed = true;
      clearTimeout(this.#silenceTimer);
      this.#silenceTimer = undefined;
      this.#take(message);
      if (this.#asking.size > 0) this.#awaitMessage();
    }
  }

  #take(message: Uint8Array): void {
    for (const asking of [...this.#asking]) {
      const judgement = asking.verdict(message);
      if (judgement === "wait") continue;
      this.#forget(asking);
      asking.settle(judgement === "take" ? message : null);
      return;
    }
  }

  /** Sends what waits, one after the other: a write that comes between the parts of another would mix the two. */
  #send(): void {
    if (this.#connection === null || this.#isSending || this.#unsent.size === 0) return;
    this.#isSending = true;
    background("dns", "querying a resolver by TLS", this.#sendAll(this.#connection));
  }

  async #sendAll(connection: Deno.TlsConn): Promise<void> {
    try {
      for (const next of this.#unsent) {
        this.#unsent.delete(next);
        await writeFramed(connection, next.message);
      }
    } catch (error) {
      this.end();
      if (!isConnectionError(error)) throw error;
    } finally {
      this.#isSending = false;
    }
  }

  #forget(asking: Asking): void {
    this.#unsent.delete(asking);
    if (!this.#asking.delete(asking) || this.#asking.size > 0 || this.hasEnded) return;
    this.#idleTimer = setTimeout(
      guarded("dns", "ending an idle connection", () => this.end()),
      IDLE_TIME,
    );
  }
}
