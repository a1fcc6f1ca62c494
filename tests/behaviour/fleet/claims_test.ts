/**
 * Tests of which gateway of a fleet has a client: one and the right one in the end, whatever becomes of the gateways'
 * words to each other, and whatever recorded initiations are sent to whom.
 */
import { assert, assertEquals } from "../../support/assert.ts";
import { ClaimingFleet } from "../../support/fleet/claiming_fleet.ts";
import { Random } from "../../support/random.ts";

/** ms within which all is told again, and that a word takes at the most. */
const ROUND = 10_000;
const DELAY = 3_000;
const GATEWAYS = 4;
const CLIENTS = 4;

for (const seed of [1, 2, 3, 4]) {
  Deno.test(`clients go from gateway to gateway while words are lost, late, twice and out of order: seed ${seed}`, () => {
    const random = new Random(seed);
    const fleet = new ClaimingFleet({
      seed,
      gateways: GATEWAYS,
      clients: CLIENTS,
      conditions: { loss: 0.3, duplicates: 0.2, delay: DELAY },
    });
    const { simulation } = fleet;
    for (let client = 0; client < CLIENTS; client++) fleet.move(client, random.below(GATEWAYS));
    for (let round = 0; round < 200; round++) {
      for (let client = 0; client < CLIENTS; client++) {
        if (random.chance(0.07)) fleet.move(client, random.below(GATEWAYS));
        else if (random.chance(0.5)) fleet.send(client);
      }
      if (random.chance(0.5)) fleet.replay();
      simulation.run(1_000 * random.float());
    }
    fleet.conditions = { loss: 0, duplicates: 0, delay: 10 };
    simulation.run(ROUND + 5_000);
    for (let client = 0; client < CLIENTS; client++) {
      const senders = fleet.sendersTo(client);
      assertEquals(senders.map(({ isRight }) => isRight), [true], `client ${client}`);
    }
    assert(fleet.replayed > 50, `${fleet.replayed}`);
    assert(fleet.longestSharing < ROUND + DELAY, `${fleet.longestSharing} ms`);
  });
}
