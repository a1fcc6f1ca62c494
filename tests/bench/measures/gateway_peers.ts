/**
 * The gateway alone, with one peer that sends and with 1,000: both stand at once, and work off backlogs in turns. Each
 * is started several times, as processes of one program differ by more than peers do; and as the machine is faster in
 * one of these times than in another, it is the two of one time that are compared.
 */
import type { Program } from "../contenders/vpn.ts";
import { peersName } from "../figures.ts";
import type { Samples } from "../samples.ts";
import { type GatewaySite, settle } from "./gateway.ts";
import { addMedians, GatewayAlone, workOffInTurns } from "./gateway_alone.ts";
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
  const gateways: GatewayAlone[] = [];
  for (const peers of PEERS) {
    const { wire, internet } = await lay();
    await routeClients(wire);
    stack.use(await routeToInternet(wire));
    const options = { program, internet, threads: 1, egress: "raw", peers } as const;
    gateways.push(stack.use(await GatewayAlone.start(wire, options)));
  }
  for (let run = 0; run < WARM_UPS; run++) {
    for (const gateway of gateways) await gateway.run("up");
  }
  for (const gateway of gateways) {
    await settle(gateway.pid);
    await gateway.stay();
    stack.use(await gateway.goFirst());
  }
  const results = await workOffInTurns(gateways, "up", backlogs);
  for (const [i, peers] of PEERS.entries()) {
    addMedians(samples, "gateway-peers", peersName(peers), results[i]!);
  }
}
