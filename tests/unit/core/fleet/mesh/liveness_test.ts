/** Tests of lib/core/fleet/mesh/liveness.ts. */
import { Liveness } from "../../../../../lib/core/fleet/mesh/liveness.ts";
import { assertEquals } from "../../../../support/assert.ts";
import { FIRST_HEARTBEAT } from "../../../../support/fleet/heartbeats.ts";

function livenessOf(...gateways: number[]): Liveness {
  const liveness = new Liveness();
  liveness.setGateways(gateways, 0);
  return liveness;
}

const beat = (sequence: number, generation = 1) => ({ ...FIRST_HEARTBEAT, sequence, generation });
const NOTHING = { ask: [], dead: [] };

Deno.test("a gateway that has missed three heartbeats is asked, and dead 150 ms later without an answer", () => {
  const liveness = livenessOf(1, 2);
  assertEquals([liveness.dueAt, [...liveness.heard]], [Infinity, []]);
  assertEquals(liveness.received(1, beat(1), 1_000), "up");
  assertEquals([liveness.dueAt, [...liveness.heard]], [1_450, [1]]);
  assertEquals(liveness.due(1_449), NOTHING);
  assertEquals(liveness.due(1_450), { ask: [1], dead: [] });
  assertEquals(liveness.dueAt, 1_600);
  assertEquals(liveness.due(1_599), NOTHING);
  assertEquals(liveness.due(1_600), { ask: [], dead: [1] });
  assertEquals([liveness.dueAt, [...liveness.heard]], [Infinity, []]);
  assertEquals(liveness.received(1, beat(2), 2_000), "up");
});

Deno.test("a gateway that answers is not dead, and is asked again only after three more", () => {
  const liveness = livenessOf(1);
  liveness.received(1, beat(1), 1_000);
  assertEquals(liveness.due(1_450).ask, [1]);
  assertEquals(liveness.received(1, beat(2), 1_599), "heard");
  assertEquals(liveness.due(1_600), NOTHING);
  assertEquals(liveness.dueAt, 2_049);
});

Deno.test("after a pause of this process the others are asked before they are judged", () => {
  const liveness = livenessOf(1, 2);
  liveness.received(1, beat(1), 1_000);
  liveness.received(2, beat(1), 1_000);
  assertEquals(liveness.due(90_000), { ask: [1, 2], dead: [] });
  assertEquals(liveness.received(2, beat(700), 90_001), "heard");
  assertEquals(liveness.due(90_150), { ask: [], dead: [1] });
});

Deno.test("what comes late says nothing, and what a gateway says after a restart counts", () => {
  const liveness = livenessOf(1);
  liveness.received(1, beat(8), 1_000);
  assertEquals(liveness.received(1, beat(8), 1_100), null);
  assertEquals(liveness.received(1, beat(7), 1_200), null);
  assertEquals(liveness.dueAt, 1_450);
  assertEquals(liveness.received(1, beat(1, 2), 1_300), "heard");
  assertEquals(liveness.remote(1)?.heartbeat?.generation, 2);
});

Deno.test("gateways of another fleet are not heard, and those that have left it are gone", () => {
  const liveness = livenessOf(1, 2);
  assertEquals(liveness.received(3, beat(1), 1_000), null);
  liveness.received(1, beat(1), 1_000);
  assertEquals(liveness.setGateways([2, 3], 1_050), [1]);
  assertEquals(liveness.setGateways([3], 1_060), []);
  assertEquals([liveness.remote(1), liveness.dueAt], [null, Infinity]);
  assertEquals(liveness.received(3, beat(1), 1_100), "up");
});
