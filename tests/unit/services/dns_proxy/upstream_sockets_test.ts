/** Tests of `lib/services/dns_proxy/upstream_sockets.ts` on loopback: what its sockets take, and when they end. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { openLibc } from "../../../../ffi/libc.ts";
import { ReadinessWatcher } from "../../../../ffi/sockets/readiness.ts";
import { readFramed, writeFramed } from "../../../../lib/services/dns_proxy/framing.ts";
import { UpstreamSockets } from "../../../../lib/services/dns_proxy/upstream_sockets.ts";
import type { UpstreamVerdict } from "../../../../lib/core/dns/upstream.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";

const LOOPBACK = 0x7f000001;
const QUERY = Uint8Array.of(1, 2, 3);
const take = (): UpstreamVerdict => "take";

/** A server on loopback; it answers each datagram by what `answer` makes of it. */
async function serve(
  answer: (query: Uint8Array) => readonly Uint8Array[],
  type: "udp4" | "udp6" = "udp4",
) {
  const socket = createSocket(type);
  const ports: number[] = [];
  socket.on("message", (query, { port, address }) => {
    ports.push(port);
    for (const message of answer(query)) socket.send(message, port, address);
  });
  socket.bind(0, type === "udp4" ? "127.0.0.1" : "::1");
  await once(socket, "listening");
  return { socket, ports, port: socket.address().port, [Symbol.dispose]: () => socket.close() };
}

hostTest("queries go out by a port each, and come back whole", async () => {
  using server = await serve((query) => [query]);
  await using watcher = new ReadinessWatcher(openLibc());
  using sockets = new UpstreamSockets(openLibc(), watcher, server.port);
  const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => {
    const message = Uint8Array.of(i);
    return sockets.exchange({ upstream: LOOPBACK, message, verdict: take }, "udp").answer;
  }));
  assertEquals(answers, Array.from({ length: 100 }, (_, i) => Uint8Array.of(i)));
  assert(new Set(server.ports).size > 90, `${new Set(server.ports).size} ports`);
});

hostTest("a resolver is asked by IPv6, by UDP and by TCP", async () => {
  using server = await serve((query) => [query], "udp6");
  const { port } = server;
  const listener = Deno.listen({ hostname: "::1", port });
  const served = (async () => {
    using connection = await listener.accept();
    await writeFramed(connection, (await readFramed(connection, 100))!);
  })();
  await using watcher = new ReadinessWatcher(openLibc());
  using sockets = new UpstreamSockets(openLibc(), watcher, port);
  const query = { upstream: "::1", message: QUERY, verdict: take };
  assertEquals(await sockets.exchange(query, "udp").answer, QUERY);
  assertEquals(await sockets.exchange(query, "tcp").answer, QUERY);
  await served;
  listener.close();
});

hostTest("messages are shown until one is taken, or no other is wanted", async () => {
  using server = await serve(() => [1, 2, 3, 4].map((byte) => Uint8Array.of(byte)));
  await using watcher = new ReadinessWatcher(openLibc());
  using sockets = new UpstreamSockets(openLibc(), watcher, server.port);
  for (const [last, expected] of [["take", Uint8Array.of(3)], ["abandon", null]] as const) {
    const seen: number[] = [];
    const verdict = (message: Uint8Array): UpstreamVerdict => {
      seen.push(message[0]!);
      return seen.length < 3 ? "wait" : last;
    };
    const exchange = sockets.exchange({ upstream: LOOPBACK, message: QUERY, verdict }, "udp");
    assertEquals(await exchange.answer, expected);
    assertEquals(seen, [1, 2, 3]);
  }
});

hostTest(
  "a message from another port than was asked is not even shown: the kernel drops it",
  async () => {
    using other = await serve(() => []);
    using server = await serve((query) => [query]);
    const { socket } = server;
    socket.removeAllListeners("message");
    socket.on("message", (query, { port, address }) => {
      other.socket.send(Uint8Array.of(66), port, address, () => socket.send(query, port, address));
    });
    await using watcher = new ReadinessWatcher(openLibc());
    using sockets = new UpstreamSockets(openLibc(), watcher, server.port);
    const seen: Uint8Array[] = [];
    const verdict = (message: Uint8Array): UpstreamVerdict => {
      seen.push(message);
      return "take";
    };
    await sockets.exchange({ upstream: LOOPBACK, message: QUERY, verdict }, "udp").answer;
    assertEquals(seen, [QUERY]);
  },
);

hostTest(
  "a port that nobody listens on is known by ICMP and by RST, before any time-out",
  async () => {
    using silent = await serve(() => []);
    const server = await serve(() => []);
    const { port } = server;
    server[Symbol.dispose]();
    await using watcher = new ReadinessWatcher(openLibc());
    using sockets = new UpstreamSockets(openLibc(), watcher, port);
    using others = new UpstreamSockets(openLibc(), watcher, silent.port);
    const query = { upstream: LOOPBACK, message: QUERY, verdict: take };
    for (const transport of ["udp", "tcp"] as const) {
      // Asked before, so its time-out comes first.
      const unanswered = others.exchange(query, "udp");
      const refused = sockets.exchange(query, transport).answer;
      const first = await Promise.race([
        unanswered.answer.then(() => "timed out"),
        refused.then((answer) => answer),
      ]);
      assertEquals(first, null, transport);
      unanswered.cancel();
    }
  },
);

hostTest("a query that is not answered is sent once more, from the same port", async () => {
  let count = 0;
  using server = await serve((query) => ++count < 2 ? [] : [query]);
  await using watcher = new ReadinessWatcher(openLibc());
  using sockets = new UpstreamSockets(openLibc(), watcher, server.port);
  const exchange = sockets.exchange({ upstream: LOOPBACK, message: QUERY, verdict: take }, "udp");
  assertEquals(await exchange.answer, QUERY);
  assertEquals(server.ports.length, 2);
  assertEquals(server.ports[0], server.ports[1]);
});

hostTest("a query that is cancelled has no answer, and its socket is closed", async () => {
  using server = await serve(() => []);
  await using watcher = new ReadinessWatcher(openLibc());
  using sockets = new UpstreamSockets(openLibc(), watcher, server.port);
  const open = () => Array.from(Deno.readDirSync("/proc/self/fd")).length;
  const before = open();
  const query = { upstream: LOOPBACK, message: QUERY, verdict: take };
  const exchanges = Array.from({ length: 50 }, () => sockets.exchange(query, "udp"));
  assertEquals(open(), before + 50);
  for (const exchange of exchanges) exchange.cancel();
  assertEquals(open(), before);
  for (const exchange of exchanges) assertEquals(await exchange.answer, null);
});

hostTest("TCP brings a message behind its length, and is given up when cancelled", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const asked = Promise.withResolvers<void>();
  const served = (async () => {
    const first = await listener.accept();
    await writeFramed(first, (await readFramed(first, 100))!);
    assertEquals(await first.read(new Uint8Array(1)), null);
    first.close();
    const second = await listener.accept();
    await readFramed(second, 100);
    asked.resolve();
    assertEquals(await second.read(new Uint8Array(1)), null);
    second.close();
    listener.close();
  })();
  await using watcher = new ReadinessWatcher(openLibc());
  using sockets = new UpstreamSockets(openLibc(), watcher, port);
  const query = { upstream: LOOPBACK, message: QUERY, verdict: take };
  assertEquals(await sockets.exchange(query, "tcp").answer, QUERY);
  const exchange = sockets.exchange(query, "tcp");
  await asked.promise;
  exchange.cancel();
  assertEquals(await exchange.answer, null);
  await served;
});

hostTest(
  "at the end all is cancelled, and who turns to the next upstream then sends nothing",
  async () => {
    using server = await serve((query) => [query]);
    await using watcher = new ReadinessWatcher(openLibc());
    const sockets = new UpstreamSockets(openLibc(), watcher, server.port);
    const wait = (): UpstreamVerdict => "wait";
    const underWay = sockets.exchange({ upstream: LOOPBACK, message: QUERY, verdict: wait }, "udp");
    sockets[Symbol.dispose]();
    assertEquals(await underWay.answer, null);
    for (const transport of ["udp", "tcp"] as const) {
      const next = sockets.exchange(
        { upstream: LOOPBACK, message: QUERY, verdict: take },
        transport,
      );
      assertEquals(await next.answer, null);
      next.cancel();
    }
  },
);
