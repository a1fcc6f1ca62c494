/** Tests of the pauses between attempts to connect again. */
import { reconnectPause } from "../../../../lib/core/client/reconnect_pause.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

Deno.test("reconnectPause() doubles with each attempt, up to 30 s", () => {
  const longest = Array.from({ length: 9 }, (_, attempt) => reconnectPause(attempt, 1));
  assertEquals(longest, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  assertEquals(reconnectPause(2_000, 1), 30_000);
});

Deno.test("reconnectPause() spreads clients over half of the pause", () => {
  assertEquals([reconnectPause(2, 0), reconnectPause(2, 0.5)], [1_000, 1_500]);
  assert(reconnectPause(0, 0) > 0);
});
