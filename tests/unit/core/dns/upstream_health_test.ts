/** Tests of `lib/core/dns/upstream_health.ts`: which upstreams are asked, and when a dead one is tried. */
import { UpstreamHealth } from "../../../../lib/core/dns/upstream_health.ts";
import { assertEquals } from "../../../support/assert.ts";

function subject() {
  const told: string[] = [];
  const health = new UpstreamHealth<string>({
    upstreams: ["a", "b", "c"],
    onChange: (upstream, isAlive) => told.push(`${upstream} ${isAlive}`),
  });
  return { health, told };
}

/** An exchange, of which nothing but its end counts here. */
function missed(health: UpstreamHealth<string>, upstream: string, now: number): void {
  health.missed(upstream, { from: now, now });
}

Deno.test("questions that wait for an upstream at a time find one silence, not many", () => {
  const { health, told } = subject();
  // A browser's, which all ask within one short gap.
  for (let i = 0; i < 9; i++) health.missed("a", { from: i, now: 2_000 + i });
  assertEquals([health.dead, told], [["a"], []]);
  health.missed("a", { from: 2_500, now: 4_500 });
  health.missed("a", { from: 5_000, now: 7_000 });
  assertEquals(told, ["a false"]);
});

Deno.test("a silent upstream is dead until it answers, and has its old place then", () => {
  const { health } = subject();
  assertEquals([health.alive, health.dead], [["a", "b", "c"], []]);
  missed(health, "a", 0);
  assertEquals([health.alive, health.dead], [["b", "c"], ["a"]]);
  health.answered("a");
  assertEquals([health.alive, health.dead], [["a", "b", "c"], []]);
});

Deno.test("a dead upstream is probed after pauses that grow to a minute, and once each time", () => {
  const { health } = subject();
  missed(health, "a", 0);
  const probes: number[] = [];
  for (let now = 0; now < 400_000; now += 500) {
    if (health.takeDue(now).length === 0) continue;
    probes.push(now);
    assertEquals(health.takeDue(now), []);
    missed(health, "a", now);
  }
  assertEquals(
    probes.map((at, index) => at - (probes[index - 1] ?? 0)),
    [2_500, 5_000, 10_000, 20_000, 40_000, 60_000, 60_000, 60_000, 60_000, 60_000],
  );
});

Deno.test("pauses begin short again for an upstream that has answered meanwhile", () => {
  const { health } = subject();
  for (let now = 0; now < 100_000; now += 500) {
    health.takeDue(now);
    missed(health, "a", now);
  }
  health.answered("a");
  missed(health, "a", 200_000);
  assertEquals(health.takeDue(202_499), []);
  assertEquals(health.takeDue(202_500), ["a"]);
});

Deno.test("an upstream is told of with its third silence, and then with its first answer", () => {
  const { health, told } = subject();
  missed(health, "a", 0);
  missed(health, "a", 0);
  health.answered("a");
  assertEquals(told, []);
  for (let i = 0; i < 9; i++) missed(health, "a", 0);
  assertEquals(told, ["a false"]);
  health.answered("a");
  health.answered("a");
  assertEquals(told, ["a false", "a true"]);
});
