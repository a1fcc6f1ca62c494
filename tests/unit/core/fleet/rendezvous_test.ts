/** Tests of lib/core/fleet/rendezvous.ts. */
import { weightOf } from "../../../../lib/core/fleet/rendezvous.ts";
import { assert } from "../../../support/assert.ts";

Deno.test("each of several gateways has the greatest weight for about as many things", () => {
  const gateways = [0, 1, 2, 3, 4, 5, 6, 7];
  const shares = gateways.map(() => 0);
  for (let key = 0; key < 8_000; key++) {
    const weights = gateways.map((gateway) => weightOf(key, gateway));
    shares[weights.indexOf(Math.max(...weights))]!++;
  }
  assert(shares.every((share) => share > 850 && share < 1_150), shares.join());
});
