/**
 * Metrics server: the HTTP service that Prometheus reads from, its answers, and the bounds on what strangers can make
 * it hold.
 *
 * `node:http` rather than `Deno.serve()`, which bounds neither connections nor the time that a request may take, and
 * listens where the environment says instead. Either opens its socket on this thread, so in this thread's network
 * namespace.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Ipv4SocketAddress } from "../../core/wire/socket_address.ts";
import { CONTENT_TYPE } from "../../core/metrics/exposition.ts";
import { formatIpv4 } from "../../core/wire/ipv4_text.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { background, guarded } from "../../process/guard.ts";
import { ConnectionShares } from "../../host/network/connection_shares.ts";
import { type ListenerWatch, watchPort } from "../../host/network/listener_watch.ts";
import { listenerOn } from "../../host/network/port_safety.ts";
import { requestBody } from "../../host/network/request_body.ts";

const PATH = "/metrics";
/**
 * ms that a request may take to arrive, that a connection may be idle, and that who asked may leave the answer unread.
 */
const TIMEOUT = 3_000;
const CHECK_INTERVAL = 500;
const MAX_CONNECTIONS = 16;

export interface MetricsServerOptions {
  readonly listen: Ipv4SocketAddress;
  /** All metrics as text, in chunks. */
  readonly read: () => Promise<readonly string[]>;
}

export class MetricsServer implements Disposable {
  readonly #server: Server;
  readonly #watch: ListenerWatch;

  private constructor(server: Server, watch: ListenerWatch) {
    this.#server = server;
    this.#watch = watch;
  }

  /**
   * Starts to answer. The address must be the host's already.
   *
   * @throws {AppError} with exit code 2 where the address cannot be used, 5 where the port takes a privilege
   */
  static async open({ listen, read }: MetricsServerOptions): Promise<MetricsServer> {
    // It takes memory and a moment to load, which only those pay who want metrics.
    const { createServer } = await import("node:http");
    const server = createServer(
      {
        headersTimeout: TIMEOUT,
        requestTimeout: TIMEOUT,
        keepAliveTimeout: TIMEOUT,
        connectionsCheckingInterval: CHECK_INTERVAL,
      },
      guarded(
        "control",
        "answering a metrics request",
        async (request: IncomingMessage, response: ServerResponse) => {
          background("control", "dropping a body", requestBody(request, 0));
          if (!shares.begin(request.socket, response)) return;
          try {
            await answer(request, response, read);
          } finally {
            shares.end(request.socket);
          }
        },
      ),
    );
    const shares = new ConnectionShares(MAX_CONNECTIONS);
    server.on(
      "connection",
      guarded("control", "accepting a metrics connection", (socket: Socket) => shares.add(socket)),
    );
    server.timeout = TIMEOUT;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once("error", (error) => reject(explained(error, listen)));
    server.listen({ host: formatIpv4(listen.address), port: listen.port }, resolve);
    await promise;
    return new MetricsServer(server, watchPort(server, formatIpv4(listen.address)));
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

async function answer(
  { method, url = "" }: IncomingMessage,
  response: ServerResponse,
  read: () => Promise<readonly string[]>,
): Promise<void> {
  const refuse = (status: number, why: string, headers: Record<string, string> = {}) => {
    response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8", ...headers });
    response.end(`${why}\n`);
  };
  if (url.split("?")[0] !== PATH) return refuse(404, `Metrics are served at ${PATH}`);
  if (method !== "GET") return refuse(405, "Use GET to read metrics", { Allow: "GET" });
  let chunks: readonly string[];
  try {
    chunks = await read();
  } catch {
    // What it died of ends the process, which says so.
    return refuse(503, "The data plane does not answer");
  }
  response.writeHead(200, { "Content-Type": CONTENT_TYPE });
  for (const chunk of chunks) {
    if (response.destroyed) return;
    if (response.write(chunk)) continue;
    const { promise, resolve } = Promise.withResolvers<void>();
    response.once("drain", resolve);
    // Who does not read is closed by the server's time-out.
    response.once("close", resolve);
    await promise;
    response.off("drain", resolve);
    response.off("close", resolve);
  }
  response.end();
}

/** What keeps the service from listening, for the user; anything else as it is. */
function explained(error: Error, { address, port }: Ipv4SocketAddress): Error {
  const code = "code" in error ? error.code : undefined;
  const cannot = `Cannot serve metrics on ${formatIpv4(address)}:${port}`;
  switch (code) {
    case "EADDRINUSE": {
      const owner = listenerOn("tcp", port) ?? "another process";
      return new AppError(
        `${cannot}: ${owner} uses that port: stop it, or choose another port for Metrics`,
        { exitCode: ExitCode.usage, cause: error },
      );
    }
    case "EADDRNOTAVAIL":
    // What Deno's node:net makes of it.
    case "EINVAL":
      return new AppError(
        `${cannot}: no interface has that address: give Metrics an address of this host`,
        { exitCode: ExitCode.usage, cause: error },
      );
    case "EACCES":
      return new AppError(
        `${cannot}: CAP_NET_BIND_SERVICE is missing: choose a port above 1023 for Metrics`,
        { exitCode: ExitCode.privilege, cause: error },
      );
    default:
      return error;
  }
}
