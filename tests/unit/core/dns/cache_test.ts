/** Tests of `lib/core/dns/cache.ts`: what is kept, for how long, and what makes room. */
import { DnsCache } from "../../../../lib/core/dns/cache.ts";
import { parse, type Parsed } from "../../../../lib/core/dns/message.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { FakeClock } from "../../../support/time/fake_clock.ts";
import { buildAnswer, buildQuery } from "../../../support/dns/messages.ts";

interface Kept {
  readonly answer: Uint8Array;
  readonly parsed: Parsed;
}

/** An answer to be kept for so many seconds, with so many bytes of data. */
function kept(timeToLive: number, size = 4): Kept {
  const data = new Array<number>(size).fill(0);
  const answer = buildAnswer(buildQuery(), { answers: [{ timeToLive, data }] });
  return { answer, parsed: parse(answer)! };
}

function store(
  cache: DnsCache,
  key: string,
  { answer, parsed }: Kept,
  now: number,
  client = "one",
): void {
  cache.store(key, answer, { parsed, client, now });
}

Deno.test("find() gives what was stored, and its age in whole seconds", () => {
  const cache = new DnsCache();
  const clock = new FakeClock();
  assertEquals(cache.find("a", clock.now), null);
  const entry = kept(60);
  store(cache, "a", entry, clock.now);
  assertEquals(cache.find("a", clock.now), { ...entry, age: 0 });
  assertEquals(cache.find("a", clock.advance(1_999))?.age, 1);
  assertEquals(cache.find("b", clock.now), null);
});

Deno.test("find() forgets an answer when its time to live is over", () => {
  const cache = new DnsCache();
  const clock = new FakeClock();
  store(cache, "a", kept(60), clock.now);
  assertEquals(cache.find("a", clock.advance(59_999))?.age, 59);
  assertEquals(cache.find("a", clock.advance(1)), null);
  assertEquals(cache.size, 0);
});

Deno.test("store() keeps nothing whose time to live is 0", () => {
  const cache = new DnsCache();
  store(cache, "a", kept(0), 0);
  assertEquals(cache.size, 0);
});

Deno.test("store() keeps nothing longer than a day", () => {
  const cache = new DnsCache();
  const clock = new FakeClock();
  store(cache, "a", kept(0x7fff_ffff), clock.now);
  assertEquals(cache.find("a", clock.advance(86_399_999))?.age, 86_399);
  assertEquals(cache.find("a", clock.advance(1)), null);
});

Deno.test("store() replaces what was there, and keeps a copy", () => {
  const cache = new DnsCache();
  store(cache, "a", kept(60), 0);
  const entry = kept(120, 8);
  const before = entry.answer.slice();
  store(cache, "a", entry, 0);
  entry.answer.fill(0);
  assertEquals(cache.find("a", 0)?.answer, before);
  assertEquals(cache.size, 1);
});

Deno.test("store() makes room by what was not used for the longest time, by number", () => {
  const cache = new DnsCache();
  const entry = kept(60);
  for (let i = 0; i < 4096; i++) store(cache, `${i}`, entry, 0);
  assertEquals(cache.size, 4096);
  assert(cache.find("0", 0) !== null);
  store(cache, "new", entry, 0);
  assertEquals(cache.size, 4096);
  assertEquals([cache.find("0", 0), cache.find("1", 0)].map((found) => found !== null), [
    true,
    false,
  ]);
});

Deno.test("store() makes room by bytes as well, also after much has come and gone", () => {
  const cache = new DnsCache();
  const large = kept(60, 60_000);
  for (let i = 0; i < 1_000; i++) store(cache, `${i % 300}`, large, 0);
  const bound = 4 * 1024 * 1024 / large.answer.length;
  assert(cache.size <= bound && cache.size > bound - 2, `${cache.size}`);
  // What is over gives its bytes back.
  for (let i = 0; i < 300; i++) cache.find(`${i}`, 61_000);
  assertEquals(cache.size, 0);
  for (let i = 0; i < 60; i++) store(cache, `again ${i}`, large, 61_000);
  assertEquals(cache.size, 60);
});

Deno.test("a client's flood of names empties the cache for nobody else, be the answers many or large", () => {
  for (const [count, size] of [[20_000, 4], [1_000, 60_000]] as const) {
    const cache = new DnsCache();
    for (let i = 0; i < 100; i++) store(cache, `mine ${i}`, kept(600), 0, "honest");
    const entry = kept(600, size);
    for (let i = 0; i < count; i++) store(cache, `flood ${i}`, entry, 0, "hostile");
    for (let i = 0; i < 100; i++) assert(cache.find(`mine ${i}`, 0) !== null, `${i}`);
    assert(cache.find(`flood ${count - 1}`, 0) !== null);
    assertEquals(cache.find("flood 0", 0), null);
  }
});

Deno.test("an answer that its client has no room for is not kept, and takes nothing from those that come under its key", () => {
  const cache = new DnsCache();
  const small = kept(600);
  // Each has one place, and so none has two.
  for (let i = 0; i < 4_096; i++) store(cache, `${i}`, small, 0, `${i}`);
  store(cache, "key", kept(600, 60_000), 0, "0");
  assertEquals(cache.find("key", 0), null);
  store(cache, "key", small, 0, "other");
  for (let i = 0; i < 4_095; i++) store(cache, `later ${i}`, small, 0, `later ${i}`);
  assert(cache.find("key", 0) !== null);
});
