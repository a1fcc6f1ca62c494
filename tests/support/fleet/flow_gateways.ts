/** Gateways of a fleet whose NATs have one address by turns, and tell each other of their flows. */
import { FleetFlows } from "../../../lib/core/fleet/fleet_flows.ts";
import { assert } from "../assert.ts";
import { World, type WorldOptions } from "../nat/world.ts";

const PORTS = { first: 20_000, last: 29_999 };

/** A gateway's part, and what it has told. */
export class Gateway {
  readonly number: number;
  readonly world: World;
  readonly flows: FleetFlows;
  told: [message: Uint8Array, to: number | undefined][] = [];

  constructor(seed: number, options: WorldOptions = {}) {
    this.number = seed;
    const world = this.world = new World({ seed, ports: PORTS, ...options });
    const nat = world.nat.all[0]!.replicate();
    this.flows = new FleetFlows({
      nat: () => nat,
      tell: (message, to) => this.told.push([message, to]),
      drops: world.drops,
      seed,
    });
    // Monotonic times of hosts have nothing to do with each other.
    world.advance(1_000_000 * seed);
  }

  hold(): ReturnType<FleetFlows["hold"]> {
    return this.flows.hold(this.world.clock.now);
  }

  giveUp(): void {
    this.flows.giveUp(this.world.clock.now);
  }
}

/** Lets time pass for both, and what either tells reach the other. */
export function pass(ms: number, gateways: readonly Gateway[]): void {
  for (let at = 0; at < ms; at += 50) {
    for (const { world, flows } of gateways) {
      world.advance(50);
      flows.poll(world.clock.now);
    }
    deliver(gateways);
  }
}

export function deliver(gateways: readonly Gateway[]): void {
  for (const from of gateways) {
    const messages = from.told;
    from.told = [];
    for (const to of gateways) {
      if (to === from) continue;
      for (const [message, number] of messages) {
        if (number !== undefined && number !== to.number) continue;
        assert(to.flows.take(message, to.world.clock.now));
      }
    }
  }
}

/** Two of which the first has the address. */
export function fleet(options: WorldOptions = {}): [Gateway, Gateway] {
  const gateways: [Gateway, Gateway] = [new Gateway(1, options), new Gateway(2, options)];
  gateways[0].hold();
  return gateways;
}
