/**
 * Tests of `lib/host/upkeep/upkeep.ts`: what is lost is put back, and who takes it away again and again is not fought
 * without end.
 */
import { DeviceGone } from "../../../../lib/process/device_gone.ts";
import { Upkeep } from "../../../../lib/host/upkeep/upkeep.ts";
import type { Fixture } from "../../../../lib/host/upkeep/fixture.ts";
import { assertEquals, assertRejects, assertThrows } from "../../../support/assert.ts";
import { FakeClock } from "../../../support/time/fake_clock.ts";

/** Something that can be taken away. */
class Thing implements Fixture {
  isThere = true;
  /** How often it was put back. */
  count = 0;
  refusal: Error | null = null;
  error: Error | null = null;

  yieldsToPostUp = true;
  isOfOthers = false;

  constructor(readonly name: string, readonly isPolled = false) {}

  missing(): readonly string[] {
    if (this.error !== null) throw this.error;
    return this.isThere ? [] : [this.name];
  }

  putBack(_lost?: readonly string[]): void {
    if (this.refusal !== null) throw this.refusal;
    this.isThere = true;
    this.count++;
  }
}

/** An upkeep whose time goes by as it is told. */
class Scene implements Disposable {
  readonly clock = new FakeClock();
  readonly warnings: string[] = [];
  readonly upkeep: Upkeep;
  firewallChanged = false;
  firewallError: Error | null = null;

  constructor(...things: readonly Thing[]) {
    const note = (text: string, values: Readonly<Record<string, unknown>> = {}) => {
      this.warnings.push(text.replaceAll(/\{(\w+)\}/g, (_, name) => `${values[name]}`));
    };
    const quiet = () => {};
    this.upkeep = new Upkeep({
      fixtures: () => things,
      firewall: {
        hasChanged: () => {
          const { firewallChanged, firewallError } = this;
          if (firewallError !== null) throw firewallError;
          this.firewallChanged = false;
          return firewallChanged;
        },
        [Symbol.dispose]: quiet,
      },
      now: () => this.clock.now,
      logger: { info: note, warn: note },
    });
  }

  /** As if the kernel had told of a change. */
  look(): void {
    this.upkeep.check(() => true);
  }

  /** Lets time go by, with the looks that it brings. */
  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 250) {
      this.clock.advance(250);
      this.upkeep.tick();
    }
  }

  [Symbol.dispose](): void {
    this.upkeep[Symbol.dispose]();
  }
}

Deno.test("what is lost is put back at once, with one warning that names all of it", () => {
  const things = [new Thing("a rule"), new Thing("a route"), new Thing("a table")];
  using scene = new Scene(...things);
  scene.look();
  assertEquals(scene.warnings, []);
  things[0]!.isThere = things[2]!.isThere = false;
  scene.look();
  assertEquals(things.map(({ count }) => count), [1, 0, 1]);
  assertEquals(scene.warnings, ["removed by another program and restored: a rule, a table"]);
  assertEquals(scene.upkeep.degraded, []);
});

Deno.test("what PostUp changes is left alone, what others took before it is put back", async () => {
  const [mtu, rule] = [new Thing("MTU 1420"), new Thing("a rule")];
  rule.isThere = false;
  using scene = new Scene(mtu, rule);
  await scene.upkeep.whilePostUp(() => {
    assertEquals(rule.isThere, true);
    mtu.isThere = false;
    scene.pass(10_000);
    return Promise.resolve();
  });
  scene.look();
  assertEquals([mtu.count, rule.count], [0, 1]);
  assertEquals(scene.warnings, [
    "removed by another program and restored: a rule",
    "changed while PostUp ran, and not restored: MTU 1420",
  ]);
});

Deno.test("a PostUp that loads the firewall takes none of its tables, not even while it runs", async () => {
  const table = new Thing("a table");
  table.yieldsToPostUp = false;
  using scene = new Scene(table);
  await scene.upkeep.whilePostUp(() => {
    table.isThere = false;
    scene.firewallChanged = true;
    scene.pass(250);
    assertEquals(table.isThere, true);
    scene.clock.advance(1_000);
    table.isThere = false;
    return Promise.resolve();
  });
  scene.look();
  assertEquals(table.isThere, true);
});

Deno.test("of a fixture, PostUp keeps what it changed, and the rest is put back as ever", async () => {
  const { routes, there } = twoParts();
  using scene = new Scene(routes);
  await scene.upkeep.whilePostUp(() => {
    there.set("IPv4 routes", false);
    return Promise.resolve();
  });
  there.set("IPv6 routes", false);
  scene.look();
  assertEquals([...there.values()], [false, true]);
});

Deno.test("what cannot be put back before PostUp is no change of its, and degraded", async () => {
  const rule = new Thing("a rule");
  rule.isThere = false;
  rule.refusal = new Error("no buffers");
  using scene = new Scene(rule);
  await scene.upkeep.whilePostUp(() => Promise.resolve());
  assertEquals(scene.upkeep.degraded, ["a rule"]);
  rule.refusal = null;
  scene.pass(500);
  assertEquals(rule.isThere, true);
});

Deno.test("what follows from another's loss is told of once all others are in place, or PostUp's", async () => {
  const [mtu, rule, detour] = [new Thing("MTU 1420"), new Thing("a rule"), new Thing("a detour")];
  detour.isOfOthers = true;
  detour.refusal = new Error("it is another program's");
  using scene = new Scene(mtu, rule, detour);
  await scene.upkeep.whilePostUp(() => {
    mtu.isThere = false;
    return Promise.resolve();
  });
  rule.refusal = new Error("no buffers");
  rule.isThere = detour.isThere = false;
  scene.look();
  assertEquals(scene.upkeep.degraded, ["a rule"]);
  rule.refusal = null;
  scene.pass(1_000);
  scene.look();
  assertEquals(scene.upkeep.degraded.includes("a detour"), true);
});

Deno.test("what no notification reports is read twice a second, the rest when notified", () => {
  const [sysctl, rule, table] = [new Thing("a sysctl", true), new Thing("a rule"), new Thing("t")];
  using scene = new Scene(sysctl, rule, table);
  sysctl.isThere = rule.isThere = false;
  scene.pass(500);
  assertEquals([sysctl.isThere, rule.isThere], [true, false]);
  scene.firewallChanged = true;
  scene.pass(250);
  assertEquals(rule.isThere, true);
});

Deno.test("a loss that no notification told of is found within ten seconds", () => {
  const rule = new Thing("a rule");
  using scene = new Scene(rule);
  rule.isThere = false;
  scene.pass(10_000);
  assertEquals(rule.isThere, true);
});

Deno.test("what is taken away at once again is put back after growing pauses, and said to be degraded", () => {
  const [rule, other] = [new Thing("a rule"), new Thing("a route")];
  using scene = new Scene(rule, other);
  const counts = [500, 500, 1_000, 2_000, 4_000].map((ms) => {
    // Somebody takes it away at that very moment.
    for (let left = ms; left > 0; left -= 250) {
      rule.isThere = false;
      scene.look();
      scene.pass(250);
    }
    return rule.count;
  });
  assertEquals(counts.at(-1)! < 8, true, `${counts}`);
  assertEquals(scene.upkeep.degraded, ["a rule"]);
  assertEquals(scene.warnings.length, 2);
  assertEquals(
    scene.warnings[1]!.startsWith(
      "the tunnel is degraded, without a rule: removed again at once",
    ),
    true,
  );
  // Others are looked after as ever.
  other.isThere = false;
  scene.look();
  assertEquals(other.count, 1);
  // Left in peace, it is put back after the pause, and trusted again later.
  scene.pass(30_000);
  assertEquals(rule.isThere, true);
  scene.pass(30_000);
  assertEquals(scene.upkeep.degraded, []);
  assertEquals(scene.warnings.at(-1), "restored, and not removed again: a rule");
});

Deno.test("another part of what was just put back is put back at once as well, the same part is not", () => {
  const { routes, there } = twoParts();
  const lose = (part: string) => there.set(part, false);
  using scene = new Scene(routes);
  lose("IPv4 routes");
  scene.look();
  scene.clock.advance(400);
  lose("IPv6 routes");
  scene.look();
  assertEquals([...there.values()], [true, true]);
  scene.clock.advance(400);
  lose("IPv4 routes");
  scene.look();
  assertEquals([...there.values()], [false, true]);
  assertEquals(scene.upkeep.degraded, ["IPv4 routes"]);
  assertEquals(scene.warnings.slice(0, 2), [
    "removed by another program and restored: IPv4 routes",
    "removed by another program and restored: IPv6 routes",
  ]);
});

Deno.test("what is lost besides is put back at once, and told, while another part waits", () => {
  const { routes, there } = twoParts();
  using scene = new Scene(routes);
  for (let i = 0; i < 2; i++) {
    there.set("IPv4 routes", false);
    scene.look();
    scene.clock.advance(300);
  }
  assertEquals(scene.upkeep.degraded, ["IPv4 routes"]);
  there.set("IPv6 routes", false);
  scene.look();
  assertEquals([...there.values()], [false, true]);
  assertEquals(scene.warnings.at(-1), "removed by another program and restored: IPv6 routes");
  there.set("IPv6 routes", false);
  scene.look();
  assertEquals([...there.values()], [false, false]);
  assertEquals(scene.upkeep.degraded, ["IPv4 routes", "IPv6 routes"]);
  assertEquals(
    scene.warnings.at(-1)?.startsWith("the tunnel is degraded, without IPv6 routes: removed again"),
    true,
  );
  scene.pass(2_000);
  assertEquals([...there.values()], [true, true]);
});

Deno.test("two parts that are removed in turn are warned of once, and each has pauses of its own", () => {
  const { routes, there } = twoParts();
  using scene = new Scene(routes);
  for (let left = 120_000; left > 0; left -= 250) {
    there.set("IPv4 routes", false);
    scene.look();
    scene.clock.advance(50);
    there.set("IPv6 routes", false);
    scene.look();
    scene.pass(200);
  }
  assertEquals(scene.warnings.length, 4, scene.warnings.join("\n"));
  assertEquals(scene.upkeep.degraded, ["IPv4 routes", "IPv6 routes"]);
  there.set("IPv6 routes", true);
  // One of them is left in peace, and trusted, while the other is still removed.
  for (let left = 60_000; left > 0; left -= 250) {
    there.set("IPv4 routes", false);
    scene.look();
    scene.pass(250);
  }
  assertEquals(scene.upkeep.degraded, ["IPv4 routes"]);
  there.set("IPv6 routes", false);
  scene.look();
  assertEquals(there.get("IPv6 routes"), true);
});

Deno.test("what is removed every two seconds is put back each time, and warned of a few times", () => {
  const rule = new Thing("a rule");
  using scene = new Scene(rule);
  for (let round = 1; round <= 300; round++) {
    rule.isThere = false;
    scene.look();
    assertEquals(rule.count, round);
    scene.pass(2_000);
  }
  assertEquals(scene.warnings.length, 11, scene.warnings.join("\n"));
  assertEquals(
    scene.warnings.at(-1)?.startsWith("the tunnel is degraded, without a rule: removed again and"),
    true,
  );
  assertEquals(scene.upkeep.degraded, ["a rule"]);
  scene.pass(30_000);
  assertEquals(scene.upkeep.degraded, []);
  assertEquals(scene.warnings.at(-1), "restored, and not removed again: a rule");
});

Deno.test("of parts that are lost together, what cannot be put back leaves the others in place", () => {
  const { routes, there } = twoParts();
  const { putBack } = routes;
  routes.putBack = (lost: readonly string[] = []) => {
    putBack(lost.filter((part) => part !== "IPv4 routes"));
    if (lost.includes("IPv4 routes")) throw new Error("no such device");
  };
  using scene = new Scene(routes);
  for (const part of there.keys()) there.set(part, false);
  scene.look();
  assertEquals(scene.upkeep.degraded, ["IPv4 routes"]);
  assertEquals(scene.warnings.at(-1), "removed by another program and restored: IPv6 routes");
});

/** A fixture of two parts, and what of it is in place. */
function twoParts() {
  const there = new Map([["IPv4 routes", true], ["IPv6 routes", true]]);
  const routes = new Thing("routes");
  routes.missing = () => [...there].filter(([, isThere]) => !isThere).map(([part]) => part);
  routes.putBack = (lost: readonly string[] = []) => lost.forEach((part) => there.set(part, true));
  return { routes, there };
}

Deno.test("what cannot be put back is degraded, tried again, and keeps nothing else from it", () => {
  const [table, rule] = [new Thing("a table"), new Thing("a rule")];
  using scene = new Scene(table, rule);
  table.refusal = new Error("no such device");
  table.isThere = rule.isThere = false;
  scene.look();
  assertEquals([rule.isThere, scene.upkeep.degraded], [true, ["a table"]]);
  assertEquals(
    scene.warnings[0]!.startsWith(
      "the tunnel is degraded, without a table: it cannot be restored (no such device)",
    ),
    true,
  );
  table.refusal = null;
  scene.pass(500);
  assertEquals(table.isThere, true);
});

Deno.test("what cannot be read keeps nothing else from being put back", () => {
  const [table, rule] = [new Thing("a table"), new Thing("a rule")];
  using scene = new Scene(table, rule);
  table.error = new Error("out of buffers");
  rule.isThere = false;
  try {
    scene.look();
  } catch (error) {
    assertEquals(error, table.error);
  }
  assertEquals(rule.isThere, true);
});

Deno.test("what could not be read is looked at again with the next tick", () => {
  const table = new Thing("a table");
  using scene = new Scene(table);
  table.error = new Error("out of buffers");
  table.isThere = false;
  scene.firewallChanged = true;
  assertThrows(() => scene.pass(250), Error, "out of buffers");
  table.error = null;
  scene.pass(250);
  assertEquals(table.isThere, true);
});

Deno.test("where the firewall cannot be asked for changes, all is looked at for all that", () => {
  const [sysctl, table] = [new Thing("a sysctl", true), new Thing("a table")];
  using scene = new Scene(sysctl, table);
  scene.firewallError = new Error("no memory");
  sysctl.isThere = table.isThere = false;
  assertThrows(() => scene.pass(250), Error, "no memory");
  assertEquals([sysctl.isThere, table.isThere], [true, true]);
});

Deno.test("a device that is gone ends the upkeep", async () => {
  const link = new Thing("vpn0");
  using scene = new Scene(link);
  link.error = new DeviceGone("vpn0");
  scene.look();
  await assertRejects(() => scene.upkeep.failed, DeviceGone, 'The device "vpn0" is gone');
});
