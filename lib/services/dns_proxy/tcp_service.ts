/**
 * TCP service of the DNS proxy (RFC 7766): several queries of a connection at a time, answered in the order in which
 * their answers come. Connections are bounded, with fair shares: in a full table the client with the most loses its
 * oldest. So those who send a byte at a time, read nothing or stay silent take only their own places, and those not for
 * long.
 */
import { FairShares, type Place } from "../../core/limits/fair_shares.ts";
import { background, guarded } from "../../process/guard.ts";
import type { Logger } from "../../process/logging.ts";
import type { DnsClient } from "../../core/dns/cache.ts";
import { MAX_QUERY_SIZE } from "../../core/dns/message.ts";
import { type HostAddress, parseAddress } from "../../core/wire/host_address.ts";
import { closeQuietly, readFramed, writeFramed } from "./framing.ts";

const MAX_CONNECTIONS = 256;
/** ms that a connection may be idle (RFC 7766 section 6.2.3: seconds). */
const IDLE_TIMEOUT = 10_000;
/** ms that a query may take from its first byte to its last, and an answer to be taken by the client. */
const MESSAGE_TIMEOUT = 5_000;
/** Queries of one connection that are answered at a time; more are not read meanwhile. */
const MAX_PIPELINED = 16;
/** ms before connections are taken again when the system had no descriptor for one. */
const ACCEPT_PAUSE = 100;

export interface TcpServiceOptions {
  /** One for each address. */
  readonly listeners: readonly Deno.TcpListener[];
  /** Who is at an address. */
  readonly clientOf: (address: HostAddress) => DnsClient;
  /** Whether one more query of this client is answered; where not, its connection ends. */
  readonly admit: (client: DnsClient) => boolean;
  /** The answer to a query; null for what deserves none, which ends the connection as well. */
  readonly answer: (query: Uint8Array, client: DnsClient) => Promise<Uint8Array | null>;
  readonly logger: Logger;
}

export class TcpService implements Disposable {
  readonly #options: TcpServiceOptions;
  readonly #connections = new Set<DnsConnection>();
  readonly #shares = new FairShares<DnsClient, DnsConnection>({
    capacity: MAX_CONNECTIONS,
    evict: (connection) => {
      this.evicted++;
      connection.close();
    },
  });
  /** Connections that lost their place to another one. */
  evicted = 0;
  #isClosed = false;

  /** Serves until disposed of. */
  constructor(options: TcpServiceOptions) {
    this.#options = options;
    for (const listener of options.listeners) {
      background("dns", "accepting DNS connections", this.#run(listener));
    }
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const listener of this.#options.listeners) closeQuietly(listener);
    for (const connection of this.#connections) connection.close();
  }

  async #run(listener: Deno.TcpListener): Promise<void> {
    while (!this.#isClosed) {
      try {
        this.#take(await listener.accept());
      } catch (error) {
        if (this.#isClosed) return;
        // A connection that has gone already, or no descriptor for it: the next one may do.
        this.#options.logger.debug("cannot accept a DNS connection: {error}", { error });
        await new Promise((resolve) => setTimeout(resolve, ACCEPT_PAUSE));
      }
    }
  }

  #take(socket: Deno.TcpConn): void {
    const client = this.#options.clientOf(parseAddress(socket.remoteAddr.hostname) ?? 0);
    const connection = new DnsConnection(socket, {
      answer: (query) =>
        this.#options.admit(client) ? this.#options.answer(query, client) : Promise.resolve(null),
      onError: (error) => this.#options.logger.debug("DNS over TCP: {error}", { error }),
    });
    this.#connections.add(connection);
    const place: Place<DnsClient, DnsConnection> | null = this.#shares.add(client, connection);
    const served = connection.serve().finally(() => {
      this.#connections.delete(connection);
      if (place !== null) this.#shares.remove(place);
    });
    background("dns", "answering DNS queries over TCP", served);
  }
}

interface ConnectionOptions {
  readonly answer: (query: Uint8Array) => Promise<Uint8Array | null>;
  /** Takes what ends the connection: mostly that the client has left. */
  readonly onError: (error: unknown) => void;
}

/** What a connection needs of Deno's. */
export type Stream = Pick<Deno.TcpConn, "read" | "write" | "close">;

export class DnsConnection {
  readonly #stream: Stream;
  readonly #options: ConnectionOptions;
  /** Queries whose answers are not written yet. */
  #pending = 0;
  /** Is called when there are fewer. */
  #onAnswered: () => void = () => {};
  #lastWrite: Promise<void> = Promise.resolve();
  #readTimer: ReturnType<typeof setTimeout> | undefined;
  /** Whether the next query is waited for, none of whose bytes has come. */
  #isIdle = false;

  constructor(stream: Stream, options: ConnectionOptions) {
    this.#stream = stream;
    this.#options = options;
  }

  /** Answers until the client has left or must. */
  async serve(): Promise<void> {
    try {
      for (;;) {
        this.#isIdle = true;
        this.#expect(IDLE_TIMEOUT);
        const query = await readFramed(this.#stream, MAX_QUERY_SIZE, () => {
          this.#isIdle = false;
          this.#expect(MESSAGE_TIMEOUT);
        });
        this.#isIdle = false;
        clearTimeout(this.#readTimer);
        if (query === null) break;
        this.#pending++;
        background("dns", "answering a DNS query over TCP", this.#answer(query));
        while (this.#pending >= MAX_PIPELINED) await this.#answered();
      }
      // It may have closed its own direction alone, and still wait for answers.
      while (this.#pending > 0) await this.#answered();
    } catch (error) {
      this.#options.onError(error);
    } finally {
      this.close();
    }
  }

  close(): void {
    this.#isIdle = false;
    clearTimeout(this.#readTimer);
    closeQuietly(this.#stream);
  }

  /** Closes the connection unless something comes in time; while answers are due it may be silent. */
  #expect(time: number): void {
    clearTimeout(this.#readTimer);
    const late = guarded("dns", "closing an idle connection", () => {
      // Idle is who has had its answers: the time begins with the last of them.
      if (!this.#isIdle || this.#pending === 0) this.close();
    });
    this.#readTimer = setTimeout(late, time);
  }

  async #answer(query: Uint8Array): Promise<void> {
    try {
      const answer = await this.#options.answer(query);
      if (answer === null) {
        this.close();
        return;
      }
      const written = this.#lastWrite.then(() => this.#write(answer));
      this.#lastWrite = written.catch(() => {});
      await written;
    } catch (error) {
      this.#options.onError(error);
      this.close();
    } finally {
      this.#pending--;
      if (this.#isIdle && this.#pending === 0) this.#expect(IDLE_TIMEOUT);
      this.#onAnswered();
    }
  }

  async #write(answer: Uint8Array): Promise<void> {
    const late = guarded(
      "dns",
      "closing a connection whose client does not read",
      () => this.close(),
    );
    const timer = setTimeout(late, MESSAGE_TIMEOUT);
    try {
      await writeFramed(this.#stream, answer);
    } finally {
      clearTimeout(timer);
    }
  }

  #answered(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onAnswered = resolve;
    return promise;
  }
}
