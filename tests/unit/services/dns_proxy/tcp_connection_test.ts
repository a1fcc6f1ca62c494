/** Tests of how long a DNS connection over TCP may be idle, on a clock of the test's. */
import { DnsConnection } from "../../../../lib/services/dns_proxy/tcp_service.ts";
import { assertEquals } from "../../../support/assert.ts";
import { FakeTimers } from "../../../support/time/fake_timers.ts";

/** The client's end of a connection. */
class ClientEnd {
  isClosed = false;
  answers = 0;
  #queries: (Uint8Array | null)[] = [];
  #onQuery: () => void = () => {};

  /** Sends a query of one byte, framed. */
  ask(): void {
    this.#queries.push(Uint8Array.of(0, 1), Uint8Array.of(7));
    this.#onQuery();
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    while (this.#queries.length === 0) {
      if (this.isClosed) return null;
      await new Promise<void>((resolve) => this.#onQuery = resolve);
    }
    const bytes = this.#queries.shift()!;
    if (bytes === null) return null;
    buffer.set(bytes);
    return bytes.length;
  }

  write(bytes: Uint8Array): Promise<number> {
    this.answers++;
    return Promise.resolve(bytes.length);
  }

  close(): void {
    this.isClosed = true;
    this.#onQuery();
  }
}

function serve(answerAfter: number) {
  const end = new ClientEnd();
  const connection = new DnsConnection(end, {
    answer: (query) => new Promise((resolve) => setTimeout(() => resolve(query), answerAfter)),
    onError: (error) => {
      throw error;
    },
  });
  return { end, served: connection.serve() };
}

Deno.test("a connection's idle time begins with the last answer, not with the query", async () => {
  using timers = new FakeTimers();
  const { end, served } = serve(9_900);
  end.ask();
  await timers.advance(9_900);
  assertEquals([end.answers, end.isClosed], [1, false]);
  await timers.advance(9_900);
  assertEquals(end.isClosed, false);
  end.ask();
  await timers.advance(9_900);
  assertEquals([end.answers, end.isClosed], [2, false]);
  await timers.advance(9_999);
  assertEquals(end.isClosed, false);
  await timers.advance(1);
  assertEquals(end.isClosed, true);
  await served;
  assertEquals(timers.size, 0);
});

Deno.test("a connection stays open while an answer is due, and closes 10 s after it", async () => {
  using timers = new FakeTimers();
  const { end, served } = serve(25_000);
  end.ask();
  await timers.advance(25_000);
  assertEquals([end.answers, end.isClosed], [1, false]);
  await timers.advance(10_000);
  assertEquals(end.isClosed, true);
  await served;
});

Deno.test("a connection without a query closes after 10 s", async () => {
  using timers = new FakeTimers();
  const { end, served } = serve(0);
  await timers.advance(9_999);
  assertEquals(end.isClosed, false);
  await timers.advance(1);
  assertEquals(end.isClosed, true);
  await served;
});
