/**
 * The gateway alone, with one peer that sends and with 1,000: both stand at once, and work off backlogs in turns. Each
 * is started several times, as processes of one program differ by more than peers do; and as the machine is faster in
 * one of these times than in another, it is the two of one time that are compared.
 */
import type { Program } from "../contenders/vpn.ts";
import { peersName } from "../figures.ts";
import { median, type Samples } from "../samples.ts";
import { type GatewaySite, settle } from "./gateway.ts";
import { GatewayAlone, type GatewayRun } from "./gateway_alone.ts";
import { routeToInternet } from "./nat.ts";
import { routeClients } from "./thousand_clients.ts";

const PEERS = [1, 1000] as const;
/** Runs of each before anything counts: until the compiler has nothing left to do. */
const WARM_UPS = 25;

export interface GatewayPeersOptions {
  readonly program: Program;
  /** Lays a wire of its own for each gateway, and an internet behind it. */
  readonly lay: () => Promise<GatewaySite>;
  /** Processes of each, and backlogs of each of them. */
  readonly processes: number;
  readonly backlogs: number;
  readonly samples: Samples;
}

/** Fills the figures `gateway-peers` and `gateway-peers-cpu`: one data-plane thread, our NAT, to the internet. */
export async function measureGatewayPeers(options: GatewayPeersOptions): Promise<void> {
  for (let process = 0; process < options.processes; process++) await measureOnce(options);
}

async function measureOnce(
  { program, lay, backlogs, samples }: GatewayPeersOptions,
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const gateways: {
    readonly name: string;
    readonly gateway: GatewayAlone;
    readonly runs: GatewayRun[];
  }[] = [];
  for (const peers of PEERS) {
    const { wire, internet } = await lay();
    await routeClients(wire);
    stack.use(await routeToInternet(wire));
    const options = { program, internet, threads: 1, egress: "raw", peers } as const;
    const gateway = stack.use(await GatewayAlone.start(wire, options));
    gateways.push({ name: peersName(peers), gateway, runs: [] });
  }
  for (let run = 0; run < WARM_UPS; run++) {
    for (const { gateway } of gateways) await gateway.run("up");
  }
  for (const { gateway } of gateways) {
    await settle(gateway.pid);
    await gateway.stay();
    stack.use(await gateway.goFirst());
  }
  for (let backlog = 0; backlog < backlogs; backlog++) {
    for (const { gateway, runs } of gateways) {
      const run = await gateway.workOff("up");
      if (run.lost === 0) runs.push(run);
    }
  }
  for (const { name, runs } of gateways) {
    samples.add("gateway-peers", name, median(runs.map(({ rate }) => rate)));
    samples.add("gateway-peers-cpu", name, median(runs.map(({ cost }) => cost)));
  }
}
