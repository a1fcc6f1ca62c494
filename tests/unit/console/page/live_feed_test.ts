/** Tests of lib/console/page/state/live_feed.ts, with an EventSource of the test's own. */
import { followGateway, liveConnection } from "../../../../lib/console/page/state/live_feed.ts";
import { assertEquals } from "../../../support/assert.ts";
import { FakeTimers } from "../../../support/time/fake_timers.ts";

/** As a browser has it (HTML section 9.2): what happens to it, the test says. */
class FakeSource extends EventTarget {
  static readonly CLOSED = 2;
  static readonly made: FakeSource[] = [];
  readyState = 1;

  constructor() {
    super();
    FakeSource.made.push(this);
  }

  close(): void {
    this.readyState = FakeSource.CLOSED;
  }

  tell(name: string, data: unknown): void {
    this.dispatchEvent(new MessageEvent(name, { data: JSON.stringify(data) }));
  }

  /** The connection breaks, or is answered with an error. */
  fail(isRefused: boolean): void {
    this.readyState = isRefused ? FakeSource.CLOSED : 0;
    this.dispatchEvent(new Event("error"));
  }
}

Deno.test("the page opens another connection where one was refused, not where the browser does so itself, nor after its end", async () => {
  const real = globalThis.EventSource;
  Object.assign(globalThis, { EventSource: FakeSource });
  using timers = new FakeTimers();
  try {
    const stop = followGateway(() => {});
    const count = () => FakeSource.made.length;
    const reachable = () => FakeSource.made.at(-1)!.tell("gateway", { isReachable: true });
    reachable();
    assertEquals(liveConnection.value.state, "open");
    FakeSource.made[0]!.fail(false);
    assertEquals(liveConnection.value.state, "lost");
    await timers.advance(60_000);
    assertEquals(count(), 1);
    FakeSource.made[0]!.fail(true);
    await timers.advance(2_000);
    assertEquals(count(), 2);
    FakeSource.made[1]!.fail(true);
    await timers.advance(2_000);
    assertEquals(count(), 3);
    reachable();
    assertEquals(liveConnection.value.state, "open");
    FakeSource.made[2]!.fail(true);
    stop();
    await timers.advance(60_000);
    assertEquals([count(), timers.size], [3, 0]);
  } finally {
    Object.assign(globalThis, { EventSource: real });
  }
});
