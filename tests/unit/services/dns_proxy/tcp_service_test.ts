/**
 * Tests of `lib/services/dns_proxy/tcp_service.ts`: connections on loopback, honest ones beside those that hold on to
 * what they have.
 */
import { readFramed, writeFramed } from "../../../../lib/services/dns_proxy/framing.ts";
import { TcpService } from "../../../../lib/services/dns_proxy/tcp_service.ts";
import { getLogger } from "../../../../lib/process/logging.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";

type Answer = (query: Uint8Array, client: string | number) => Promise<Uint8Array | null>;

/** A service; who connects from 127.0.0.N is client N. */
function start(answer: Answer) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const service = new TcpService({
    listeners: [listener],
    clientOf: (address) => Number(address) & 0xff,
    admit: () => true,
    answer,
    logger: getLogger("dns"),
  });
  const { port } = listener.addr;
  return {
    service,
    connect: () => Deno.connect({ hostname: "127.0.0.1", port }),
    [Symbol.dispose]: () => service[Symbol.dispose](),
  };
}

const echo: Answer = (query) => Promise.resolve(query);

/** Whether the other end has closed. */
async function isClosed(connection: Deno.TcpConn): Promise<boolean> {
  try {
    return await connection.read(new Uint8Array(1)) === null;
  } catch {
    return true;
  }
}

hostTest(
  "queries of one connection are answered as their answers come, not in turn (RFC 7766)",
  async () => {
    const slow = Promise.withResolvers<Uint8Array>();
    using stage = start((query) => query[0] === 0 ? slow.promise : Promise.resolve(query));
    using connection = await stage.connect();
    for (const byte of [0, 1, 2]) await writeFramed(connection, Uint8Array.of(byte));
    assertEquals(await readFramed(connection, 100), Uint8Array.of(1));
    assertEquals(await readFramed(connection, 100), Uint8Array.of(2));
    slow.resolve(Uint8Array.of(0));
    assertEquals(await readFramed(connection, 100), Uint8Array.of(0));
  },
);

hostTest("answers still come when a client has closed its own direction", async () => {
  using stage = start(async (query) => {
    await new Promise((resolve) => setTimeout(resolve, 0));
    return query;
  });
  using connection = await stage.connect();
  for (let i = 0; i < 5; i++) await writeFramed(connection, Uint8Array.of(i));
  await connection.closeWrite();
  for (let i = 0; i < 5; i++) assertEquals((await readFramed(connection, 100))!.length, 1);
  assert(await isClosed(connection));
});

hostTest(
  "no more than 16 queries of a connection are answered at a time; the rest waits outside",
  async () => {
    const open: (() => void)[] = [];
    let count = 0;
    using stage = start((query) => {
      count++;
      const { promise, resolve } = Promise.withResolvers<Uint8Array>();
      open.push(() => resolve(query));
      return promise;
    });
    using connection = await stage.connect();
    for (let i = 0; i < 40; i++) await writeFramed(connection, Uint8Array.of(i));
    while (count < 16) await new Promise((resolve) => setTimeout(resolve, 1));
    let answered = 0;
    while (answered < 40) {
      assert(count - answered <= 16, `${count - answered} at a time`);
      open.shift()!();
      assertEquals((await readFramed(connection, 100))![0], answered++);
      while (count < Math.min(40, answered + 16)) {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }
  },
);

hostTest(
  "a query that deserves no answer, and one that is too long, end the connection",
  async () => {
    using stage = start(() => Promise.resolve(null));
    using first = await stage.connect();
    await writeFramed(first, Uint8Array.of(1));
    assert(await isClosed(first));
    using second = await stage.connect();
    await second.write(Uint8Array.of(0xff, 0xff, 1));
    assert(await isClosed(second));
  },
);

hostTest("an error while answering ends that connection alone", async () => {
  using stage = start((query) =>
    query[0] === 0 ? Promise.reject(new Error("broken")) : echo(query, 0)
  );
  using first = await stage.connect();
  using second = await stage.connect();
  await writeFramed(first, Uint8Array.of(0));
  assert(await isClosed(first));
  await writeFramed(second, Uint8Array.of(1));
  assertEquals(await readFramed(second, 100), Uint8Array.of(1));
});

hostTest(
  "a client with hundreds of silent connections loses its own oldest; another is served throughout",
  async () => {
    const owners: number[] = [];
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    // By the order of connections: the last one is another client's.
    const service = new TcpService({
      listeners: [listener],
      clientOf: () => owners.shift()!,
      admit: () => true,
      answer: echo,
      logger: getLogger("dns"),
    });
    const connect = async (client: number) => {
      owners.push(client);
      return await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port });
    };
    try {
      using honest = await connect(2);
      const silent: Deno.TcpConn[] = [];
      for (let i = 0; i < 300; i++) {
        const connection = await connect(1);
        // Half of a length: it is never told what would be expected.
        if (i % 2 === 0) await connection.write(Uint8Array.of(0)).catch(() => {});
        silent.push(connection);
      }
      await writeFramed(honest, Uint8Array.of(7));
      assertEquals(await readFramed(honest, 100), Uint8Array.of(7));
      while (service.evicted < 45) await new Promise((resolve) => setTimeout(resolve, 1));
      assertEquals(service.evicted, 45);
      for (const connection of silent.slice(0, 45)) assert(await isClosed(connection));
      for (const connection of silent) connection.close();
    } finally {
      service[Symbol.dispose]();
    }
  },
);
