/**
 * The gateway alone: packets of many peers go through it, sealed beforehand, so that it has the machine nearly for
 * itself; by the number of its data-plane threads.
 */
import { delay, type Wire } from "../../net/support/wire.ts";
import type { TestNamespace } from "../../support/net.ts";
import type { Program } from "../contenders/vpn.ts";
import { backlogFigure, GATEWAY_PEERS, natThreadsName, threadsName } from "../figures.ts";
import { type Way, WAYS } from "../load/gateway_load.ts";
import type { Samples } from "../samples.ts";
import { GatewayAlone, type GatewayRun, PACKETS } from "./gateway_alone.ts";
import { routeToInternet } from "./nat.ts";
import { runSince, runTimes } from "./process_stats.ts";
import { routeClients } from "./thousand_clients.ts";

const WARM_UP_PACKETS = 1 << 15;
/** Backlogs, and runs that compile the code before them. */
const BACKLOGS = 15;
const BACKLOG_WARM_UPS = 4;
/** ms of a look whether a gateway rests. */
const SETTLE_MS = 300;

export interface GatewayOptions {
  readonly program: Program;
  readonly internet: TestNamespace;
  readonly rounds: number;
  readonly samples: Samples;
  /** Told what a reader must know. */
  readonly remark: (text: string) => void;
}

/** Fills the figures `gateway-*` and `backlog-*`. */
export async function measureGateway(wire: Wire, options: GatewayOptions): Promise<void> {
  await routeClients(wire);
  await using _route = await routeToInternet(wire);
  for (let round = 0; round < options.rounds; round++) {
    for (const setup of SETUPS) await measureOnce(wire, options, setup);
  }
}

/** How a gateway is started, and what is measured then. */
interface Setup {
  readonly threads: number;
  /** Who translates: our NAT, or the kernel. */
  readonly egress: "raw" | "kernel";
  readonly ways: readonly Way[];
}

const processors = navigator.hardwareConcurrency;
const SETUPS: readonly Setup[] = [
  { threads: 1, egress: "raw", ways: ["up", "down"] },
  { threads: 1, egress: "kernel", ways: WAYS },
  ...processors === 1 ? [] : [
    { threads: processors, egress: "raw", ways: ["up", "down"] } as const,
    { threads: processors, egress: "kernel", ways: WAYS } as const,
  ],
];

async function measureOnce(
  wire: Wire,
  { program, internet, samples, remark }: GatewayOptions,
  { threads, egress, ways }: Setup,
): Promise<void> {
  const alone = { program, internet, threads, egress, peers: GATEWAY_PEERS };
  await using gateway = await GatewayAlone.start(wire, alone);
  const { load, pid } = gateway;
  const name = egress === "raw" ? natThreadsName(threads) : threadsName(threads);
  for (const way of ways) {
    await load.run(way, WARM_UP_PACKETS);
    await settle(pid);
    const { rate, cost, lost } = await gateway.run(way);
    if (lost > 0) remark(`The gateway alone, ${name}, ${way}: ${lost} of ${PACKETS} lost.`);
    samples.add(`gateway-${way}`, name, rate);
    samples.add(`gateway-${way}-cpu`, name, cost);
  }
  for (const way of ways) {
    const figure = backlogFigure(egress, way);
    for (const { rate, cost } of await workOff(gateway, way)) {
      samples.add(figure, threadsName(threads), rate);
      samples.add(`${figure}-cpu`, threadsName(threads), cost);
    }
  }
}

/** Has a gateway work off backlogs, some times over. */
async function workOff(gateway: GatewayAlone, way: Way): Promise<GatewayRun[]> {
  const { load, pid } = gateway;
  for (let round = 0; round < BACKLOG_WARM_UPS; round++) await load.run(way, WARM_UP_PACKETS);
  await settle(pid);
  await using _first = await gateway.goFirst();
  const results: GatewayRun[] = [];
  for (let i = 0; i < BACKLOGS; i++) {
    const result = await gateway.workOff(way);
    if (result.lost === 0) results.push(result);
  }
  return results;
}

/**
 * Waits, some seconds at most, until a gateway has done all that follows from so many sessions: reports, and the search
 * for what each path takes.
 */
export async function settle(pid: number): Promise<void> {
  for (let look = 0; look < 40; look++) {
    const before = runTimes(pid);
    await delay(SETTLE_MS);
    if (runSince(pid, before) * 1e3 < SETTLE_MS / 20) return;
  }
}
