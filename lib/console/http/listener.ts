/**
 * Listener: takes HTTP connections, with TLS or without, turns each message into a `Request`, and sends the `Response`.
 *
 * `node:http` rather than `Deno.serve()`, which bounds neither connections, headers nor the time that a request may
 * take. What a client may hold is bounded here: connections in all and by address, bytes of headers and body, and the
 * time for the TLS handshake, headers, body, and for what it leaves unread.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import { ConnectionShares } from "../../host/network/connection_shares.ts";
import { type ListenerWatch, watchPort } from "../../host/network/listener_watch.ts";
import { listenerOn } from "../../host/network/port_safety.ts";
import { type RequestBody, requestBody } from "../../host/network/request_body.ts";
import { bracketed } from "../../core/wire/host_address.ts";
import { sourceKey } from "../../core/wire/source_key.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { guarded } from "../../process/guard.ts";
import { UnsentBytes } from "./unsent_bytes.ts";

/** Of a request without a body longer than this, all is taken. */
export const MAX_BODY = 64 * 1024;
/** Bytes of all headers; and how many there may be, as each costs the more, the more of them there are. */
const MAX_HEADERS = 16 * 1024;
const MAX_HEADER_COUNT = 128;
const MAX_CONNECTIONS = 1_024;
/** Descriptors for all else; and as many of what is left for connections as for those that are being closed. */
const OTHER_DESCRIPTORS = 64;
const LEAST_CONNECTIONS = 8;
const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]);

/** ms */
export interface ListenerTimes {
  /** For a TLS handshake, for the headers, and for all of a request. */
  readonly handshake: number;
  readonly headers: number;
  readonly request: number;
  /** Between two requests, and for an answer of which nothing is read. */
  readonly idle: number;
}

const TIMES: ListenerTimes = { handshake: 5_000, headers: 5_000, request: 15_000, idle: 30_000 };

export interface ListenerOptions {
  /** An address in text; port 0 for any. */
  readonly address: string;
  readonly port: number;
  /** PEM; null for plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | null;
  readonly times?: ListenerTimes;
  /**
   * Answers a request.
   *
   * @param source address of the other end of the connection
   */
  readonly answer: (request: Request, source: string) => Promise<Response>;
}

export class Listener implements AsyncDisposable {
  readonly #server: Server;
  readonly #watch: ListenerWatch;
  /** The port that it listens on. */
  readonly port: number;

  private constructor(server: Server, watch: ListenerWatch, port: number) {
    this.#server = server;
    this.#watch = watch;
    this.port = port;
  }

  /** @throws {AppError} with exit code 2 where the address cannot be used, 5 where the port takes a privilege */
  static async open(options: ListenerOptions): Promise<Listener> {
    const { address, port, tls, times = TIMES, answer } = options;
    const shares = new ConnectionShares(
      connectionsWithin(Deno.readTextFileSync("/proc/self/limits")),
    );
    const unsent = new UnsentBytes();
    const take = guarded(
      "console",
      "answering a request",
      async (message: IncomingMessage, response: ServerResponse) => {
        const { socket } = message;
        const body = requestBody(message, MAX_BODY);
        if (!shares.begin(socket, response)) return;
        try {
          await serve(message, response, { body, answer, unsent, isSecure: tls !== null });
        } finally {
          shares.end(socket);
        }
      },
    );
    const limits = {
      headersTimeout: times.headers,
      requestTimeout: times.request,
      keepAliveTimeout: times.idle,
      connectionsCheckingInterval: Math.min(500, times.headers / 4),
      maxHeaderSize: MAX_HEADERS,
    };
    const server = tls === null
      ? createServer({ ...limits }, take)
      : createTlsServer({ ...limits, ...tls, handshakeTimeout: times.handshake }, take);
    server.timeout = times.idle;
    server.on(
      "connection",
      guarded("console", "accepting a connection", (socket: Socket) => shares.add(socket)),
    );
    // What is no HTTP, or no TLS, or too slow: an answer would tell nobody anything.
    server.on(
      "clientError",
      guarded("console", "closing a connection", (_: Error, socket: Socket) => socket.destroy()),
    );
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once("error", (error) => reject(explained(error, options)));
    server.listen({ host: address, port }, resolve);
    await promise;
    const bound = server.address();
    const own = typeof bound === "object" && bound !== null ? bound.port : port;
    return new Listener(server, watchPort(server, address), own);
  }

  /** Closes all connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }
}

/**
 * How many connections there is room for: who has them all takes no descriptor that the console needs for its files
 * and for the gateway.
 *
 * @param limits as /proc/self/limits has them
 */
export function connectionsWithin(limits: string): number {
  const [, soft] = /^Max open files\s+(\d+)/m.exec(limits) ?? [];
  if (soft === undefined) return MAX_CONNECTIONS;
  const room = Math.floor((Number(soft) - OTHER_DESCRIPTORS) / 2);
  return Math.min(MAX_CONNECTIONS, Math.max(LEAST_CONNECTIONS, room));
}

async function serve(
  message: IncomingMessage,
  response: ServerResponse,
  { body: awaited, answer, unsent, isSecure }: Pick<ListenerOptions, "answer"> & {
    readonly body: Promise<RequestBody>;
    readonly unsent: UnsentBytes;
    readonly isSecure: boolean;
  },
): Promise<void> {
  const { method = "", rawHeaders } = message;
  if (rawHeaders.length > 2 * MAX_HEADER_COUNT) return refuse(message, response, 431);
  const address = addressOf(message, isSecure);
  if (address === null) return refuse(message, response, 400);
  if (!METHODS.has(method)) return refuse(message, response, 405);
  const body = await awaited;
  if (body === "gone") return;
  if (body === "too-large") return refuse(message, response, 413);
  const signal = new AbortController();
  const gone = new Promise<"gone">((resolve) => {
    response.once(
      "close",
      guarded("console", "ending a request", () => {
        signal.abort();
        resolve("gone");
      }),
    );
  });
  const request = new Request(address, {
    method,
    headers: headersOf(message),
    body: method === "GET" || method === "HEAD" ? null : body,
    signal: signal.signal,
  });
  const source = message.socket.remoteAddress ?? "";
  await send(await answer(request, source), { response, gone, unsent, source });
}

/** What is asked for; null where that, or of whom, cannot be told. */
function addressOf(message: IncomingMessage, isSecure: boolean): URL | null {
  const { url = "" } = message;
  const [host = "", ...others] = headerValues(message, "host");
  // Of two hosts, a proxy may have taken the other one (RFC 9112, section 3.2); and nobody asks a proxy here.
  if (others.length > 0 || !/^[\w.:[\]-]{1,255}$/.test(host) || !url.startsWith("/")) return null;
  return URL.parse(`${isSecure ? "https" : "http"}://${host}${url}`);
}

/** The value of each header of this name. */
function headerValues({ rawHeaders }: IncomingMessage, name: string): string[] {
  return rawHeaders.filter((_, index) =>
    index % 2 === 1 && rawHeaders[index - 1]!.toLowerCase() === name
  );
}

function headersOf({ rawHeaders }: IncomingMessage): Headers {
  const headers = new Headers();
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    headers.append(rawHeaders[i]!, rawHeaders[i + 1]!);
  }
  return headers;
}

/** Of what is no request that anybody's page or program makes. What else comes on the connection is not read. */
function refuse(message: IncomingMessage, response: ServerResponse, status: number): void {
  response.writeHead(status, { Connection: "close", "Content-Length": 0 });
  response.end();
  response.once(
    "finish",
    guarded("console", "closing a connection", () => message.socket.destroy()),
  );
}

/** @param to where it goes, and what resolves when nobody is there any more, which may be before it begins */
async function send(
  answer: Response,
  { response, gone, unsent, source }: {
    readonly response: ServerResponse;
    readonly gone: Promise<"gone">;
    readonly unsent: UnsentBytes;
    readonly source: string;
  },
): Promise<void> {
  for (const [name, value] of answer.headers) {
    if (name !== "set-cookie") response.setHeader(name, value);
  }
  const cookies = answer.headers.getSetCookie();
  if (cookies.length > 0) response.setHeader("Set-Cookie", cookies);
  response.writeHead(answer.status);
  if (answer.body === null) {
    response.end();
    return;
  }
  const reader = answer.body.getReader();
  for (;;) {
    const part = await Promise.race([reader.read(), gone]);
    if (part === "gone") break;
    if (part.done) {
      response.end();
      return;
    }
    if (response.write(part.value)) continue;
    using _held = unsent.hold(sourceKey(source), response, part.value.length);
    const room = new Promise<"room">((resolve) => response.once("drain", () => resolve("room")));
    if (await Promise.race([room, gone]) === "gone") break;
  }
  await reader.cancel();
}

/** What keeps it from listening, for the user; anything else as it is. */
function explained(error: Error, { address, port }: ListenerOptions): Error {
  const code = "code" in error ? error.code : undefined;
  const cannot = `Cannot serve the console on ${bracketed(address)}:${port}`;
  const usage = { exitCode: ExitCode.usage, cause: error };
  switch (code) {
    case "EADDRINUSE":
      return new AppError(
        `${cannot}: ${
          listenerOn("tcp", port) ?? "another process"
        } uses that port: stop it, or choose another with --listen`,
        usage,
      );
    case "EADDRNOTAVAIL":
    // What Deno's node:net makes of it.
    case "EINVAL":
      return new AppError(
        `${cannot}: no interface has that address: give --listen an address of this host`,
        usage,
      );
    case "EACCES":
      return new AppError(
        `${cannot}: CAP_NET_BIND_SERVICE is missing: choose a port above 1023 with --listen`,
        { exitCode: ExitCode.privilege, cause: error },
      );
    default:
      return error;
  }
}
