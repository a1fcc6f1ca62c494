/** Services inside the demo's namespaces: a small web site and its visitor, a resolver and its client, ping. */
import { Buffer } from "node:buffer";
import { createHash, randomFillSync } from "node:crypto";
import { get, type IncomingMessage } from "node:http";
import { openLibc } from "../../../ffi/libc.ts";
import { ping, type PingOptions } from "../../host/network/ping.ts";
import { serveNames } from "./resolver.ts";
import { steadyDownload } from "./steady_download.ts";

/** ms between two pings. */
const PING_PAUSE = 20;
/** Lost pings in a row until the next ones are waited for longer, and for how long, in ms. */
const PINGS_IN_HASTE = 30;
const PING_PATIENCE = 2_000;

/** What a page says in front of the visitor's address. */
export const GREETING = "hello ";

export interface Site {
  /** All of a family's. */
  readonly address: "0.0.0.0" | "::";
  readonly port: number;
  /** Of `/file`, in bytes. */
  readonly fileSize: number;
}

export interface Visit {
  readonly host: string;
  readonly port: number;
  readonly path: string;
}

export interface Visited {
  readonly status: number;
  /** Of the body. */
  readonly bytes: number;
  /** Of the body, in hexadecimal. */
  readonly sha256: string;
  /** The body of an answer of type text, or "". */
  readonly text: string;
  /** ms from the first step of the connection to the last byte. */
  readonly time: number;
}

export interface PingSpan {
  /** IPv4, host order. */
  readonly address: number;
  /** ms, all of it at the least, and for one answer. */
  readonly duration: number;
  readonly timeout: number;
}

export interface Question {
  /** A domain name. */
  readonly name: string;
  /** Address of the server to ask. */
  readonly server: string;
}

export const services = {
  /**
   * Opens a web site on all addresses of the namespace that are of a family, until the thread ends: `/` greets the
   * visitor by the address that it comes from, `/file` is random bytes.
   */
  serve({ address, port, fileSize }: Site): { readonly sha256: string } {
    const file = new Uint8Array(fileSize);
    randomFillSync(file);
    Deno.serve({ hostname: address, port, onListen: () => {} }, (request, { remoteAddr }) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/") return new Response(`${GREETING}${remoteAddr.hostname}`);
      if (pathname === "/file") return new Response(file);
      return new Response("no such page", { status: 404 });
    });
    return { sha256: sha256([file]) };
  },

  /** Fetches a page. The digest is made after the last byte, so that the time is that of the transfer. */
  async visit({ host, port, path }: Visit): Promise<Visited> {
    const startedAt = performance.now();
    const answer = await request({ host, port, path });
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    for await (const piece of answer) {
      pieces.push(piece);
      bytes += piece.length;
    }
    const time = performance.now() - startedAt;
    const isText = answer.headers["content-type"]?.startsWith("text/") ?? false;
    const text = isText ? Buffer.concat(pieces).toString() : "";
    return { status: answer.statusCode ?? 0, bytes, sha256: sha256(pieces), text, time };
  },

  /** See `serveNames()`. */
  serveNames(address: string): Promise<void> {
    return serveNames(address);
  },

  /** Asks for the IPv4 addresses of a name. */
  resolve({ name, server }: Question): Promise<string[]> {
    // With its last dot, the name is whole: no domain of this machine's is tried behind it.
    return Deno.resolveDns(`${name}.`, "A", { nameServer: { ipAddr: server } });
  },

  ...steadyDownload,

  /** Pings for a while, and on until there is an answer; ms that it was without one at the most. */
  async pingFor({ address, duration, timeout }: PingSpan): Promise<number> {
    const libc = openLibc();
    const startedAt = performance.now();
    let longestGap = 0;
    for (let answeredAt = startedAt, lost = 0;;) {
      // On a machine where answers take longer than that, none would ever be in time.
      const patience = lost < PINGS_IN_HASTE ? timeout : PING_PATIENCE;
      const [time] = ping(libc, { address, count: 1, timeout: patience });
      const now = performance.now();
      if (time === undefined) lost++;
      else {
        longestGap = Math.max(longestGap, now - answeredAt);
        answeredAt = now;
        lost = 0;
        if (now >= startedAt + duration) return longestGap;
      }
      await new Promise((resolve) => setTimeout(resolve, PING_PAUSE));
    }
  },

  /** See `ping()`. */
  ping(options: PingOptions): number[] {
    return ping(openLibc(), options);
  },
};

/** By `node:http` rather than `fetch()`, which would ask the proxy that HTTP_PROXY names. */
function request(visit: Visit): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get({ ...visit, agent: false }, resolve).on("error", reject);
  });
}

function sha256(pieces: readonly Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const piece of pieces) hash.update(piece);
  return hash.digest("hex");
}
