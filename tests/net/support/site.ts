/** Small web site of the network tests: it says who its visitors are, keeps them waiting, brings them together. */
import { randomBytes } from "node:crypto";
import { type TestNamespace } from "../../support/net.ts";

/** Bytes. */
const FILE_SIZE = 8_000_000;

/** One visit, as the site saw it. */
export interface Visitor {
  readonly address: string;
  readonly port: number;
}

/**
 * - `/` says `hello ADDRESS`, the visitor's address as it is seen here;
 * - `/file` is `file`, random bytes;
 * - `/pause/MS` says `before`, nothing for that many ms, and `after`;
 * - `/meeting/COUNT/...` answers nobody before so many have come, and then all.
 */
export class Site implements AsyncDisposable {
  readonly file: Uint8Array<ArrayBuffer> = new Uint8Array(randomBytes(FILE_SIZE));
  /** Those who came to a meeting. */
  readonly guests: Visitor[] = [];
  readonly #server: Deno.HttpServer;
  readonly #complete = Promise.withResolvers<void>();
  readonly #closing = new AbortController();

  /** @param address to listen on; all of the namespace's if left out */
  constructor(namespace: TestNamespace, port: number, address = "0.0.0.0") {
    const { signal } = this.#closing;
    this.#server = namespace.inside(() =>
      Deno.serve(
        { hostname: address, port, signal, onListen: () => {} },
        (request, { remoteAddr }) => {
          const { hostname, port } = remoteAddr as Deno.NetAddr;
          return this.#answer(new URL(request.url).pathname, { address: hostname, port });
        },
      )
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    this.#complete.resolve();
    await this.#server.finished;
  }

  #answer(path: string, visitor: Visitor): Response | Promise<Response> {
    const [, page, number] = path.split("/");
    if (page === "file") return new Response(this.file);
    if (page === "pause") return new Response(pausing(Number(number), this.#closing.signal));
    if (page === "meeting") return this.#meet(visitor, Number(number));
    return new Response(`hello ${visitor.address}`);
  }

  async #meet(visitor: Visitor, count: number): Promise<Response> {
    this.guests.push(visitor);
    if (this.guests.length >= count) this.#complete.resolve();
    await this.#complete.promise;
    return new Response("met\n");
  }
}

/** A body in two pieces, with a pause between them that `signal` cuts short. */
function pausing(ms: number, signal: AbortSignal): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    async start(controller) {
      controller.enqueue(encoder.encode("before "));
      await delay(ms, signal);
      controller.enqueue(encoder.encode("after"));
      controller.close();
    },
  });
}

function delay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
