/** Shows what passes on a control socket: between our own two ends, and with one that says anything at all. */
import { connect } from "node:net";
import { cString, openLibc } from "../../../ffi/libc.ts";
import { hasWaiting, listeningSocket } from "../../../ffi/sockets/listening_socket.ts";
import { AppError, ExitCode } from "../../../lib/process/errors.ts";
import { ControlClient } from "../../../lib/control/client.ts";
import { findInstance, runningInstances } from "../../../lib/control/instances.ts";
import type { Handler } from "../../../lib/control/protocol.ts";
import { ControlServer } from "../../../lib/control/server.ts";
import { Journal } from "../../../lib/host/journal/journal.ts";
import { journalDirectory } from "../../../lib/process/journal_directory.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../../support/assert.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { eventually } from "../../support/time/patience.ts";
import { DescriptorShortage } from "../../support/descriptor_shortage.ts";
import { hostTest, whereAllowed } from "../../support/permissions.ts";

const INTERFACE = `t${Deno.pid}`;
// Others' journals are where they are; a user who is not root may have no place for any.
whereAllowed(() => {
  if (Deno.uid() !== 0 && !Deno.env.get("XDG_RUNTIME_DIR")) {
    Deno.env.set("XDG_RUNTIME_DIR", temporaryFolder());
  }
});

const HANDLERS: Readonly<Record<string, Handler>> = {
  echo: (params) => Promise.resolve(params),
  nothing: () => Promise.resolve(undefined),
  fail: () => Promise.reject(new Error("Cannot do it: it is a test")),
  slow: async (params) => {
    await new Promise((resolve) => setTimeout(resolve, 0));
    return params;
  },
  count: async ({ to }, emit) => {
    for (let number = 1; number <= Number(to); number++) await emit(number);
    return "done";
  },
  forever: async (_params, emit, signal) => {
    await emit("begun");
    if (!signal.aborted) {
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    }
    ended++;
  },
};
let ended = 0;

/** A server with these handlers, and its end, which leaves neither socket nor journal. */
async function withServer(run: (path: string, journal: Journal) => Promise<void>): Promise<void> {
  const journal = new Journal(INTERFACE);
  let path = "";
  try {
    await using server = await ControlServer.open({
      interfaceName: INTERFACE,
      journal,
      handlers: HANDLERS,
    });
    path = server.path;
    await run(path, journal);
  } finally {
    journal.undo();
  }
  assertEquals(journal.fixtures, []);
  assertThrows(() => Deno.statSync(path), Deno.errors.NotFound);
}

/** Says something, as it stands, and returns the answers until the other side closes. */
async function converse(path: string, text: string | Uint8Array): Promise<unknown[]> {
  using connection = await Deno.connect({ transport: "unix", path });
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  const sending = (async () => {
    for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
    await connection.closeWrite();
  })().catch(() => {});
  const answer = await new Response(connection.readable).text().catch(() => "");
  await sending;
  return answer.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

hostTest(
  "a control socket is its owner's alone, and found by its interface until it closes",
  async () => {
    await withServer(async (path) => {
      assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
      assertEquals(findInstance(INTERFACE).path, path);
      using client = await ControlClient.connect(INTERFACE);
      assertEquals(await client.request("echo", { a: [1, "ü"] }), { a: [1, "ü"] });
      assertEquals(await client.request("nothing"), null);
    });
    assertEquals(runningInstances().filter((each) => each.interfaceName === INTERFACE), []);
    const error = assertThrows(() => findInstance(INTERFACE), AppError);
    assertEquals(error.exitCode, ExitCode.connect);
  },
);

hostTest(
  "requests are answered in their order, each with its id, also those behind the end",
  async () => {
    await withServer(async (path) => {
      const answers = await converse(
        path,
        '{"id":1,"method":"slow","params":{"a":1}}\n{"id":"two","method":"echo"}\n' +
          '{"id":3,"method":"count","params":{"to":2}}\n{"id":4,"method":"fail"}',
      );
      assertEquals(answers, [
        { id: 1, result: { a: 1 } },
        { id: "two", result: {} },
        { id: 3, event: 1 },
        { id: 3, event: 2 },
        { id: 3, result: "done" },
        { id: 4, error: "Cannot do it: it is a test" },
      ]);
    });
  },
);

hostTest("many requests at once are all answered", async () => {
  await withServer(async () => {
    using client = await ControlClient.connect(INTERFACE);
    const numbers = Array.from({ length: 200 }, (_, index) => ({ index }));
    assertEquals(await Promise.all(numbers.map((each) => client.request("echo", each))), numbers);
  });
});

hostTest(
  "a line that is no request is answered with an error, and the next one is read",
  async () => {
    await withServer(async (path) => {
      const answers = await converse(
        path,
        'foo\n{"id":1,"method":"toString"}\n{"id":2,"method":"echo"}\n',
      );
      assertEquals(answers, [
        { id: null, error: "Cannot read the request: it is not JSON", code: "invalid" },
        {
          id: 1,
          error: 'Cannot do "toString": the methods are echo, nothing, fail, slow, count, forever',
          code: "not-found",
        },
        { id: 2, result: {} },
      ]);
    });
  },
);

hostTest("a line of over 64 KiB ends the connection, and no other", async () => {
  await withServer(async (path) => {
    using other = await ControlClient.connect(INTERFACE);
    const params = { text: "x".repeat(64 * 1024 - 100) };
    assertEquals(await other.request("echo", params), params);
    const answers = await converse(path, new Uint8Array(64 * 1024 + 1).fill(0x20));
    assertEquals(answers, [{
      id: null,
      error: "Cannot read the request: it is longer than 65536 bytes",
    }]);
    assertEquals(await other.request("echo", { a: 1 }), { a: 1 });
  });
});

hostTest("what goes on is ended when the other end goes", async () => {
  await withServer(async () => {
    const before = ended;
    const begun = Promise.withResolvers<unknown>();
    const client = await ControlClient.connect(INTERFACE);
    const request = client.request("forever", {}, { onEvent: begun.resolve });
    assertEquals(await begun.promise, "begun");
    client[Symbol.dispose]();
    await assertRejects(() => request, AppError, "it has ended");
    await eventually(() => ended > before || null);
    assertEquals(ended, before + 1);
  });
});

hostTest(
  "request() throws what the instance says, and when it does not answer in time",
  async () => {
    await withServer(async () => {
      using client = await ControlClient.connect(INTERFACE);
      await assertRejects(() => client.request("fail"), AppError, "Cannot do it: it is a test");
      const late = client.request("forever", {}, { timeout: 20 });
      await assertRejects(() => late, AppError, 'no answer to "forever" within 0.02 s');
    });
  },
);

hostTest("request() throws when the instance ends", async () => {
  let late: Promise<unknown> = Promise.resolve();
  let client: ControlClient | undefined;
  await withServer(async () => {
    client = await ControlClient.connect(INTERFACE);
    late = client.request("forever");
    late.catch(() => {});
    await client.request("count", { to: 0 }, { timeout: 20 }).catch(() => {});
  });
  await assertRejects(() => late, AppError, "it has ended");
  await assertRejects(() => client!.request("echo"), AppError, "it has ended");
});

hostTest("a control socket whose process was out of descriptors once is heard again", async () => {
  const libc = openLibc();
  await withServer(async (path) => {
    const fd = listeningSocket(libc, path)!;
    // Until the kernel has a connection that the runtime has tried in vain to accept.
    await eventually(async () => {
      {
        using _shortage = new DescriptorShortage(libc, 1);
        const waiting = connect(path);
        waiting.on("error", () => {});
        waiting.on("connect", () => waiting.destroy());
        for (let turn = 0; turn < 50; turn++) {
          await new Promise((resolve) => setTimeout(resolve, 0));
        }
      }
      for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
      return hasWaiting(libc, fd) || null;
    }, { what: "the socket to be deaf" });
    using client = await ControlClient.connect(INTERFACE);
    const answer = client.request("echo", { a: 1 }).catch(async () => {
      // It was one of those that waited.
      using other = await ControlClient.connect(INTERFACE);
      return await other.request("echo", { a: 1 });
    });
    assertEquals(await answer, { a: 1 });
    assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
  });
});

hostTest("a socket that a dead process left is taken over", async () => {
  const path = `${journalDirectory()}/${INTERFACE}.sock`;
  await withServer(async () => {});
  leaveSocket(path);
  assert(Deno.lstatSync(path).isSocket);
  await withServer((taken) => {
    assertEquals(taken, path);
    return Promise.resolve();
  });
});

hostTest("what is no socket, and one that somebody listens on, stay as they are", async () => {
  const path = `${journalDirectory()}/${INTERFACE}.sock`;
  await withServer(async () => {});
  const other = `${journalDirectory()}/${INTERFACE}-${Deno.pid}.sock`;
  Deno.writeTextFileSync(path, "mine");
  await withServer((taken) => {
    assertEquals(taken, other);
    return Promise.resolve();
  });
  assertEquals(Deno.readTextFileSync(path), "mine");
  Deno.removeSync(path);
  {
    using _listener = Deno.listen({ transport: "unix", path });
    await withServer((taken) => {
      assertEquals(taken, other);
      return Promise.resolve();
    });
    assert(Deno.lstatSync(path).isSocket);
  }
});

/** Leaves the file of a socket that nobody listens on, as a process does that is killed. */
function leaveSocket(path: string): void {
  const { symbols } = openLibc();
  const name = cString(path);
  const address = new Uint8Array([1, 0, ...name]);
  const fd = symbols.socket(1, 1, 0);
  assertEquals(symbols.bind(fd, address, address.length), 0);
  symbols.close(fd);
}

/** Connections that say nothing, or only a part of a request. */
async function silent(path: string, count: number): Promise<Deno.UnixConn[]> {
  const connections: Deno.UnixConn[] = [];
  for (let i = 0; i < count; i++) {
    const connection = await Deno.connect({ transport: "unix", path });
    if (i % 2 === 0) await connection.write(new TextEncoder().encode('{"id":1,'));
    connections.push(connection);
  }
  return connections;
}

/** Waits for the end of a connection. */
async function untilClosed(connection: Deno.UnixConn): Promise<void> {
  const buffer = new Uint8Array(1024);
  try {
    while (await connection.read(buffer) !== null);
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
  }
}

hostTest(
  "connections that ask nothing do not shut out who does: the oldest of them is closed",
  async () => {
    await withServer(async (path) => {
      const connections = await silent(path, 32);
      const asking = await ControlClient.connect(INTERFACE);
      let begun = false;
      const going = asking.request("forever", {}, { onEvent: () => begun = true });
      // Who is being answered is never the one to go.
      for (let i = 0; i < 40; i++) {
        using client = await ControlClient.connect(INTERFACE);
        assertEquals(await client.request("echo", { i }), { i });
        connections.push(...await silent(path, 1));
      }
      await untilClosed(connections[0]!);
      assert(begun);
      asking.end();
      await going;
      asking[Symbol.dispose]();
      for (const connection of connections) connection.close();
    });
  },
);

hostTest(
  "a connection is closed that asks nothing for half a minute, or does not read its answer",
  async () => {
    const realSetTimeout = globalThis.setTimeout;
    // For tests to be quick, only the limits of connections come sooner.
    globalThis.setTimeout =
      ((handler: () => void, ms?: number) =>
        realSetTimeout(handler, ms === 30_000 ? 100 : ms)) as typeof setTimeout;
    try {
      await withServer(async (path) => {
        const [nothing, part] = await silent(path, 2);
        await untilClosed(nothing!);
        await untilClosed(part!);
        const deaf = await Deno.connect({ transport: "unix", path });
        await deaf.write(
          new TextEncoder().encode('{"id":1,"method":"count","params":{"to":300000}}\n'),
        );
        // It is closed though it has not read anything: what is written then has nowhere to go (EPIPE).
        await eventually(() => deaf.write(Uint8Array.of(32)).then(() => null, () => true));
        for (const connection of [nothing!, part!, deaf]) connection.close();
      });
    } finally {
      globalThis.setTimeout = realSetTimeout;
    }
  },
);

hostTest(
  "a control socket whose file is removed is put back, and its connections go on",
  async () => {
    await withServer(async (path, journal) => {
      using before = await ControlClient.connect(findInstance(INTERFACE));
      assertEquals(journal.fixtures.flatMap((fixture) => fixture.missing()), []);
      Deno.removeSync(path);
      const lost = journal.fixtures.filter((fixture) => fixture.missing().length > 0);
      assertEquals(lost.flatMap((fixture) => fixture.missing()), [`socket ${path}`]);
      for (const fixture of lost) fixture.putBack([]);
      assertEquals(journal.fixtures.flatMap((fixture) => fixture.missing()), []);
      assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
      using after = await ControlClient.connect(findInstance(INTERFACE));
      assertEquals(await after.request("echo", { a: 1 }), { a: 1 });
      assertEquals(await before.request("echo", { b: 2 }), { b: 2 });
    });
  },
);

hostTest("what another has put in the place of a control socket is left alone", async () => {
  await withServer((path, journal) => {
    Deno.removeSync(path);
    Deno.writeTextFileSync(path, "another's");
    assertEquals(journal.fixtures.flatMap((fixture) => fixture.missing()), []);
    assertEquals(Deno.readTextFileSync(path), "another's");
    Deno.removeSync(path);
    return Promise.resolve();
  });
});
