/** Incidents in a simulated fleet: links, the store, and gateways, by chance. */
import type { Random } from "../random.ts";
import type { SimulatedMesh } from "./simulated_mesh.ts";

/** Who kills gateways and starts them. */
export interface Lives {
  kill(gateway: number): void;
  start(gateway: number): void;
}

export function happen(mesh: SimulatedMesh, random: Random, lives: Lives = mesh): void {
  const gateway = random.pick(mesh.numbers);
  const other = random.pick(mesh.numbers);
  const some = mesh.numbers.filter(() => random.chance(0.5));
  const isAlive = mesh.alive.includes(gateway);
  random.pick([
    () => mesh.cut(gateway, other),
    () => mesh.cutBoth(gateway, other),
    () => mesh.partition(some),
    () => mesh.heal(),
    () => mesh.cutStore(...some),
    () => mesh.cutStore(...mesh.numbers),
    () => mesh.healStore(...some),
    () => isAlive && lives.kill(gateway),
    () => !isAlive && lives.start(gateway),
    () => isAlive && mesh.tell(gateway, { kind: random.pick(["drain", "rebalance"]) }),
  ])();
}
