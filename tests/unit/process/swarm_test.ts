/** Tests of `lib/process/swarm.ts`: notifications that do not end are answered all the same, and not one by one. */
import { Swarm } from "../../../lib/process/swarm.ts";
import { assert, assertEquals } from "../../support/assert.ts";

/** Notifies of something every few ms, until it has been called as often as wanted. */
async function swarmUntil(count: number, pause: number): Promise<readonly number[]> {
  const calls: number[] = [];
  const done = Promise.withResolvers<void>();
  using swarm = new Swarm({
    category: "upkeep",
    entry: "a test",
    call: () => {
      calls.push(performance.now());
      if (calls.length === count) done.resolve();
    },
    settleTime: 20,
    pause,
  });
  const timer = setInterval(() => swarm.notice(), 2);
  const limit = setTimeout(() => done.reject(new Error("never called")), 30_000);
  try {
    await done.promise;
  } finally {
    clearInterval(timer);
    clearTimeout(limit);
  }
  return calls;
}

Deno.test("a swarm that does not end is answered while it goes on, with a pause between calls", async () => {
  const calls = await swarmUntil(4, 60);
  for (const [index, at] of calls.slice(1).entries()) {
    // Timers count whole milliseconds.
    assert(at - calls[index]! > 58, `${calls}`);
  }
});

Deno.test("what was noticed before the end is forgotten with it, and nothing is noticed after", async () => {
  let count = 0;
  const options = { category: "upkeep", entry: "a test", settleTime: 0, pause: 0 } as const;
  const ended = new Swarm({ ...options, call: () => count++ });
  ended.notice();
  ended[Symbol.dispose]();
  ended.notice();
  const later = Promise.withResolvers<void>();
  using other = new Swarm({ ...options, call: () => later.resolve() });
  other.notice();
  await later.promise;
  assertEquals(count, 0);
});
