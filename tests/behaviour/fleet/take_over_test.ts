/**
 * Tests of what becomes of a fleet's peers: each is served again by the gateway that has the virtual address, whatever
 * happens to gateways, links and the store, and two do not serve one for longer than they can both have the address.
 */
import { assert, assertEquals } from "../../support/assert.ts";
import { happen } from "../../support/fleet/incidents.ts";
import { SimulatedFleet } from "../../support/fleet/simulated_fleet.ts";
import { environment } from "../../support/permissions.ts";
import { Random } from "../../support/random.ts";

const isSlow = environment("VPN_SLOW_TESTS") !== undefined;
/** ms for which two gateways may have a session with a peer. */
const LONGEST_SHARING = 2_000;

/** A fleet whose peers are all served. */
function fleetOf(options: { gateways: number; clients: number; seed: number; loss?: number }) {
  const random = new Random(options.seed);
  const fleet = new SimulatedFleet({ loss: 0.01, ...options, random });
  const isServed = () => fleet.served === options.clients;
  while (!isServed()) fleet.mesh.run(1_000);
  return { fleet, mesh: fleet.mesh, random, isServed };
}

Deno.test("the peers of a holder that is killed are served again, 500 a second, those first that were heard last", () => {
  const clients = isSlow ? 100_000 : 1_000;
  const { fleet, mesh } = fleetOf({ gateways: 16, clients, seed: 1 });
  // All have told all others twice who is theirs.
  mesh.run(20_000);
  const killed = mesh.holders[0]!;
  fleet.kill(killed);
  assert(mesh.run(2_000, () => mesh.holders.length === 1));
  const takenAt = mesh.now;
  // Early on, most that are served are among those that send each second, which are half of all; after 15 s, clients
  // come by themselves.
  mesh.run(Math.min(clients, 10_000));
  const { served, servedBusy } = fleet;
  assert(servedBusy > 0.75 * served && served < 0.6 * clients, `${servedBusy} of ${served}`);
  while (fleet.served < 0.999 * clients) mesh.run(1_000);
  const [took, limit] = [mesh.now - takenAt, clients * 2 + 3_000];
  assert(took < limit, `${took} ms`);
  mesh.run(30_000);
  assertEquals([fleet.served, fleet.shared, fleet.longestSharing], [clients, 0, 0]);
});

Deno.test("the peers of a holder that drains are served by the next one, and those of one that is cut off by the others", () => {
  const { fleet, mesh, isServed } = fleetOf({ gateways: 5, clients: 200, seed: 2 });
  const first = mesh.holders[0]!;
  mesh.tell(first, { kind: "drain" });
  mesh.run(3_000);
  assert(mesh.holders[0] !== first && fleet.served > 195, `${fleet.served}`);
  const second = mesh.holders[0]!;
  mesh.partition([second]);
  mesh.cutStore(second);
  mesh.run(5_000);
  assert(mesh.holders[0] !== second && fleet.served > 195, `${fleet.served}`);
  mesh.heal();
  mesh.healStore(second);
  assert(mesh.run(60_000, isServed));
  assert(fleet.longestSharing < LONGEST_SHARING, `${fleet.longestSharing}`);
});

Deno.test("whatever happens in a fleet, each peer is served in the end, and by two for less than 2 s", () => {
  for (let seed = 0; seed < (isSlow ? 400 : 8); seed++) {
    const gateways = 2 + seed % 4;
    const { fleet, mesh, random, isServed } = fleetOf({ gateways, clients: 40, seed, loss: 0.02 });
    for (let incidents = 0; incidents < 40; incidents++) {
      happen(mesh, random, fleet);
      mesh.run(random.float() * random.pick([500, 3_000, 20_000]));
      assert(fleet.longestSharing < LONGEST_SHARING, `seed ${seed}: ${fleet.longestSharing}`);
    }
    mesh.heal();
    mesh.healStore(...mesh.numbers);
    for (const gateway of mesh.numbers) {
      if (mesh.alive.includes(gateway)) mesh.tell(gateway, { kind: "rebalance" });
      else fleet.start(gateway);
    }
    // Those that were served by none begin themselves after a while.
    assert(mesh.run(120_000, () => isServed() && fleet.shared === 0), `seed ${seed}`);
  }
});
