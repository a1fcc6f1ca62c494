/**
 * Upstream sockets: one for each query, connected, so that the kernel drops what comes from elsewhere and tells of ICMP
 * errors at once, on a port that it draws at random.
 */
import { DatagramSocket } from "../../../ffi/sockets/datagram_socket.ts";
import { SystemCallError } from "../../../ffi/errno.ts";
import type { Libc } from "../../../ffi/libc.ts";
import type { ReadinessWatcher } from "../../../ffi/sockets/readiness.ts";
import type { DnsExchange, UpstreamVerdict } from "../../core/dns/upstream.ts";
import { formatAddress, type HostAddress, socketForm } from "../../core/wire/host_address.ts";
import { background, guarded } from "../../process/guard.ts";
import { isConnectionError } from "./connection_error.ts";
import { closeQuietly, readFramed, writeFramed } from "./framing.ts";

const PORT = 53;
/** ms that an upstream has to answer; the next one is asked then. */
const TIMEOUT = 2_000;
/**
 * ms after which a datagram is sent once more: it, or its answer, may have been lost. Clients that ask again only join
 * in.
 */
const REPETITION = 700;
/** Datagrams taken from one socket in one turn. */
const MAX_DATAGRAMS = 16;
const MAX_MESSAGE_SIZE = 65_535;

interface Query {
  readonly upstream: HostAddress;
  readonly message: Uint8Array<ArrayBuffer>;
  readonly verdict: (message: Uint8Array) => UpstreamVerdict;
}

export class UpstreamSockets implements Disposable {
  readonly #libc: Libc;
  readonly #watcher: ReadinessWatcher;
  readonly #buffer = new Uint8Array(MAX_MESSAGE_SIZE);
  readonly #open = new Set<DnsExchange>();
  readonly #port: number;
  #isClosed = false;

  /** @param port of the upstreams */
  constructor(libc: Libc, watcher: ReadinessWatcher, port = PORT) {
    this.#libc = libc;
    this.#watcher = watcher;
    this.#port = port;
  }

  /** Sends a query by UDP or TCP; see `UpstreamOptions.exchange`. */
  exchange(query: Query, transport: "udp" | "tcp"): DnsExchange {
    // Who was cancelled by the end turns to the next upstream.
    if (this.#isClosed) return { answer: Promise.resolve(null), cancel: () => {} };
    const exchange = transport === "udp" ? this.#byUdp(query) : byTcp(query, this.#port);
    this.#open.add(exchange);
    const forget = exchange.answer.finally(() => this.#open.delete(exchange));
    background("dns", "ending a query to a resolver", forget);
    return exchange;
  }

  /** Cancels what is under way; nothing is sent any more. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const exchange of this.#open) exchange.cancel();
  }

  #byUdp({ upstream, message, verdict }: Query): DnsExchange {
    const { promise, resolve } = Promise.withResolvers<Uint8Array | null>();
    let socket: DatagramSocket | null = null;
    const timers: ReturnType<typeof setTimeout>[] = [];
    const finish = (answer: Uint8Array | null) => {
      for (const timer of timers) clearTimeout(timer);
      if (socket !== null) {
        this.#watcher.remove(socket.fd);
        socket[Symbol.dispose]();
        socket = null;
      }
      resolve(answer);
    };
    // Refused, unreachable, no descriptors left: the next upstream may do.
    const orNone = (call: () => void) => () => {
      try {
        if (socket !== null) call();
      } catch (error) {
        finish(null);
        if (!(error instanceof SystemCallError)) throw error;
      }
    };
    const repeat = orNone(() => socket!.send(message));
    const receive = orNone(() => {
      for (let i = 0; i < MAX_DATAGRAMS && socket !== null; i++) {
        const length = socket.receive(this.#buffer);
        if (length < 0) return;
        const came = this.#buffer.slice(0, length);
        const judgement = verdict(came);
        if (judgement !== "wait") finish(judgement === "take" ? came : null);
      }
    });
    try {
      const to = { address: socketForm(upstream), port: this.#port };
      socket = DatagramSocket.connect(this.#libc, to, 0);
      this.#watcher.add(socket.fd, guarded("dns", "receiving an answer from a resolver", receive));
      timers.push(
        setTimeout(guarded("dns", "waiting for a resolver", () => finish(null)), TIMEOUT),
        setTimeout(guarded("dns", "retrying a query to a resolver", repeat), REPETITION),
      );
      repeat();
    } catch (error) {
      finish(null);
      if (!(error instanceof SystemCallError)) throw error;
    }
    return { answer: promise, cancel: () => finish(null) };
  }
}

function byTcp({ upstream, message, verdict }: Query, port: number): DnsExchange {
  const { promise, resolve } = Promise.withResolvers<null>();
  const end = new AbortController();
  const timer = setTimeout(guarded("dns", "waiting for a resolver", () => cancel()), TIMEOUT);
  const cancel = () => {
    clearTimeout(timer);
    end.abort();
    resolve(null);
  };
  const ask = async (): Promise<Uint8Array | null> => {
    try {
      const { signal } = end;
      const connection = await Deno.connect({ hostname: formatAddress(upstream), port, signal });
      const close = guarded("dns", "closing a connection", () => closeQuietly(connection));
      signal.addEventListener("abort", close);
      try {
        if (signal.aborted) return null;
        await writeFramed(connection, message);
        const answer = await readFramed(connection, MAX_MESSAGE_SIZE);
        return answer !== null && verdict(answer) === "take" ? answer : null;
      } finally {
        closeQuietly(connection);
      }
    } catch (error) {
      // Refused, reset, too late: all the same to the asker, who turns to the next upstream.
      if (isConnectionError(error)) return null;
      throw error;
    } finally {
      clearTimeout(timer);
    }
  };
  return { answer: Promise.race([promise, ask()]), cancel };
}
