/** Tests of `lib/core/fleet/mesh/lanes.ts`. */
import {
  DATAGRAM_LANE,
  laneOfClient,
  LANES,
  OWN_LANE,
  sizeInLane,
} from "../../../../../lib/core/fleet/mesh/lanes.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";

Deno.test("sizeInLane() has a message go by its lane, with 15 bytes of padding at most", () => {
  for (let lane = 0; lane < LANES; lane++) {
    for (let length = 0; length < 2 * LANES; length++) {
      const size = sizeInLane(length, lane);
      assertEquals(size % LANES, lane);
      assert(size >= length && size < length + LANES, `${length} bytes by lane ${lane}: ${size}`);
    }
  }
});

Deno.test("laneOfClient() deals clients out to the lanes that are for them", () => {
  const shares = new Array<number>(LANES).fill(0);
  for (let index = 0; index < 1_400; index++) shares[laneOfClient(index)]! += 1;
  assertEquals(shares[OWN_LANE], 0);
  assertEquals(shares[DATAGRAM_LANE], 0);
  assertEquals(shares.slice(2), new Array<number>(LANES - 2).fill(100));
});
