/** Tests of `lib/process/worker_watch.ts`: after how many questions without an answer a thread counts as dead. */
import { WorkerWatch } from "../../../lib/process/worker_watch.ts";
import { assertEquals } from "../../support/assert.ts";

/** Runs with an interval that passes when `tick` is called. */
function withTicks(run: (tick: () => void) => void): void {
  const { setInterval, clearInterval } = globalThis;
  let handler: (() => void) | null = null;
  globalThis.setInterval = ((callback: () => void) => {
    handler = callback;
    return 1;
  }) as unknown as typeof setInterval;
  globalThis.clearInterval = () => handler = null;
  try {
    run(() => handler?.());
  } finally {
    Object.assign(globalThis, { setInterval, clearInterval });
  }
}

function watchWith(seen: string[], ask: () => void): WorkerWatch {
  return new WorkerWatch({
    category: "dataplane",
    thread: "test",
    ask,
    onSilence: (message) => seen.push(message),
  });
}

Deno.test("a thread that starts has two minutes until it counts as dead", () => {
  withTicks((tick) => {
    const seen: string[] = [];
    using _watch = watchWith(seen, () => {});
    for (let ticks = 0; ticks < 24; ticks++) tick();
    assertEquals(seen, []);
    tick();
    assertEquals(seen, ["Cannot start: the test thread has not answered for 120 s"]);
    tick();
    assertEquals(seen, ["Cannot start: the test thread has not answered for 120 s"]);
  });
});

Deno.test("a thread that has answered once is asked again, and has half a minute", () => {
  withTicks((tick) => {
    const seen: string[] = [];
    let questions = 0;
    using watch = watchWith(seen, () => questions++);
    tick();
    watch.answered();
    tick();
    assertEquals(questions, 2);
    for (let ticks = 0; ticks < 5; ticks++) tick();
    assertEquals(seen, []);
    tick();
    assertEquals(seen, ["it has not answered for 30 s"]);
  });
});
