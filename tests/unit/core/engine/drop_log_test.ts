/** Tests of lib/core/engine/drop_log.ts, on a fake clock. */
import { DropLog } from "../../../../lib/core/engine/drop_log.ts";
import { DropCounters, DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { assertEquals } from "../../../support/assert.ts";
import { FakeClock } from "../../../support/time/fake_clock.ts";

function subject(): { drops: DropCounters; log: DropLog; clock: FakeClock } {
  const drops = new DropCounters();
  return { drops, log: new DropLog(drops), clock: new FakeClock() };
}

Deno.test("takeLines() tells the first drop of a reason at once", () => {
  const { drops, log, clock } = subject();
  assertEquals(log.takeLines(clock.now), []);
  drops.add(DropReason.badTag, 1452);
  assertEquals(log.takeLines(clock.now), ["dropped packet: bad_tag, 1452 bytes"]);
});

Deno.test("takeLines() tells the next drop only when more than 5.000 s have passed, with the count in between", () => {
  const { drops, log, clock } = subject();
  drops.add(DropReason.badTag, 1);
  log.takeLines(clock.now);
  for (let length = 2; length <= 5; length++) {
    drops.add(DropReason.badTag, length);
    assertEquals(log.takeLines(clock.advance(1250)), []);
  }
  assertEquals(log.takeLines(clock.advance(1)), [
    "dropped packet: bad_tag, 5 bytes, 3 more since the last line",
  ]);
});

Deno.test("takeLines() counts from the last line, not from the last drop", () => {
  const { drops, log, clock } = subject();
  let told = 0;
  for (let ms = 0; ms < 60_000; ms += 10) {
    drops.add(DropReason.replayed, 100);
    told += log.takeLines(clock.now).length;
    clock.advance(10);
  }
  assertEquals(told, 12);
});

Deno.test("takeLines() says nothing when nothing was dropped since the last line", () => {
  const { drops, log, clock } = subject();
  drops.add(DropReason.badTag, 1);
  log.takeLines(clock.now);
  assertEquals(log.takeLines(clock.advance(60_000)), []);
  drops.add(DropReason.badTag, 2);
  assertEquals(log.takeLines(clock.now), ["dropped packet: bad_tag, 2 bytes"]);
});

Deno.test("takeLines() throttles each reason by itself", () => {
  const { drops, log, clock } = subject();
  drops.add(DropReason.badTag, 1);
  log.takeLines(clock.now);
  drops.add(DropReason.badTag, 2);
  drops.add(DropReason.spoofedSource, 60);
  assertEquals(log.takeLines(clock.advance(1)), ["dropped packet: spoofed_source, 60 bytes"]);
});

Deno.test("takeLines() counts cookies sent without telling them: a flood makes them, and they are no fault", () => {
  const { drops, log, clock } = subject();
  drops.add(DropReason.cookieSent, 148);
  assertEquals(log.takeLines(clock.now), []);
  assertEquals(drops.counts[DropReason.cookieSent], 1);
});

Deno.test("hasNews tells of drops, and goes on to, until the lines about them are taken", () => {
  const { drops, log, clock } = subject();
  assertEquals(log.hasNews, false);
  drops.add(DropReason.none, 1);
  assertEquals(log.hasNews, false);
  drops.add(DropReason.badTag, 1);
  drops.add(DropReason.replayed, 1);
  assertEquals([log.hasNews, log.hasNews], [true, true]);
  log.takeLines(clock.now);
  assertEquals(log.hasNews, false);
});
