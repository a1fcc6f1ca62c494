/** Tests of lib/core/fleet/claim.ts. */
import { type Claim, compareClaims, NO_TIMESTAMP } from "../../../../lib/core/fleet/claim.ts";
import { encodeTai64n } from "../../../../lib/core/noise/tai64n.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

const at = (seconds: number) => encodeTai64n(1_000 * seconds);
const claim = (gateway: number, ofPeer: number, ofGateway?: number): Claim => ({
  gateway,
  ofPeer: at(ofPeer),
  ofGateway: ofGateway === undefined ? NO_TIMESTAMP : at(ofGateway),
});

Deno.test("of two claims, that of the peer's later initiation counts, then that of the gateway's, then the number", () => {
  const rising = [
    claim(9, 1),
    // The gateway's clock says nothing about the peer's, which may be years ahead of it.
    claim(3, 1, 2_000_000_000),
    claim(1, 2),
    claim(2, 2),
    claim(1, 2, 5),
    claim(0, 2, 6),
    claim(4, 2, 6),
  ];
  for (const [i, one] of rising.entries()) {
    for (const [j, other] of rising.entries()) {
      assertEquals(Math.sign(compareClaims(one, other)), Math.sign(i - j), `${i} and ${j}`);
    }
  }
  assert(compareClaims(claim(1, 2, 5), claim(1, 2, 5)) === 0);
});
