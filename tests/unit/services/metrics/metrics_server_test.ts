/** Tests the HTTP service of metrics on loopback: what it answers, and what strangers cannot do to it. */
import { AppError, ExitCode } from "../../../../lib/process/errors.ts";
import { MetricsServer } from "../../../../lib/services/metrics/metrics_server.ts";
import { formatIpv4 } from "../../../../lib/core/wire/ipv4_text.ts";
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "../../../support/assert.ts";
import { mutateText } from "../../../support/source/grammar.ts";
import { Random } from "../../../support/random.ts";
import { SEED } from "../../../run/seed.ts";
import { eventually } from "../../../support/time/patience.ts";
import { hostTest } from "../../../support/permissions.ts";

const PORT = 9586;
/** Of loopback's network, one that no other process of these tests takes. */
const ADDRESS = 0x7f000000 + (Deno.pid & 0xfffff) * 8 + 1;
const HOST = formatIpv4(ADDRESS);
const REQUEST = `GET /metrics HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`;
const TYPE = "text/plain; version=0.0.4; charset=utf-8";

function open(read = () => Promise.resolve("vpn_up 1\n")): Promise<MetricsServer> {
  return MetricsServer.open({
    listen: { address: ADDRESS, port: PORT },
    read: async () => [await read()],
  });
}

async function get(path: string, init: RequestInit = {}) {
  const response = await fetch(`http://${HOST}:${PORT}${path}`, {
    ...init,
    headers: { Connection: "close" },
  });
  const { status, headers } = response;
  return { status, headers, text: await response.text() };
}

/** Sends bytes and gives back what is answered until the other end closes. */
async function exchange(text: string): Promise<string> {
  using connection = await Deno.connect({ hostname: HOST, port: PORT });
  await connection.write(new TextEncoder().encode(text));
  return await new Response(connection.readable).text();
}

hostTest("MetricsServer answers GET /metrics with the text, whatever its query", async () => {
  using _server = await open();
  for (const path of ["/metrics", "/metrics?name=vpn_up"]) {
    const { status, headers, text } = await get(path);
    assertEquals([status, headers.get("content-type"), text], [200, TYPE, "vpn_up 1\n"]);
  }
});

hostTest("MetricsServer answers 404 for other paths and 405 for other methods", async () => {
  let reads = 0;
  using _server = await open(() => Promise.resolve(`${reads++}\n`));
  for (const path of ["/", "/metrics/", "/Metrics", "/metricsx", "//metrics", "/x?/metrics"]) {
    const { status, text } = await get(path);
    assertEquals([path, status, text], [path, 404, "Metrics are served at /metrics\n"]);
  }
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"]) {
    const { status, headers } = await get("/metrics", { method });
    assertEquals([method, status, headers.get("allow")], [method, 405, "GET"]);
  }
  assertEquals(reads, 0);
});

hostTest("MetricsServer answers 503 when there is nothing to be read", async () => {
  using _server = await open(() => Promise.reject(new Error("the data plane is gone")));
  const { status, text } = await get("/metrics");
  assertEquals([status, text], [503, "The data plane does not answer\n"]);
});

hostTest("MetricsServer survives what is not HTTP, and who leaves before the answer", async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  using _server = await open(() => promise);
  assertStringIncludes(await exchange("\x16\x03\x01 is TLS\r\n\r\n"), "400");
  using left = await Deno.connect({ hostname: HOST, port: PORT });
  await left.write(new TextEncoder().encode(REQUEST));
  left.close();
  resolve("vpn_up 1\n");
  assertEquals((await get("/metrics")).status, 200);
});

hostTest(
  "MetricsServer makes metrics twice at most for who asks without waiting for answers",
  async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    let reads = 0;
    using _server = await open(() => {
      reads++;
      return promise;
    });
    using hasty = await Deno.connect({ hostname: HOST, port: PORT });
    await hasty.write(new TextEncoder().encode(REQUEST.repeat(500)));
    assertEquals(await new Response(hasty.readable).text().catch(() => ""), "");
    assertEquals(reads, 2);
    resolve("vpn_up 1\n");
    assertEquals((await get("/metrics")).status, 200);
  },
);

hostTest(
  "MetricsServer goes on whatever a request says, and shows metrics to GET only",
  async () => {
    using _server = await open();
    const random = new Random(SEED);
    let [shown, refused] = [0, 0];
    const request = async () => {
      const text = mutateText(random, REQUEST, 4);
      using connection = await Deno.connect({ hostname: HOST, port: PORT });
      await connection.write(new TextEncoder().encode(text));
      await connection.closeWrite();
      const answer = await new Response(connection.readable).text().catch(() => "");
      if (answer.startsWith("HTTP/1.1 200 ")) {
        shown++;
        assertStringIncludes(text, "GET");
      } else refused++;
    };
    for (let round = 0; round < 25; round++) {
      await Promise.all(Array.from({ length: 8 }, request));
    }
    assert(shown > 0 && refused > 0, `${shown} shown, ${refused} refused`);
    assertEquals((await get("/metrics")).status, 200);
  },
);

hostTest(
  "MetricsServer holds sixteen connections at most, and none for long that does nothing",
  async () => {
    const long = "#".repeat(30_000_000);
    let reads = 0;
    using _server = await open(() => Promise.resolve(reads++ < 4 ? long : ""));
    const connections: Deno.TcpConn[] = [];
    for (let i = 0; i < 40; i++) {
      connections.push(
        await Deno.connect({ hostname: HOST, port: PORT }),
      );
    }
    // Of who connected first, all are closed for who came later; of the others,
    // four leave their answer unread, six stop in the midst of a request, one dawdles, all others say nothing at all.
    for (const [i, connection] of connections.slice(-11).entries()) {
      const text = i < 4 ? REQUEST : REQUEST.slice(0, -5);
      await connection.write(new TextEncoder().encode(text));
    }
    const unread = connections.slice(-11, -7);
    const dawdler = connections.at(-1)!;
    const dawdle = setInterval(() => void dawdler.write(Uint8Array.of(65)).catch(() => {}), 500);
    /** Places of the connections that were closed, in that order. */
    const closed: number[] = [];
    await Promise.all(
      [...connections.entries()].filter(([, each]) => !unread.includes(each)).map(
        async ([place, connection]) => {
          await new Response(connection.readable).text().catch(() => {});
          closed.push(place);
        },
      ),
    );
    clearInterval(dawdle);
    assertEquals(
      closed.slice(0, 24).sort((a, b) => a - b),
      Array.from({ length: 24 }, (_, place) => place),
    );
    // All sixteen are to be had again, once those with an answer have had their time twice.
    await eventually(async () => {
      const answers = await Promise.allSettled(Array.from({ length: 16 }, () => get("/metrics")));
      return answers.every(({ status }) => status === "fulfilled") || null;
    }, { interval: 500, what: "sixteen free connections" });
    for (const connection of unread) connection.close();
  },
);

hostTest(
  "MetricsServer.open() says who has the port, and which address does not exist",
  async () => {
    const usage = async (listen: { address: number; port: number }) => {
      const error = await assertRejects(
        () => MetricsServer.open({ listen, read: () => Promise.resolve([]) }),
        AppError,
      );
      assertEquals(error.exitCode, ExitCode.usage);
      return error.message;
    };
    using _server = await open();
    const other = await usage({ address: ADDRESS, port: PORT });
    assertStringIncludes(other, `Cannot serve metrics on ${HOST}:9586: "`);
    assertStringIncludes(
      other,
      `(process ${Deno.pid}) uses that port: stop it, or choose another port for Metrics`,
    );
    assertEquals(
      await usage({ address: 0xc0000299, port: PORT }),
      "Cannot serve metrics on 192.0.2.153:9586: no interface has that address: give Metrics an address of this host",
    );
  },
);

hostTest(
  "MetricsServer lets go of its port, and of who is connected, when it is disposed of",
  async () => {
    for (let round = 0; round < 2; round++) {
      const asked = Promise.withResolvers<void>();
      const server = await open(() => {
        asked.resolve();
        return new Promise(() => {});
      });
      using idle = await Deno.connect({ hostname: HOST, port: PORT });
      using waiting = await Deno.connect({ hostname: HOST, port: PORT });
      await waiting.write(new TextEncoder().encode(REQUEST));
      await asked.promise;
      server[Symbol.dispose]();
      for (const connection of [idle, waiting]) {
        assertEquals(await connection.read(new Uint8Array(1)), null);
      }
      await assertRejects(() => Deno.connect({ hostname: HOST, port: PORT }));
    }
  },
);

hostTest("an answer of many chunks comes whole, also to who reads it slowly", async () => {
  const chunks = Array.from({ length: 400 }, (_, i) => `${i}\n`.padStart(20_000, "."));
  using _server = await MetricsServer.open({
    listen: { address: ADDRESS, port: PORT },
    read: () => Promise.resolve(chunks),
  });
  const response = await fetch(`http://${HOST}:${PORT}/metrics`);
  let text = "";
  for await (const part of response.body!.pipeThrough(new TextDecoderStream())) {
    text += part;
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assertEquals(text, chunks.join(""));
});
