/** Owns the sockets of the DNS proxy: UDP and TCP on the gateway's inner address, and those to the upstream resolvers. */
import { createSocket } from "node:dgram";
import { randomBytes } from "node:crypto";
import { Forwarder, type Transport } from "../dns/forwarder.ts";
import { formatIpv4 } from "../wire/ipv4_text.ts";
import { AppError, ExitCode } from "./errors.ts";
import { background, guarded } from "./guard.ts";
import type { Logger } from "./logging.ts";

const PORT = 53;
/** ms that an upstream has to answer; the next one is asked then. */
const UPSTREAM_TIMEOUT = 2_000;
/** ms that a TCP connection may be idle (RFC 7766 section 6.2.3: seconds), and how many there may be. */
const TCP_IDLE_TIMEOUT = 10_000;
const MAX_TCP_CONNECTIONS = 64;

export interface DnsProxyOptions {
  /** The gateway's inner address, host order. */
  readonly address: number;
  /** Upstream resolvers, host order. */
  readonly upstreams: readonly number[];
  readonly logger: Logger;
}

export class DnsProxy implements Disposable {
  readonly #forwarder: Forwarder;
  readonly #logger: Logger;
  readonly #udp = createSocket("udp4");
  readonly #tcp: Deno.TcpListener;
  #connections = 0;

  private constructor(options: DnsProxyOptions, tcp: Deno.TcpListener) {
    this.#logger = options.logger;
    this.#tcp = tcp;
    this.#forwarder = new Forwarder({
      upstreams: options.upstreams,
      exchange: (upstream, query, transport, accept) =>
        transport === "udp"
          ? exchangeUdp(upstream, query, accept)
          : exchangeTcp(upstream, query, accept),
      now: () => performance.now(),
      randomId: () => randomBytes(2).readUInt16BE(),
    });
  }

  /**
   * Starts to answer. The address must be the host's already.
   *
   * @throws {AppError} with exit code 2 where another service has the port
   */
  static async start(options: DnsProxyOptions): Promise<DnsProxy> {
    const hostname = formatIpv4(options.address);
    try {
      const proxy = new DnsProxy(options, Deno.listen({ hostname, port: PORT }));
      await proxy.#serveUdp(hostname);
      background("dns", "taking connections for DNS", proxy.#serveTcp());
      return proxy;
    } catch (error) {
      if (!isAddressInUse(error)) throw error;
      throw new AppError(
        `Cannot answer DNS on ${hostname}: port ${PORT} is in use: ` +
          "keep the other service from that address, or leave out DnsProxy",
        { exitCode: ExitCode.usage, cause: error },
      );
    }
  }

  [Symbol.dispose](): void {
    this.#udp.close();
    this.#tcp.close();
  }

  #serveUdp(hostname: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#udp.once("error", reject);
    this.#udp.on(
      "message",
      guarded("dns", "answering a DNS query", async (query, sender) => {
        // RFC 768: a source port of 0 says that no answer is wanted; none could be sent there.
        if (sender.port === 0) return;
        const answer = await this.#answer(query, "udp");
        if (answer === null) return;
        const sent = guarded("dns", "sending a DNS answer", (error: Error | null) => {
          if (error) this.#logger.debug("cannot send a DNS answer: {error}", { error });
        });
        this.#udp.send(answer, sender.port, sender.address, sent);
      }),
    );
    this.#udp.bind(PORT, hostname, resolve);
    return promise.then(() => {
      this.#udp.off("error", reject);
      this.#udp.on(
        "error",
        guarded("dns", "listening for DNS queries", (error) => {
          throw error;
        }),
      );
    });
  }

  async #serveTcp(): Promise<void> {
    for await (const connection of this.#tcp) {
      if (this.#connections >= MAX_TCP_CONNECTIONS) {
        connection.close();
        continue;
      }
      this.#connections++;
      const served = this.#serveConnection(connection).finally(() => this.#connections--);
      background("dns", "answering DNS queries by TCP", served);
    }
  }

  async #serveConnection(connection: Deno.TcpConn): Promise<void> {
    const close = guarded("dns", "closing a connection", () => closeQuietly(connection));
    const idle = setTimeout(close, TCP_IDLE_TIMEOUT);
    try {
      for (let query = await readFramed(connection); query !== null;) {
        const answer = await this.#answer(query, "tcp");
        if (answer === null) break;
        await writeFramed(connection, answer);
        query = await readFramed(connection);
      }
    } catch (error) {
      this.#logger.debug("DNS over TCP: {error}", { error });
    } finally {
      clearTimeout(idle);
      closeQuietly(connection);
    }
  }

  async #answer(query: Uint8Array, transport: Transport): Promise<Uint8Array | null> {
    try {
      return await this.#forwarder.answer(query, transport);
    } catch (error) {
      this.#logger.warn("DNS proxy: {error}", { error });
      return null;
    }
  }
}

/** One query from a port of its own, which the kernel draws at random: with the id, 32 bits for an attacker to guess. */
function exchangeUdp(
  upstream: number,
  query: Uint8Array,
  accept: (answer: Uint8Array) => boolean,
): Promise<Uint8Array | null> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array | null>();
  const socket = createSocket("udp4");
  const finish = guarded("dns", "ending a question", (answer: Uint8Array | null) => {
    clearTimeout(timer);
    socket.removeAllListeners("message");
    socket.close();
    resolve(answer);
  });
  const timer = setTimeout(finish, UPSTREAM_TIMEOUT, null);
  const address = formatIpv4(upstream);
  socket.once("error", guarded("dns", "asking a resolver", () => finish(null)));
  socket.on(
    "message",
    guarded("dns", "taking a resolver's answer", (answer, sender) => {
      if (sender.address !== address || sender.port !== PORT) return;
      if (accept(answer)) finish(answer);
    }),
  );
  const sent = guarded("dns", "asking a resolver", (error: Error | null) => {
    if (error) finish(null);
  });
  socket.send(query, PORT, address, sent);
  return promise;
}

async function exchangeTcp(
  upstream: number,
  query: Uint8Array,
  accept: (answer: Uint8Array) => boolean,
): Promise<Uint8Array | null> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let connection: Deno.TcpConn | undefined;
  try {
    const signal = AbortSignal.timeout(UPSTREAM_TIMEOUT);
    connection = await Deno.connect({ hostname: formatIpv4(upstream), port: PORT, signal });
    const open = connection;
    timer = setTimeout(
      guarded("dns", "giving a resolver up", () => closeQuietly(open)),
      UPSTREAM_TIMEOUT,
    );
    await writeFramed(open, query);
    const answer = await readFramed(open);
    return answer !== null && accept(answer) ? answer : null;
  } catch {
    // Refused, reset, too late: all the same to the asker, who turns to the next upstream.
    return null;
  } finally {
    clearTimeout(timer);
    if (connection !== undefined) closeQuietly(connection);
  }
}

/** A message behind its two-byte length (RFC 1035 section 4.2.2); null at the end of the connection. */
async function readFramed(connection: Deno.TcpConn): Promise<Uint8Array | null> {
  const prefix = await readFully(connection, 2);
  return prefix === null ? null : await readFully(connection, prefix[0] << 8 | prefix[1]);
}

async function readFully(connection: Deno.TcpConn, size: number): Promise<Uint8Array | null> {
  const bytes = new Uint8Array(size);
  for (let have = 0; have < size;) {
    const count = await connection.read(bytes.subarray(have));
    if (count === null) return null;
    have += count;
  }
  return bytes;
}

async function writeFramed(connection: Deno.TcpConn, message: Uint8Array): Promise<void> {
  const framed = new Uint8Array(2 + message.length);
  new DataView(framed.buffer).setUint16(0, message.length);
  framed.set(message, 2);
  for (let written = 0; written < framed.length;) {
    written += await connection.write(framed.subarray(written));
  }
}

function closeQuietly(connection: Deno.TcpConn): void {
  try {
    connection.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}

function isAddressInUse(error: unknown): boolean {
  return error instanceof Deno.errors.AddrInUse ||
    (error instanceof Error && "code" in error && error.code === "EADDRINUSE");
}
