/** Tests the live feed: what its listeners are told, and that none of them costs more than a bounded amount. */
import { LiveFeed } from "../../../../lib/console/gateway/live_feed.ts";
import { SHAPES } from "../../../../lib/console/api/shapes.ts";
import { mistakeIn } from "../../../../lib/console/api/schema.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { eventOf, FakeGateway, keyOf } from "../../../support/console/fake_gateway.ts";
import { ConsoleFixture } from "../../../support/console/console_fixture.ts";
import { hostTest } from "../../../support/permissions.ts";
import { FakeTimers } from "../../../support/time/fake_timers.ts";

/** Reads a stream's events. */
class Listener {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #text = "";
  isOver = false;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  /** The next one, without lines that say nothing. */
  async next(): Promise<{ event: string; data: unknown } | null> {
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end < 0) {
        const { value, done } = await this.#reader.read();
        if (done) {
          this.isOver = true;
          return null;
        }
        this.#text += new TextDecoder().decode(value);
        continue;
      }
      const block = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 2);
      const [, event, data] = /^event: (\w+)\ndata: (.*)$/.exec(block) ?? [];
      if (event === undefined) continue;
      const parsed = JSON.parse(data!);
      assertEquals(mistakeIn(parsed, SHAPES.LiveEvent), null, block);
      return { event, data: parsed };
    }
  }

  async leave(): Promise<void> {
    await this.#reader.cancel();
  }
}

const always = () => true;

Deno.test("a listener is told everything first, and then what has changed, by the peer", async () => {
  using timers = new FakeTimers();
  const gateway = new FakeGateway();
  using feed = new LiveFeed(gateway);
  const listener = new Listener(feed.open("root", always));
  const first = await listener.next();
  assertEquals(first?.event, "status");
  gateway.figures.set(keyOf(2), { received: 100, isUp: true });
  await timers.advance(1_000);
  gateway.peers.shift();
  await timers.advance(1_000);
  const peers = { [keyOf(2)]: { received: 100, isUp: true } };
  const update = await listener.next();
  const { time, ...rest } = update!.data as { time: string };
  assert(Date.parse(time) > 0);
  assertEquals({ ...update, data: rest }, { event: "update", data: { peers } });
  const { time: _, ...gone } = (await listener.next())!.data as { time: string };
  assertEquals(gone, { removed: [keyOf(1)] } as unknown);
});

Deno.test("a gateway is asked once a second for all listeners, and not while there are none", async () => {
  using timers = new FakeTimers();
  const gateway = new FakeGateway();
  using feed = new LiveFeed(gateway);
  const listeners = Array.from({ length: 5 }, () => new Listener(feed.open("root", always)));
  await timers.advance(3_000);
  assertEquals(gateway.asked.length, 4);
  for (const listener of listeners) await listener.leave();
  await timers.advance(10_000);
  assertEquals([gateway.asked.length, timers.size], [4, 0]);
});

Deno.test("who does not read is told everything again later, and nothing waits for him meanwhile", async () => {
  using timers = new FakeTimers();
  const gateway = new FakeGateway();
  using feed = new LiveFeed(gateway);
  const listener = new Listener(feed.open("root", always));
  for (let second = 1; second <= 100; second++) {
    gateway.figures.set(keyOf(1), { received: second });
    await timers.advance(1_000);
  }
  let received = 0;
  let updates = 0;
  for (let found = await listener.next(); found?.event !== "end" && updates < 6; updates++) {
    const { peers = {} } = found!.data as { peers?: Record<string, { received: number }> };
    received = peers[keyOf(1)]?.received ?? 0;
    found = await listener.next();
  }
  assert(received < 10, "what waited is from the first seconds");
  gateway.figures.set(keyOf(1), { received: 101 });
  await timers.advance(1_000);
  const caughtUp = await listener.next();
  assertEquals(caughtUp?.event, "status");
  const { peers } = caughtUp!.data as { peers: { publicKey: string; received: number }[] };
  assertEquals(peers.find(({ publicKey }) => publicKey === keyOf(1))?.received, 101);
});

Deno.test("that the gateway does not answer is told once, and everything when it does again", async () => {
  using timers = new FakeTimers();
  const gateway = new FakeGateway();
  using feed = new LiveFeed(gateway);
  const listener = new Listener(feed.open("root", always));
  await listener.next();
  gateway.isReachable = false;
  await timers.advance(5_000);
  gateway.isReachable = true;
  await timers.advance(1_000);
  const [lost, found] = [await listener.next(), await listener.next()];
  assertEquals(lost, {
    event: "gateway",
    data: { isReachable: false, detail: "Cannot reach vpn0" },
  });
  assertEquals(found?.event, "status");
});

Deno.test("the gateway's events are told as they come, until nobody listens", async () => {
  using timers = new FakeTimers();
  const gateway = new FakeGateway();
  using feed = new LiveFeed(gateway);
  const listener = new Listener(feed.open("root", always));
  await listener.next();
  await timers.advance(0);
  assert(gateway.isFollowed);
  gateway.tell({ ...eventOf(7), detail: "a\nevent: status\ndata: {}\n\n" });
  const told = await listener.next();
  assertEquals(told?.event, "events");
  const [{ id, detail }] = told!.data as [{ id: number; detail: string }];
  assertEquals([id, detail], [7, "a\nevent: status\ndata: {}\n\n"]);
});

Deno.test("who may no longer know is told so, and nothing more", async () => {
  using timers = new FakeTimers();
  let isAllowed = true;
  const gateway = new FakeGateway();
  using feed = new LiveFeed(gateway);
  const listener = new Listener(feed.open("root", () => isAllowed));
  await listener.next();
  isAllowed = false;
  gateway.figures.set(keyOf(1), { received: 1 });
  await timers.advance(1_000);
  assertEquals(await listener.next(), { event: "end", data: { reason: "session" } });
  assertEquals([await listener.next(), listener.isOver, feed.listeners], [null, true, 0]);
});

Deno.test("of more than so many listeners, the account with most loses its oldest: no other is kept out", async () => {
  using timers = new FakeTimers();
  using feed = new LiveFeed(new FakeGateway());
  const admin = new Listener(feed.open("root", always));
  const flood = Array.from({ length: 200 }, () => new Listener(feed.open("vera", always)));
  const late = new Listener(feed.open("anna", always));
  await timers.advance(0);
  assertEquals(feed.listeners, 128);
  assertEquals([(await admin.next())?.event, (await late.next())?.event], ["status", "status"]);
  assertEquals(await flood[0]!.next(), null);
  assertEquals((await flood.at(-1)!.next())?.event, "status");
});

Deno.test("what waits for those who do not read is there once, however many they are", async () => {
  using timers = new FakeTimers();
  using feed = new LiveFeed(new FakeGateway());
  const readers = Array.from({ length: 3 }, () => feed.open("root", always).getReader());
  await timers.advance(0);
  const chunks = await Promise.all(readers.map(async (reader) => {
    await reader.read();
    return (await reader.read()).value;
  }));
  assertEquals(new Set(chunks).size, 1);
});

hostTest(
  "GET /live is such a stream, ends with its session, and lets go of who leaves",
  async () => {
    await using fixture = await ConsoleFixture.open();
    const admin = await fixture.admin();
    const url = `${fixture.origin}/api/v1/live`;
    const stranger = await fetch(url);
    await stranger.body!.cancel();
    assertEquals(stranger.status, 401);
    const head = await fetch(url, { method: "HEAD", headers: { Cookie: admin.cookie! } });
    assertEquals([head.status, head.headers.get("content-type")], [200, "text/event-stream"]);
    assertEquals(fixture.gateway.asked, [], "nobody would read what is told");
    const open = () => fetch(url, { headers: { Cookie: admin.cookie! } });
    const response = await open();
    assertEquals(response.headers.get("content-type"), "text/event-stream");
    const listener = new Listener(response.body!);
    assertEquals((await listener.next())?.event, "status");
    const left = await open();
    await left.body!.cancel();
    await admin.ask("DELETE", "/session");
    for (let found = await listener.next(); found !== null; found = await listener.next()) {
      if (found.event === "end") assertEquals(found.data, { reason: "session" } as unknown);
    }
    assertEquals(fixture.faults, []);
  },
);
