/**
 * The gateway alone: packets of many peers go through it, sealed beforehand, so that it has the machine nearly for
 * itself; by the number of its data-plane threads. Gateways with one and with more stand at once and take turns, as
 * the machine is faster at one time than at another.
 */
import { delay, type Wire } from "../../net/support/wire.ts";
import type { TestNamespace } from "../../support/net.ts";
import type { Program } from "../contenders/vpn.ts";
import { backlogFigure, GATEWAY_PEERS, natThreadsName, threadsName } from "../figures.ts";
import { type Way, WAYS } from "../load/gateway_load.ts";
import type { Samples } from "../samples.ts";
import {
  addMedians,
  GatewayAlone,
  type GatewayRun,
  PACKETS,
  workOffInTurns,
} from "./gateway_alone.ts";
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
  /** Lays a wire of its own for each gateway, and an internet behind it. */
  readonly lay: () => Promise<GatewaySite>;
  readonly rounds: number;
  readonly samples: Samples;
  /** Told what a reader must know. */
  readonly remark: (text: string) => void;
}

/** Where a gateway stands. */
export interface GatewaySite {
  readonly wire: Wire;
  readonly internet: TestNamespace;
}

/** Fills the figures `gateway-*` and `backlog-*`. */
export async function measureGateway(options: GatewayOptions): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const sites: GatewaySite[] = [];
  for (const _ of THREADS) {
    const site = await options.lay();
    await routeClients(site.wire);
    stack.use(await routeToInternet(site.wire));
    sites.push(site);
  }
  for (let round = 0; round < options.rounds; round++) {
    for (const setup of SETUPS) await measureOnce(sites, options, { ...setup, round });
  }
}

/** How the gateways are started, and what is measured then. */
interface Setup {
  /** Who translates: our NAT, or the kernel. */
  readonly egress: "raw" | "kernel";
  readonly ways: readonly Way[];
}

const SETUPS: readonly Setup[] = [
  { egress: "raw", ways: ["up", "down"] },
  { egress: "kernel", ways: WAYS },
];

/** More than eight have to be asked for, and more than fifteen are refused. */
const processors = Math.min(navigator.hardwareConcurrency, 8);
/** Data-plane threads of the gateways that stand beside each other. */
const THREADS: readonly number[] = processors === 1 ? [1] : [1, processors];

async function measureOnce(
  sites: readonly GatewaySite[],
  { program, samples, remark }: GatewayOptions,
  { egress, ways, round }: Setup & { readonly round: number },
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const gateways: { readonly threads: number; readonly gateway: GatewayAlone }[] = [];
  for (const [i, threads] of THREADS.entries()) {
    const { wire, internet } = sites[i]!;
    const alone = { program, internet, threads, egress, peers: GATEWAY_PEERS };
    gateways.push({ threads, gateway: stack.use(await GatewayAlone.start(wire, alone)) });
  }
  for (const way of ways) {
    for (const { threads, gateway } of round % 2 === 0 ? gateways : gateways.toReversed()) {
      const name = egress === "raw" ? natThreadsName(threads) : threadsName(threads);
      await gateway.load.run(way, WARM_UP_PACKETS);
      // What the other has to do after its own run, or its handshakes, would be in this one's.
      for (const { gateway } of gateways) await settle(gateway.pid);
      const { rate, cost, lost } = await gateway.run(way);
      if (lost > 0) remark(`The gateway alone, ${name}, ${way}: ${lost} of ${PACKETS} lost.`);
      samples.add(`gateway-${way}`, name, rate);
      samples.add(`gateway-${way}-cpu`, name, cost);
    }
  }
  for (const way of ways) {
    const figure = backlogFigure(egress, way);
    const results = await workOff(gateways.map(({ gateway }) => gateway), way);
    const turns = results[0]!.length;
    if (turns < BACKLOGS) {
      remark(`Backlogs, ${egress}, ${way}: ${BACKLOGS - turns} turns lost something.`);
    }
    for (const [i, { threads }] of gateways.entries()) {
      addMedians(samples, figure, threadsName(threads), results[i]!);
    }
  }
}

/** Has gateways work off backlogs in turns, once their code is compiled. */
async function workOff(gateways: readonly GatewayAlone[], way: Way): Promise<GatewayRun[][]> {
  await using stack = new AsyncDisposableStack();
  for (const { load } of gateways) {
    for (let round = 0; round < BACKLOG_WARM_UPS; round++) await load.run(way, WARM_UP_PACKETS);
  }
  for (const gateway of gateways) {
    await settle(gateway.pid);
    stack.use(await gateway.goFirst());
  }
  return await workOffInTurns(gateways, way, BACKLOGS);
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
