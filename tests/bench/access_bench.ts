/**
 * What access rules cost a packet: from one client to another through a gateway in memory, opened and sealed again,
 * without rules and with 1,000 of each client. In turns, and the least of many, as whatever else runs only adds.
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

function prepared(rules: number): Network {
  const access = rules === 0 ? [] : accessItems(rules, TargetKind.any);
  const network = new Network({ mtu: 1420, access });
  const { client, neighbour } = network;
  const packet = buildUdp({ ...between(client, neighbour), payload: new Uint8Array(PAYLOAD) });
  client.tun.prepare(Uint8Array.from([...virtioHeader({}), ...packet]));
  return network;
}

function between(from: End, to: End): { source: string; destination: string } {
  return { source: from.place.inside, destination: to.place.inside };
}

const networks = [prepared(0), prepared(RULES)] as const;
const ratios: number[] = [];
const least = [Infinity, Infinity];
for (let i = 0; i < ROUNDS; i++) {
  const times = networks.map((network) => round(network, START + i));
  times.forEach((time, which) => least[which] = Math.min(least[which]!, time));
  // The first rounds are the engine's, which compiles.
  if (i >= 5) ratios.push(times[1]! / times[0]!);
}
const median = ratios.toSorted((a, b) => a - b)[Math.floor(ratios.length / 2)]!;
writeText(
  Deno.stdout,
  `no rules: ${least[0]!.toFixed(0)} ns a packet at least
${RULES} rules: ${least[1]!.toFixed(0)} ns a packet at least
ratio of the least: ${(least[1]! / least[0]!).toFixed(3)}
median of the rounds' ratios: ${median.toFixed(3)}
`,
);
