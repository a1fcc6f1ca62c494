/**
 * What access rules cost a packet: from one client to another through a gateway in memory, opened and sealed again,
 * without rules, with 1,000 of each client, and counted by flow, as `FlowLog = on` has it. In turns, and the least of
 * many, as whatever else runs only adds.
 *
 *     deno run -A tests/bench/access_bench.ts
 */
import { TargetKind } from "../../lib/core/access/access_items.ts";
import { writeText } from "../../lib/process/output.ts";
import { accessItems } from "../support/access/items.ts";
import { type End, Network, START } from "../support/offload/memory_network.ts";
import { virtioHeader } from "../support/offload/reference.ts";
import { buildUdp } from "../support/packets/packet_builder.ts";

const RULES = 1000;
const PAYLOAD = 1392;
const PACKETS = 64;
const TURNS = 400;
const ROUNDS = 60;

/** ns for each packet at the server alone, of one round. */
function round({ client, server, neighbour }: Network, now: number): number {
  let spent = 0;
  for (let turn = 0; turn < TURNS; turn++) {
    client.tun.reads = PACKETS;
    client.engine.readTun(now);
    client.endTurn(now);
    const before = performance.now();
    server.receive(now);
    spent += performance.now() - before;
    neighbour.receive(now);
  }
  return spent * 1e6 / (TURNS * PACKETS);
}

function prepared({ rules = 0, isMetered = false }): Network {
  const access = rules === 0 ? [] : accessItems(rules, TargetKind.any);
  const network = new Network({ mtu: 1420, access, isMetered });
  const { client, neighbour } = network;
  const packet = buildUdp({ ...between(client, neighbour), payload: new Uint8Array(PAYLOAD) });
  client.tun.prepare(Uint8Array.from([...virtioHeader({}), ...packet]));
  return network;
}

function between(from: End, to: End): { source: string; destination: string } {
  return { source: from.place.inside, destination: to.place.inside };
}

const networks = [prepared({}), prepared({ rules: RULES }), prepared({ isMetered: true })] as const;
/** Of each network's times to those of the first, by round. */
const ratios: number[][] = networks.map(() => []);
const least = networks.map(() => Infinity);
for (let i = 0; i < ROUNDS; i++) {
  const times = networks.map((network) => round(network, START + i));
  times.forEach((time, which) => least[which] = Math.min(least[which]!, time));
  // The first rounds are the engine's, which compiles.
  if (i >= 5) times.forEach((time, which) => ratios[which]!.push(time / times[0]!));
}
const names = ["no rules", `${RULES} rules`, "counted by flow"];
for (const [which, name] of names.entries()) {
  const [ns, all] = [least[which]!, ratios[which]!.toSorted((a, b) => a - b)];
  const [ratio, median] = [ns / least[0]!, all[Math.floor(all.length / 2)]!];
  writeText(
    Deno.stdout,
    `${name}: ${ns.toFixed(0)} ns a packet at least, ratio ${ratio.toFixed(3)}; ` +
      `median of the rounds' ratios ${median.toFixed(3)}\n`,
  );
}
