/** Tests what strangers cannot do to the listener: hold it, fill it, or have it read what a proxy reads otherwise. */
import {
  connectionsWithin,
  Listener,
  type ListenerOptions,
  MAX_BODY,
} from "../../../../lib/console/http/listener.ts";
import { MAX_UNSENT } from "../../../../lib/console/http/unsent_bytes.ts";
import { AppError, ExitCode } from "../../../../lib/process/errors.ts";
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";
import { isInstalled } from "../../../support/net.ts";
import { eventually, PATIENCE } from "../../../support/time/patience.ts";

/** ms; as short as a busy machine allows who is in time. */
const TIMES = { handshake: 1_000, headers: 1_000, request: 1_500, idle: 1_500 };
const ADDRESS = "127.0.0.1";

function open(
  answer: ListenerOptions["answer"] = (request) =>
    Promise.resolve(new Response(`${request.method} ${request.url}`)),
  times = TIMES,
): Promise<Listener> {
  return Listener.open({ address: ADDRESS, port: 0, tls: null, times, answer });
}

async function readAll(connection: Deno.Conn): Promise<string> {
  // One that is closed by force has nothing more to say.
  return await new Response(connection.readable).text().catch(() => "");
}

/** Sends bytes, and gives back what is answered until the other end closes. */
async function exchange({ port }: Listener, text: string): Promise<string> {
  using connection = await Deno.connect({ hostname: ADDRESS, port });
  await connection.write(new TextEncoder().encode(text));
  return await readAll(connection);
}

function get(path: string, headers = ""): string {
  return `GET ${path} HTTP/1.1\r\nHost: ${ADDRESS}\r\n${headers}Connection: close\r\n\r\n`;
}

hostTest(
  "a request is answered with its method and address, and a body of it is handed on",
  async () => {
    await using listener = await open(async (request, source) => {
      return new Response(`${request.url} ${await request.text()} ${source}`, {
        status: 201,
        headers: [["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"], ["X-Test", "yes"]],
      });
    });
    const response = await fetch(`http://${ADDRESS}:${listener.port}/x?y=1`, {
      method: "POST",
      body: "hello",
    });
    assertEquals(
      await response.text(),
      `http://${ADDRESS}:${listener.port}/x?y=1 hello ${ADDRESS}`,
    );
    assertEquals([response.status, response.headers.get("x-test")], [201, "yes"]);
    assertEquals(response.headers.getSetCookie(), ["a=1", "b=2"]);
  },
);

hostTest("who sends nothing, or headers or a body too slowly, is closed", async () => {
  await using listener = await open();
  const head = `POST / HTTP/1.1\r\nHost: ${ADDRESS}\r\n`;
  const slow = [
    "",
    "G",
    head,
    `${head}Content-Length: 10\r\n\r\nhalf`,
    `${head}Transfer-Encoding: chunked\r\n\r\n5\r\nha`,
  ];
  const answers = await Promise.all(slow.map((text) => exchange(listener, text)));
  for (const answer of answers) assert(!answer.includes(" 200 "), answer);
});

hostTest("who trickles a header, a byte at a time, gains no time by it", async () => {
  await using listener = await open();
  using connection = await Deno.connect({ hostname: ADDRESS, port: listener.port });
  const closed = readAll(connection);
  let isClosed = false;
  closed.finally(() => isClosed = true);
  await connection.write(new TextEncoder().encode(`GET / HTTP/1.1\r\nHost: ${ADDRESS}\r\nX: `));
  await eventually(async () => {
    await connection.write(new Uint8Array([0x61])).catch(() => {});
    return isClosed || null;
  }, { interval: 50 });
});

hostTest("who does not read the answer is closed, and the answer's source is told", async () => {
  const { promise: cancelled, resolve } = Promise.withResolvers<void>();
  const chunk = new Uint8Array(1 << 20);
  await using listener = await open(() =>
    Promise.resolve(
      new Response(
        new ReadableStream({
          pull: (controller) => controller.enqueue(chunk),
          cancel: () => resolve(),
        }),
      ),
    )
  );
  using connection = await Deno.connect({ hostname: ADDRESS, port: listener.port });
  await connection.write(new TextEncoder().encode(get("/")));
  await cancelled;
});

hostTest(
  "answers that nobody reads are held up to a size: of who has most, the oldest ends",
  async () => {
    const times = { handshake: PATIENCE, headers: PATIENCE, request: PATIENCE, idle: PATIENCE };
    // More than the kernel takes of one.
    const size = 16 << 20;
    const most = MAX_UNSENT / size;
    let asked = 0;
    await using listener = await open(() => {
      asked++;
      return Promise.resolve(new Response("x".repeat(size)));
    }, times);
    const { port } = listener;
    const greedy: Deno.Conn[] = [];
    for (let i = 0; i < 2 * most; i++) {
      const connection = await Deno.connect({ hostname: ADDRESS, port });
      await connection.write(new TextEncoder().encode(get("/")));
      greedy.push(connection);
      await eventually(() => asked > i);
    }
    const other = await fetchFrom("127.0.0.77", port);
    assert(other.length > size, `${other.length} bytes for somebody else`);
    const lengths = await Promise.all(greedy.map(async (each) => (await readAll(each)).length));
    const whole = lengths.filter((length) => length > size).length;
    assert(whole > 0 && whole <= most, `${whole} of ${greedy.length} answers came whole`);
  },
);

hostTest(
  "who sends requests without waiting for answers has two of them worked on at most",
  async () => {
    let begun = 0;
    const { promise: held, resolve } = Promise.withResolvers<void>();
    await using listener = await open(async () => {
      begun++;
      await held;
      return new Response("answered");
    });
    const answer = await exchange(
      listener,
      get("/", "X: 1\r\n").replace("close", "keep-alive").repeat(500),
    );
    assertEquals([answer, begun], ["", 2]);
    resolve();
  },
);

hostTest(
  "a connection is used again for as many requests as come one after the other",
  async () => {
    await using listener = await open();
    using connection = await Deno.connect({ hostname: ADDRESS, port: listener.port });
    const request = new TextEncoder().encode(`GET /again HTTP/1.1\r\nHost: ${ADDRESS}\r\n\r\n`);
    const buffer = new Uint8Array(4_096);
    for (let i = 0; i < 300; i++) {
      await connection.write(request);
      for (let text = ""; !text.includes("0\r\n\r\n");) {
        const length = await connection.read(buffer);
        assert(length !== null, `closed after ${i}`);
        text += new TextDecoder().decode(buffer.subarray(0, length));
      }
    }
  },
);

hostTest("who leaves before there is an answer is not waited for", async () => {
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const { promise: cancelled, resolve } = Promise.withResolvers<void>();
  await using listener = await open(async (request) => {
    begin();
    await new Promise((gone) => request.signal.addEventListener("abort", gone));
    return new Response(new ReadableStream({ cancel: () => resolve() }));
  });
  const connection = await Deno.connect({ hostname: ADDRESS, port: listener.port });
  await connection.write(new TextEncoder().encode(get("/")));
  await begun;
  connection.close();
  await cancelled;
});

hostTest("a body that is too long is refused, whether or not it says so before", async () => {
  let calls = 0;
  await using listener = await open(() => Promise.resolve(new Response(`${++calls}`)));
  const head = `POST / HTTP/1.1\r\nHost: ${ADDRESS}\r\n`;
  const long = "x".repeat(MAX_BODY + 1);
  assertStringIncludes(
    await exchange(listener, `${head}Content-Length: ${MAX_BODY + 1}\r\n\r\n`),
    " 413 ",
  );
  const chunked = `${head}Transfer-Encoding: chunked\r\n\r\n${
    long.length.toString(16)
  }\r\n${long}\r\n`;
  assertStringIncludes(await exchange(listener, chunked), " 413 ");
  assertEquals(calls, 0);
});

hostTest(
  "a body that comes byte by byte is taken up to 1,024 of them, then the connection ends",
  async () => {
    let begun = 0;
    await using listener = await open(async (request) => {
      begun++;
      return new Response(`${(await request.arrayBuffer()).byteLength} bytes`);
    });
    const head = `POST / HTTP/1.1\r\nHost: ${ADDRESS}\r\nConnection: close\r\n`;
    const send = (pieces: number) =>
      exchange(
        listener,
        `${head}Transfer-Encoding: chunked\r\n\r\n${"1\r\na\r\n".repeat(pieces)}0\r\n\r\n`,
      );
    assert((await send(1_000)).includes("1000 bytes"));
    // Its end may meet the client in the middle of a write.
    assertEquals([await send(60_000).catch(() => ""), begun], ["", 1]);
  },
);

hostTest(
  "what a proxy may read otherwise than this end, or is none of HTTP's, is refused",
  async () => {
    const asked: string[] = [];
    await using listener = await open((request) => {
      asked.push(request.url);
      return Promise.resolve(new Response("answered"));
    });
    const host = `Host: ${ADDRESS}\r\n`;
    const refused = [
      "GET / HTTP/1.1\r\n\r\n",
      `GET / HTTP/1.1\r\n${host}${host}Connection: close\r\n\r\n`,
      `GET / HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n`,
      `GET / HTTP/1.1\r\nHost: evil.example/x?\r\nConnection: close\r\n\r\n`,
      `GET / HTTP/1.1\r\nHost: ${ADDRESS}:99999\r\nConnection: close\r\n\r\n`,
      `GET http://evil.example/ HTTP/1.1\r\n${host}Connection: close\r\n\r\n`,
      `POST / HTTP/1.1\r\n${host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n${host}\r\n`,
      `POST / HTTP/1.1\r\n${host}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`,
      `GET / HTTP/1.1\r\n${host}X: a\nY: b\r\n\r\n`,
      `GET / HTTP/1.1\r\n${host}X : a\r\n\r\n`,
      `GET / HTTP/1.1\r\n${host}X: ${"x".repeat(20_000)}\r\n\r\n`,
      // Each costs the more, the more there are.
      `GET / HTTP/1.1\r\n${host}${"X:\r\n".repeat(200)}\r\n`,
      `TRACE / HTTP/1.1\r\n${host}Connection: close\r\n\r\n`,
      `OPTIONS / HTTP/1.1\r\n${host}Connection: close\r\n\r\n`,
      `CONNECT evil.example:443 HTTP/1.1\r\n${host}Connection: close\r\n\r\n`,
      "\x16\x03\x01\r\n\r\n",
    ];
    for (const text of refused) {
      const answer = await exchange(listener, text);
      assert(!answer.includes("answered"), `${JSON.stringify(text)}: ${answer}`);
    }
    assertEquals(asked, []);
  },
);

hostTest("a path stands for itself: it cannot name another host", async () => {
  await using listener = await open();
  assertStringIncludes(
    await exchange(listener, get("//evil.example/x")),
    `http://${ADDRESS}//evil.example/x`,
  );
});

hostTest(
  "ten thousand connections from one address hold a bounded part of the console, and keep nobody out",
  async () => {
    // Nothing but the bound closes them.
    const times = { handshake: PATIENCE, headers: PATIENCE, request: PATIENCE, idle: PATIENCE };
    await using listener = await open(undefined, times);
    const { port } = listener;
    const held: Deno.Conn[] = [];
    for (let count = 0; count < 10_000; count += 200) {
      const attempts = Array.from({ length: 200 }, () => Deno.connect({ hostname: ADDRESS, port }));
      for (const attempt of await Promise.allSettled(attempts)) {
        if (attempt.status === "fulfilled") held.push(attempt.value);
      }
      // All but the newest have lost their places by now.
      for (const connection of held.splice(0, Math.max(0, held.length - 1_200))) {
        assertEquals(await readAll(connection), "");
      }
      if (count % 2_000 !== 0) continue;
      // From another address of loopback's network.
      assertStringIncludes(await fetchFrom("127.0.0.77", port), "GET http://");
    }
    for (const connection of held) connection.close();
  },
);

/** As another host would ask. */
async function fetchFrom(source: string, port: number): Promise<string> {
  const { connect } = await import("node:net");
  const socket = connect({ host: ADDRESS, port, localAddress: source });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let text = "";
  socket.setEncoding("utf8");
  socket.on("data", (part) => text += part);
  socket.on("end", () => resolve(text));
  socket.on("error", reject);
  socket.write(get("/"));
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}

Deno.test("connections leave descriptors for all else", () => {
  const limits = (soft: string) =>
    `Limit                     Soft Limit           Hard Limit           Units     \n` +
    `Max open files            ${soft.padEnd(20)} 524288               files     \n`;
  const room = ["524288", "1024", "256", "64", "unlimited"].map((soft) =>
    connectionsWithin(limits(soft))
  );
  assertEquals(room, [1024, 480, 96, 8, 1024]);
});

hostTest("who has the port, and which address there is not, is said", async () => {
  await using listener = await open();
  const options = { tls: null, answer: () => Promise.resolve(new Response()) };
  const taken = await assertRejects(
    () => Listener.open({ address: ADDRESS, port: listener.port, ...options }),
    AppError,
    "choose another with --listen",
  );
  assertEquals(taken.exitCode, ExitCode.usage);
  await assertRejects(
    () => Listener.open({ address: "192.0.2.1", port: 0, ...options }),
    AppError,
    "no interface has that address",
  );
});

/** A certificate for loopback, made by who is asked for it. */
function certificate(folder: string): { readonly cert: string; readonly key: string } {
  const [cert, key] = [`${folder}/cert.pem`, `${folder}/key.pem`];
  const { success } = new Deno.Command("openssl", {
    args: [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
      ...["-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost"],
      ...["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
      ...["-addext", "basicConstraints=critical,CA:FALSE"],
    ],
    stderr: "null",
  }).outputSync();
  assert(success, "openssl makes no certificate");
  return { cert: Deno.readTextFileSync(cert), key: Deno.readTextFileSync(key) };
}

const missing = isInstalled("openssl") ? "" : " (ignored: it needs openssl)";

hostTest({
  name:
    `with TLS, requests are of https, and who does not begin it, or falls silent, is closed${missing}`,
  ignore: missing !== "",
  fn: async () => {
    const folder = temporaryFolder();
    const tls = certificate(folder);
    const answer = (request: Request) => Promise.resolve(new Response(request.url));
    await using listener = await Listener.open({
      address: ADDRESS,
      port: 0,
      tls,
      times: TIMES,
      answer,
    });
    using client = Deno.createHttpClient({ caCerts: [tls.cert] });
    const url = `https://${ADDRESS}:${listener.port}/x`;
    assertEquals(await (await fetch(url, { client })).text(), url);
    assertEquals(await exchange(listener, ""), "");
    assert(!(await exchange(listener, get("/"))).includes("https://"), "it is plain HTTP");
    using connection = await Deno.connectTls({
      hostname: ADDRESS,
      port: listener.port,
      caCerts: [tls.cert],
    });
    await connection.write(new TextEncoder().encode("GET / HTTP/1.1\r\n"));
    assertEquals(await readAll(connection), "");
  },
});
