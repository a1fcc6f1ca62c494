/**
 * Tests of who has a fleet's virtual address, whatever happens to gateways, links and the store: never two for longer
 * than 2 s, and one again where there can be one.
 */
import { assert, assertEquals } from "../../support/assert.ts";
import { happen } from "../../support/fleet/incidents.ts";
import { SimulatedMesh } from "../../support/fleet/simulated_mesh.ts";
import { environment } from "../../support/permissions.ts";
import { Random } from "../../support/random.ts";

const isSlow = environment("VPN_SLOW_TESTS") !== undefined;
/** ms for which two gateways may have the address. */
const LONGEST_OVERLAP = 2_000;

function meshOf(gateways: number, seed: number, loss = 0.01): SimulatedMesh {
  const mesh = new SimulatedMesh({ gateways, random: new Random(seed), loss });
  mesh.run(1_500);
  assertEquals(mesh.holders.length, 1);
  return mesh;
}

Deno.test("one gateway of a fleet has the address soon after its start, and keeps it when messages are lost", () => {
  for (const gateways of [1, 2, 3, 16]) {
    const mesh = new SimulatedMesh({ gateways, random: new Random(gateways), loss: 0.05 });
    mesh.run(30_000);
    assertEquals([mesh.holders.length, mesh.takings, mesh.longestOverlap], [1, 1, 0]);
    assert(mesh.longestGap < 700, `${gateways}: ${mesh.longestGap}`);
  }
});

Deno.test("when the holder is killed, another has the address within 800 ms, the median of 100 being below 600", () => {
  const gaps = Array.from({ length: 100 }, (_, seed) => {
    const mesh = meshOf(3, seed);
    mesh.run(seed * 7);
    const killedAt = mesh.now;
    mesh.kill(mesh.holders[0]!);
    assert(mesh.run(2_000, () => mesh.holders.length === 1), `seed ${seed}`);
    return mesh.now - killedAt;
  }).sort((a, b) => a - b);
  assert(gaps[50]! < 600 && gaps.at(-1)! < 800, `${gaps[50]} ${gaps.at(-1)}`);
});

Deno.test("of two gateways, the one that is left has the address once the store shows the other gone", () => {
  for (let seed = 0; seed < 20; seed++) {
    const mesh = meshOf(2, seed);
    const killedAt = mesh.now;
    mesh.kill(mesh.holders[0]!);
    assert(mesh.run(2_000, () => mesh.holders.length === 1), `seed ${seed}`);
    assert(mesh.now - killedAt < 1_300);
  }
});

Deno.test("gateways are killed one by one, and those that are left go on, down to the last one", () => {
  for (const gateways of [2, 3, 5, 16]) {
    const mesh = meshOf(gateways, gateways);
    for (let left = gateways - 1; left > 0; left--) {
      // What is done by then, so that the next one may die.
      mesh.run(4_000);
      mesh.kill(mesh.holders[0]!);
      assert(mesh.run(2_000, () => mesh.holders.length === 1), `${left} of ${gateways} left`);
    }
    const last = mesh.holders[0]!;
    mesh.run(60_000);
    mesh.kill(last);
    mesh.start(last);
    mesh.run(3_000);
    assertEquals(mesh.holders, [last]);
    for (const gateway of mesh.numbers) if (gateway !== last) mesh.start(gateway);
    mesh.run(10_000);
    assertEquals([mesh.holders, mesh.longestOverlap], [[last], 0]);
  }
});

Deno.test("gateways of which one is killed and the next one stopped leave the address to the last one", () => {
  const mesh = meshOf(3, 1);
  mesh.kill(mesh.holders[0]!);
  mesh.run(1_000);
  const stopped = mesh.holders[0]!;
  mesh.tell(stopped, { kind: "drain" });
  mesh.run(5_000, () => !mesh.holders.includes(stopped) && !mesh.machine(stopped).state.isNeeded);
  mesh.kill(stopped);
  mesh.run(30_000);
  assertEquals([mesh.holders.length, mesh.takings], [1, 3]);
});

Deno.test("the heir is the gateway with the greatest weight of those that are left, and one that comes back takes nothing", () => {
  const mesh = meshOf(5, 1);
  const holder = mesh.holders[0]!;
  mesh.kill(holder);
  mesh.run(2_000);
  const heirs = new Set(mesh.holders);
  mesh.start(holder);
  mesh.run(5_000);
  assertEquals(mesh.holders, [...heirs]);
  for (let seed = 2; seed < 12; seed++) {
    const again = meshOf(5, seed);
    again.kill(holder);
    again.run(2_000);
    assertEquals(again.holders, [...heirs]);
  }
});

Deno.test("without the store for ten minutes nothing changes, and the holder is still succeeded when it is killed", () => {
  const mesh = meshOf(3, 1);
  const holder = mesh.holders[0]!;
  mesh.cutStore(...mesh.numbers);
  mesh.run(600_000);
  assertEquals([mesh.holders, mesh.takings], [[holder], 1]);
  mesh.kill(holder);
  assert(mesh.run(800, () => mesh.holders.length === 1));
  mesh.healStore(...mesh.numbers);
  mesh.start(holder);
  mesh.run(10_000);
  assertEquals([mesh.takings, mesh.longestOverlap], [2, 0]);
});

Deno.test("a holder that drains has the address until another has it", () => {
  const mesh = meshOf(3, 1);
  const holder = mesh.holders[0]!;
  const { longestGap } = mesh;
  mesh.tell(holder, { kind: "drain" });
  assert(mesh.run(100, () => mesh.holders.length === 1 && mesh.holders[0] !== holder));
  assert(mesh.longestOverlap < 50);
  assertEquals(mesh.longestGap, longestGap);
  // Nobody else is there: it is needed.
  for (const gateway of mesh.numbers) if (gateway !== holder) mesh.tell(gateway, { kind: "drain" });
  mesh.run(5_000);
  assertEquals([mesh.holders.length, mesh.takings], [1, 2]);
});

Deno.test("a gateway that drains and is the last that is there takes the address and keeps it", () => {
  const mesh = meshOf(2, 1);
  const holder = mesh.holders[0]!;
  mesh.tell(1 - holder, { kind: "drain" });
  mesh.kill(holder);
  mesh.run(20_000);
  assertEquals([mesh.holders, mesh.takings], [[1 - holder], 2]);
});

const LINKS = [[0, 1], [1, 0], [0, 2], [2, 0], [1, 2], [2, 1]] as const;

Deno.test("whatever links of three gateways are cut, in one direction or both, with and without the store", () => {
  const all = Array.from({ length: 512 }, (_, cuts) => cuts);
  // A prime step has each link cut together with others, and with the store. In 22, two cannot agree for a moment.
  for (const cuts of isSlow ? all : all.filter((each) => each === 22 || each % 7 === 0)) {
    const mesh = meshOf(3, cuts);
    LINKS.forEach(([from, to], bit) => {
      if ((cuts >> bit & 1) === 1) mesh.cut(from, to);
    });
    for (let gateway = 0; gateway < 3; gateway++) {
      if ((cuts >> (6 + gateway) & 1) === 1) mesh.cutStore(gateway);
    }
    mesh.run(6_000);
    const told = `cuts ${cuts}: ${mesh.holders.join()}`;
    assert(mesh.longestOverlap < LONGEST_OVERLAP && mesh.holders.length < 2, told);
    assert(mesh.takings < 6, `${told}: taken ${mesh.takings} times`);
    mesh.heal();
    mesh.healStore(...mesh.numbers);
    assert(mesh.run(2_000, () => mesh.holders.length === 1), told);
  }
});

Deno.test("a gateway that is cut from the others and the store gives the address up within 2 s", () => {
  for (let seed = 0; seed < 20; seed++) {
    const mesh = meshOf(3, seed);
    const holder = mesh.holders[0]!;
    mesh.partition([holder]);
    mesh.cutStore(holder);
    assert(mesh.run(2_000, () => !mesh.holders.includes(holder)), `seed ${seed}`);
  }
});

Deno.test("two halves that both reach the store do not take the address from each other", () => {
  for (const gateways of [2, 4, 16]) {
    const mesh = meshOf(gateways, gateways);
    const half = mesh.numbers.slice(0, gateways / 2);
    mesh.partition(half);
    mesh.run(60_000);
    assertEquals([mesh.holders.length, mesh.takings, mesh.longestOverlap], [1, 1, 0]);
  }
});

Deno.test("whatever happens in a fleet, two never have the address for 2 s, and one has it when all is restored", () => {
  for (let seed = 0; seed < (isSlow ? 1_000 : 25); seed++) {
    const random = new Random(seed);
    const gateways = random.pick([2, 3, 4, 5, 7]);
    const mesh = meshOf(gateways, seed, random.pick([0, 0.01, 0.05]));
    for (let incidents = 0; incidents < 60; incidents++) {
      happen(mesh, random);
      mesh.run(random.float() * random.pick([50, 700, 3_000]));
      assert(mesh.longestOverlap < LONGEST_OVERLAP, `seed ${seed}: ${mesh.longestOverlap}`);
    }
    mesh.heal();
    mesh.healStore(...mesh.numbers);
    for (const gateway of mesh.numbers) {
      if (mesh.alive.includes(gateway)) mesh.tell(gateway, { kind: "rebalance" });
      else mesh.start(gateway);
    }
    mesh.run(6_000);
    assertEquals(mesh.holders.length, 1, `seed ${seed}`);
  }
});
