/** Tests of DNS over TLS on loopback, against a server with a certificate of its own authority. */
import type { DnsExchange, UpstreamVerdict } from "../../../../lib/core/dns/upstream.ts";
import {
  closeQuietly,
  readFramed,
  writeFramed,
} from "../../../../lib/services/dns_proxy/framing.ts";
import { TlsUpstreams } from "../../../../lib/services/dns_proxy/tls_upstreams.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";
import { FakeTimers } from "../../../support/time/fake_timers.ts";

const LOOPBACK = 0x7f000001;
const RESOLVER = { address: LOOPBACK, tlsName: "dns.example" };
const take = (): UpstreamVerdict => "take";

function vector(name: string): string {
  return Deno.readTextFileSync(new URL(`../../../vectors/tls/${name}`, import.meta.url));
}

/** A server that hands each message of a connection to `serve`. */
class TlsServer implements AsyncDisposable {
  connections = 0;
  readonly #listener: Deno.TlsListener;
  readonly #open = new Set<Deno.TlsConn>();
  readonly #running: Promise<void>;

  /** @param serve returns whether the connection goes on */
  constructor(
    serve: (connection: Deno.TlsConn, message: Uint8Array) => Promise<boolean>,
    hostname = "127.0.0.1",
  ) {
    this.#listener = Deno.listenTls({
      hostname,
      port: 0,
      cert: vector("dns.example.pem"),
      key: vector("dns.example.key"),
      alpnProtocols: ["dot"],
    });
    this.#running = this.#accept(serve);
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.#open) closeQuietly(connection);
    await this.#running;
  }

  async #accept(serve: (connection: Deno.TlsConn, message: Uint8Array) => Promise<boolean>) {
    const running: Promise<void>[] = [];
    try {
      for await (const connection of this.#listener) {
        this.connections++;
        this.#open.add(connection);
        running.push(this.#serve(connection, serve));
      }
    } catch {
      // A handshake that a client broke off.
    }
    await Promise.all(running);
  }

  async #serve(
    connection: Deno.TlsConn,
    serve: (connection: Deno.TlsConn, message: Uint8Array) => Promise<boolean>,
  ): Promise<void> {
    try {
      for (;;) {
        const message = await readFramed(connection, 65_535);
        if (message === null || !await serve(connection, message)) break;
      }
    } catch {
      // The client is gone.
    } finally {
      closeQuietly(connection);
    }
  }
}

function upstreamsTo(
  { port }: TlsServer,
  { trusted = vector("ca.pem"), told = [] }: { trusted?: string; told?: (string | null)[] } = {},
): TlsUpstreams {
  return new TlsUpstreams({ port, trusted, onChange: (_, problem) => told.push(problem) });
}

async function echo(connection: Deno.TlsConn, message: Uint8Array): Promise<boolean> {
  await writeFramed(connection, message);
  return true;
}

hostTest("a resolver is asked by IPv6, and named so where it cannot be", async () => {
  const told: string[] = [];
  const query = { message: Uint8Array.of(1, 2), verdict: take };
  await using server = new TlsServer(echo, "::1");
  const options = { port: server.port, trusted: vector("ca.pem") };
  using upstreams = new TlsUpstreams({ ...options, onChange: (name) => told.push(name) });
  const exchange = (tlsName: string) =>
    upstreams.exchange({ address: "::1", tlsName }, query).answer;
  assertEquals(await exchange("dns.example"), query.message);
  assertEquals(await exchange("another.example"), null);
  assertEquals(told, ["tls://another.example@::1"]);
});

hostTest("questions share one connection, and answers may come in any order", async () => {
  const waiting: Uint8Array[] = [];
  await using server = new TlsServer(async (connection, message) => {
    waiting.push(message);
    if (waiting.length < 3) return true;
    for (const each of waiting.reverse()) await writeFramed(connection, each);
    return true;
  });
  using upstreams = upstreamsTo(server);
  const answers = [1, 2, 3].map((byte) =>
    upstreams.exchange(RESOLVER, {
      message: Uint8Array.of(byte, 0),
      verdict: (message) => message[0] === byte ? "take" : "wait",
    }).answer
  );
  assertEquals(await Promise.all(answers), [1, 2, 3].map((byte) => Uint8Array.of(byte, 0)));
  assertEquals(server.connections, 1);
});

hostTest(
  "a resolver with another name, or of an authority nobody trusts, is told nothing",
  async () => {
    const heard: Uint8Array[] = [];
    await using server = new TlsServer((_, message) => {
      heard.push(message);
      return Promise.resolve(true);
    });
    const message = Uint8Array.of(1);
    for (
      const [resolver, trusted] of [
        [{ ...RESOLVER, tlsName: "other.example" }, vector("ca.pem")],
        [RESOLVER, ""],
      ] as const
    ) {
      const told: (string | null)[] = [];
      using upstreams = upstreamsTo(server, { trusted, told });
      for (let i = 0; i < 2; i++) {
        assertEquals(await upstreams.exchange(resolver, { message, verdict: take }).answer, null);
      }
      // Once, however often it is asked.
      assertEquals(told.length, 1);
      assertMatch(told[0]!, /certificate/);
    }
    assertEquals(heard, []);
  },
);

hostTest("a connection that the resolver ends between questions is opened again", async () => {
  await using server = new TlsServer(async (connection, message) => {
    await writeFramed(connection, message);
    return false;
  });
  using upstreams = upstreamsTo(server);
  for (const byte of [1, 2, 3]) {
    const message = Uint8Array.of(byte);
    assertEquals(await upstreams.exchange(RESOLVER, { message, verdict: take }).answer, message);
  }
});

/** An answer on a real connection, while no time passes; a failure where none comes. */
async function answerOf(
  { answer }: DnsExchange,
  timers: FakeTimers,
): Promise<Uint8Array | null> {
  let found: Uint8Array | null | undefined;
  answer.then((each) => found = each, () => {});
  for (let turn = 0; turn < 3_000 && found === undefined; turn++) await timers.advance(0);
  assertEquals(found === undefined, false, "no answer");
  return found!;
}

function question(byte: number, length = 2) {
  const message = new Uint8Array(length);
  message[0] = byte;
  const verdict = (found: Uint8Array): UpstreamVerdict => found[0] === byte ? "take" : "wait";
  return { message, verdict };
}

for (
  const [what, count, length] of [
    ["answers nothing", 1, 2],
    // More than fits into the buffers of both ends.
    ["reads no more", 250, 60_000],
  ] as const
) {
  hostTest(`a resolver that ${what} on a connection is asked on another one`, async () => {
    using timers = new FakeTimers();
    const isAsked = Promise.withResolvers<void>();
    const isOver = Promise.withResolvers<boolean>();
    let isFirst = true;
    await using server = new TlsServer(async (connection, message) => {
      if (!isFirst) return await echo(connection, message);
      isFirst = false;
      isAsked.resolve();
      return await isOver.promise;
    });
    using upstreams = upstreamsTo(server);
    const asked = Array.from(
      { length: count },
      (_, i) => upstreams.exchange(RESOLVER, question(i, length)),
    );
    await isAsked.promise;
    await timers.advance(3_000);
    for (const each of asked) each.cancel();
    // As long as clients ask, the connection is never idle.
    const last = upstreams.exchange(RESOLVER, question(255));
    await timers.advance(1_000);
    assertEquals(await answerOf(last, timers), question(255).message);
    assertEquals(server.connections, 2);
    isOver.resolve(false);
  });
}

hostTest("a connection goes on while answers come, though one question has none", async () => {
  using timers = new FakeTimers();
  await using server = new TlsServer((connection, message) =>
    message[0] === 0 ? Promise.resolve(true) : echo(connection, message)
  );
  using upstreams = upstreamsTo(server);
  const unanswered = upstreams.exchange(RESOLVER, question(0));
  for (let second = 1; second <= 6; second++) {
    const asked = upstreams.exchange(RESOLVER, question(second));
    assertEquals(await answerOf(asked, timers), question(second).message);
    await timers.advance(1_000);
  }
  assertEquals(await unanswered.answer, null);
  assertEquals(server.connections, 1);
});

hostTest(
  "a resolver that ends every connection without an answer is asked twice at most",
  async () => {
    await using server = new TlsServer(() => Promise.resolve(false));
    using upstreams = upstreamsTo(server);
    const message = Uint8Array.of(1);
    assertEquals(await upstreams.exchange(RESOLVER, { message, verdict: take }).answer, null);
    assertEquals(server.connections, 1);
  },
);

hostTest(
  "what is cancelled, or under way at the end, has no answer, and its late one is nobody else's",
  async () => {
    const both = Promise.withResolvers<void>();
    const cancelled = Promise.withResolvers<void>();
    const messages: Uint8Array[] = [];
    await using server = new TlsServer(async (connection, message) => {
      messages.push(message);
      if (messages.length < 2) return true;
      both.resolve();
      await cancelled.promise;
      for (const each of messages) await writeFramed(connection, each);
      return true;
    });
    const upstreams = upstreamsTo(server);
    const [first, second] = [1, 2].map((byte) =>
      upstreams.exchange(RESOLVER, {
        message: Uint8Array.of(byte),
        verdict: (message) => message[0] === byte ? "take" : "wait",
      })
    ) as [ReturnType<typeof upstreams.exchange>, ReturnType<typeof upstreams.exchange>];
    await both.promise;
    first.cancel();
    assertEquals(await first.answer, null);
    cancelled.resolve();
    assertEquals(await second.answer, Uint8Array.of(2));
    const third = upstreams.exchange(RESOLVER, {
      message: Uint8Array.of(3),
      verdict: () => "wait",
    });
    upstreams[Symbol.dispose]();
    assertEquals(await third.answer, null);
    assertEquals(
      await upstreams.exchange(RESOLVER, { message: Uint8Array.of(4), verdict: take }).answer,
      null,
    );
  },
);

hostTest("a resolver that nobody listens for, or that resets, is no error", async () => {
  const server = new TlsServer(echo);
  const { port } = server;
  await server[Symbol.asyncDispose]();
  const told: (string | null)[] = [];
  using upstreams = new TlsUpstreams({
    port,
    trusted: vector("ca.pem"),
    onChange: (_, problem) => told.push(problem),
  });
  assertEquals(
    await upstreams.exchange(RESOLVER, { message: Uint8Array.of(1), verdict: take }).answer,
    null,
  );
  assertMatch(told[0]!, /refused/i);
});
