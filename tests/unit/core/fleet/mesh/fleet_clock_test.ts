/** Tests of lib/core/fleet/mesh/fleet_clock.ts. */
import { FleetClock } from "../../../../../lib/core/fleet/mesh/fleet_clock.ts";
import { assertEquals } from "../../../../support/assert.ts";
import { FIRST_HEARTBEAT } from "../../../../support/fleet/heartbeats.ts";

const UNIX = 1_700_000_000_000;
const showing = (clock: number, fleetTime = clock) => ({ ...FIRST_HEARTBEAT, clock, fleetTime });

Deno.test("the fleet's time is that of the latest clock, and goes on when its gateway is gone or set back", () => {
  const clock = new FleetClock();
  assertEquals(clock.time(50, UNIX), UNIX);
  clock.heard(1, showing(UNIX + 300), 50, UNIX);
  clock.heard(2, showing(UNIX - 900), 50, UNIX);
  assertEquals(clock.time(50, UNIX), UNIX + 300);
  assertEquals(clock.time(1_050, UNIX + 1_000), UNIX + 1_300);
  clock.heard(1, showing(UNIX - 60_000), 1_050, UNIX + 1_000);
  assertEquals(clock.time(1_050, UNIX + 1_000), UNIX + 1_300);
  assertEquals(clock.time(1_050, UNIX + 9_000), UNIX + 9_000);
});

Deno.test("the fleet's time is learned from those that know it, of a gateway that this one has never heard", () => {
  const clock = new FleetClock();
  clock.heard(1, showing(UNIX, UNIX + 700), 0, UNIX);
  assertEquals([clock.time(0, UNIX), clock.skewOf(1)], [UNIX + 700, 0]);
});

Deno.test("a clock that is ahead by more than a day is not followed, but shown", () => {
  const clock = new FleetClock();
  clock.heard(1, showing(UNIX + 86_400_001), 0, UNIX);
  assertEquals([clock.time(0, UNIX), clock.skewOf(1)], [UNIX, 86_400_001]);
  assertEquals(clock.skewOf(2), null);
});

Deno.test("a heartbeat that is late on its way makes no clock seem wrong, a clock that is set does", () => {
  const clock = new FleetClock();
  clock.heard(1, showing(UNIX - 3), 0, UNIX);
  for (let beat = 1; beat <= 64; beat++) {
    const now = beat * 150;
    clock.heard(1, showing(UNIX + now - (beat % 8 === 0 ? 4 : 400)), now, UNIX + now);
    assertEquals(clock.skewOf(1), -3);
  }
  for (let beat = 65; beat <= 65 + 32; beat++) {
    const now = beat * 150;
    clock.heard(1, showing(UNIX + now - 60_000), now, UNIX + now);
  }
  assertEquals(clock.skewOf(1), -60_000);
});
