/** Tests of `lib/core/fleet/mesh/lanes.ts`. */
import {
  laneOfClient,
  laneOfParty,
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
  for (let index = 0; index < 1_500; index++) shares[laneOfClient(index)]! += 1;
  assertEquals(shares[OWN_LANE], 0);
  assertEquals(shares.slice(1), new Array<number>(LANES - 1).fill(100));
});

Deno.test("laneOfParty() has one address in one lane, and others in others, never in the gateways' own", () => {
  const shares = new Array<number>(LANES).fill(0);
  for (let host = 0; host < 15_000; host++) {
    const party = (0xc6336400 + 977 * host) | 0;
    assertEquals(laneOfParty(party), laneOfParty(party));
    shares[laneOfParty(party)]! += 1;
  }
  assertEquals(shares[OWN_LANE], 0);
  for (const share of shares.slice(1)) assert(share > 500 && share < 2_000, `${shares}`);
});
