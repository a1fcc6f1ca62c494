/**
 * The gateway alone: packets of many peers go through it, sealed beforehand, so that it has the machine nearly for
 * itself; by the number of its data-plane threads, and of its peers.
 */
import { INTERFACE_KEYS } from "../../../lib/core/config/values/keys.ts";
import { parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { newIdentity } from "../../net/support/config.ts";
import { delay, SERVER_OUTSIDE, SERVER_PORT, type Wire } from "../../net/support/wire.ts";
import type { TestNamespace } from "../../support/net.ts";
import { type Program, startVpn } from "../contenders/vpn.ts";
import { IDENTITIES, serverConfigWith } from "../contenders/wireguard_config.ts";
import { GATEWAY_PEERS, peersName, threadsName } from "../figures.ts";
import { GatewayLoad, WAYS } from "../load/gateway_load.ts";
import type { Samples } from "../samples.ts";
import { INTERNET, routeToInternet } from "./nat.ts";
import { runSince, runTimes } from "./process_stats.ts";
import { peersOf, routeClients } from "./thousand_clients.ts";

/** Packets of a run: 1.9 Gbit, which take less than a second. */
const PACKETS = 1 << 17;
const WARM_UP_PACKETS = 1 << 15;
/** ms of a look whether a gateway rests. */
const SETTLE_MS = 300;
const MB = 1e6;
const GBIT = 1e9;
/** The key that says how many threads; while there is none, there is one. */
const THREADS_KEY = "DataPlaneThreads";
/** Peers in the comparison by their count, beside those of the other figures. */
const FEW_AND_MANY: readonly number[] = [1, 1000];

export interface GatewayOptions {
  readonly program: Program;
  readonly internet: TestNamespace;
  /** Runs of each kind. */
  readonly runs: number;
  readonly samples: Samples;
  /** Told what a reader must know. */
  readonly remark: (text: string) => void;
}

/** Fills the figures `gateway-*`, once. */
export async function measureGateway(wire: Wire, options: GatewayOptions): Promise<void> {
  await routeClients(wire);
  await using _route = await routeToInternet(wire);
  const isKnown = THREADS_KEY in INTERFACE_KEYS;
  const processors = navigator.hardwareConcurrency;
  if (!isKnown) options.remark(`The gateway alone: one thread, as there is no ${THREADS_KEY} yet.`);
  for (const threads of isKnown && processors > 1 ? [1, processors] : [1]) {
    const extra = isKnown ? { [THREADS_KEY]: threads } : {};
    await measureOnce(wire, options, { threads, extra, peers: GATEWAY_PEERS });
    if (threads > 1) continue;
    for (const peers of FEW_AND_MANY) await measureOnce(wire, options, { threads, extra, peers });
  }
}

/** How a gateway is started. */
interface Setup {
  readonly threads: number;
  /** What its configuration says besides. */
  readonly extra: Readonly<Record<string, number>>;
  readonly peers: number;
}

async function measureOnce(
  wire: Wire,
  { program, internet, runs, samples, remark }: GatewayOptions,
  { threads, extra, peers }: Setup,
): Promise<void> {
  const clients = Array.from({ length: peers }, newIdentity);
  const config = serverConfigWith({ isOurs: true, extra }, peersOf(clients));
  await using server = await startVpn("server", wire.server, { program, config });
  using load = await GatewayLoad.prepare({
    clientNamespace: wire.client.name,
    internetNamespace: internet.name,
    server: IDENTITIES.server,
    address: parseIpv4(SERVER_OUTSIDE)!,
    port: SERVER_PORT,
    internet: INTERNET,
    clients,
    capacity: PACKETS,
  });
  const isUsual = peers === GATEWAY_PEERS;
  for (const way of isUsual ? WAYS : WAYS.slice(0, 1)) {
    await load.run(way, WARM_UP_PACKETS);
    await settle(server.pid);
    for (let run = 0; run < runs; run++) {
      // What comes before and after is sealing, and the gateway idle.
      const before = runTimes(server.pid);
      const { bytes, seconds, lost } = await load.run(way, PACKETS);
      const cost = runSince(server.pid, before) * 1e3 / (bytes / MB);
      const rate = bytes * 8 / seconds / GBIT;
      if (lost > 0) {
        remark(`The gateway alone, ${peersName(peers)}, ${way}: ${lost} of ${PACKETS} lost.`);
      }
      if (isUsual) {
        samples.add(`gateway-${way}`, threadsName(threads), rate);
        samples.add(`gateway-${way}-cpu`, threadsName(threads), cost);
      }
      if (way !== "up" || threads > 1) continue;
      samples.add("gateway-peers", peersName(peers), rate);
      samples.add("gateway-peers-cpu", peersName(peers), cost);
    }
  }
}

/**
 * Waits, some seconds at most, until a gateway has done all that follows from so many sessions: reports, and the search
 * for what each path takes.
 */
async function settle(pid: number): Promise<void> {
  for (let look = 0; look < 40; look++) {
    const before = runTimes(pid);
    await delay(SETTLE_MS);
    if (runSince(pid, before) * 1e3 < SETTLE_MS / 20) return;
  }
}
