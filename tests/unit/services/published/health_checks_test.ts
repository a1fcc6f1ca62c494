/** Tests of health checks on a clock of the test's: when they are made, and what their outcomes come to. */
import { BackEndHealth } from "../../../../lib/services/published/back_end_health.ts";
import {
  type CheckTarget,
  connectTcp,
  HealthChecks,
} from "../../../../lib/services/published/health_checks.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";
import { FakeTimers } from "../../../support/time/fake_timers.ts";

const TARGET = { address: 0x0a424d02, port: 8443 };

/** Back ends that answer at once, fail at once, or never answer, and what became of checks. */
function stage() {
  const timers = new FakeTimers();
  const outcome: { now: string | null | "never" } = { now: null };
  const checked: CheckTarget[] = [];
  const told: string[] = [];
  const reached: { now: boolean } = { now: true };
  const checks = new HealthChecks({
    isReachable: () => reached.now,
    connect: (target, signal) => {
      checked.push(target);
      if (outcome.now !== "never") return Promise.resolve(outcome.now);
      const { promise, resolve } = Promise.withResolvers<string>();
      signal.addEventListener("abort", () => resolve("given up"));
      return promise;
    },
    onAnswer: () => {},
    onChange: (name) => told.push(`${name} ${checks.healthOf(name)!.isUp ? "up" : "down"}`),
  });
  return {
    ...{ timers, outcome, reached, checked, told, checks },
    [Symbol.dispose]() {
      checks[Symbol.dispose]();
      assertEquals(timers.size, 0);
      timers[Symbol.dispose]();
    },
  };
}

Deno.test("one failure changes nothing, two in a row do, and so do two answers", () => {
  const health = new BackEndHealth();
  const take = (...problems: (string | null)[]) => problems.map((problem) => health.take(problem));
  assertEquals(take("refused", null, "refused", null), [false, false, false, false]);
  assertEquals(take("refused", "refused", "refused"), [false, true, false]);
  assertEquals([health.isUp, health.problem], [false, "refused"]);
  assertEquals(take(null, "refused", null, null), [false, false, false, true]);
  assertEquals([health.isUp, health.problem], [true, null]);
});

Deno.test("a back end is checked each second", async () => {
  using world = stage();
  world.checks.follow(new Map([["a", TARGET]]));
  await world.timers.advance(10_500);
  assertEquals(world.checked.length, 11);
  assertEquals(world.told, []);
});

for (const [how, outcome] of [["refuses", "connection refused"], ["says nothing", "never"]]) {
  Deno.test(`one that ${how} is found within 3 s, whenever it began to`, async () => {
    for (let before = 0; before < 1_000; before += 50) {
      using world = stage();
      world.checks.follow(new Map([["a", TARGET]]));
      await world.timers.advance(5_000 + before);
      world.outcome.now = outcome;
      await world.timers.advance(2_750);
      assertEquals(world.told, ["a down"], `${before}`);
      world.outcome.now = null;
      await world.timers.advance(3_000);
      assertEquals(world.told, ["a down", "a up"]);
    }
  });
}

Deno.test("a check that has begun before a back end could be reached says nothing of it", async () => {
  using world = stage();
  world.outcome.now = "never";
  world.reached.now = false;
  world.checks.follow(new Map([["a", TARGET]]));
  await world.timers.advance(1_800);
  // Its peer connects while the second check waits, and it answers from then on.
  world.reached.now = true;
  await world.timers.advance(700);
  world.outcome.now = null;
  await world.timers.advance(2_000);
  assertEquals([world.told, world.checks.healthOf("a")!.isUp], [[], true]);
});

Deno.test("what is known of a back end is kept as long as it is where it was", async () => {
  using world = stage();
  world.outcome.now = "connection refused";
  world.checks.follow(new Map([["a", TARGET], ["b", TARGET]]));
  await world.timers.advance(1_000);
  assertEquals(world.told.sort(), ["a down", "b down"]);
  world.checks.follow(new Map([["a", TARGET], ["b", { ...TARGET, port: 1 }]]));
  assertEquals(world.checks.healthOf("a")!.isUp, false);
  assertEquals(world.checks.healthOf("b")!.isUp, true);
  world.checks.follow(new Map());
  assertEquals(world.checks.healthOf("a"), null);
});

hostTest("connectTcp() says whether anybody listens, and gives up when it is told to", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const target = { address: 0x7f000001, port: listener.addr.port };
  const { signal } = new AbortController();
  assertEquals(await connectTcp(target, signal), null);
  listener.close();
  assertEquals(await connectTcp(target, signal), "connection refused");
  const aborted = AbortSignal.abort();
  assert(await connectTcp(target, aborted) !== null);
});
