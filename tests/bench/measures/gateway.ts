/**
 * The gateway alone: packets of many peers go through it, sealed beforehand, so that it has the machine nearly for
 * itself; by the number of its data-plane threads, and of its peers.
 */
import { parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { newIdentity } from "../../net/support/config.ts";
import { delay, SERVER_OUTSIDE, SERVER_PORT, type Wire } from "../../net/support/wire.ts";
import type { TestNamespace } from "../../support/net.ts";
import { type Program, startVpn } from "../contenders/vpn.ts";
import { IDENTITIES, serverConfigWith } from "../contenders/wireguard_config.ts";
import { run } from "../../support/process.ts";
import {
  backlogFigure,
  GATEWAY_PEERS,
  natThreadsName,
  peersName,
  threadsName,
} from "../figures.ts";
import { PEERS_SERVER } from "../load/peer_address.ts";
import { GatewayLoad, type Way, WAYS } from "../load/gateway_load.ts";
import type { Samples } from "../samples.ts";
import { INTERNET, routeToInternet } from "./nat.ts";
import { runSince, runTimes } from "./process_stats.ts";
import { peersOf, routeClients } from "./thousand_clients.ts";

/** Packets of a run: 1.9 Gbit, which take less than a second. */
const PACKETS = 1 << 17;
const WARM_UP_PACKETS = 1 << 15;
/** Runs of a way whose ratio by peers is judged. */
const PEER_RUNS = 4;
/** Packets of a backlog: what a socket's buffer takes; how many there are, and runs that compile the code first. */
const BACKLOG_PACKETS = 1 << 12;
const BACKLOGS = 15;
const BACKLOG_WARM_UPS = 4;
/** ms of a look whether a gateway rests. */
const SETTLE_MS = 300;
const MB = 1e6;
const GBIT = 1e9;

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
  readonly peers: number;
  readonly ways: readonly Way[];
}

const processors = navigator.hardwareConcurrency;
const SETUPS: readonly Setup[] = [
  { threads: 1, egress: "raw", peers: 1, ways: ["up"] },
  { threads: 1, egress: "raw", peers: GATEWAY_PEERS, ways: ["up", "down"] },
  { threads: 1, egress: "raw", peers: 1000, ways: ["up"] },
  { threads: 1, egress: "kernel", peers: GATEWAY_PEERS, ways: WAYS },
  ...processors === 1 ? [] : [
    { threads: processors, egress: "raw", peers: GATEWAY_PEERS, ways: ["up", "down"] } as const,
    { threads: processors, egress: "kernel", peers: GATEWAY_PEERS, ways: WAYS } as const,
  ],
];

async function measureOnce(
  wire: Wire,
  { program, internet, samples, remark }: GatewayOptions,
  { threads, egress, peers, ways }: Setup,
): Promise<void> {
  const clients = Array.from({ length: peers }, newIdentity);
  // The kernel translates what comes from the tunnel's own network.
  const extra = { DataPlaneThreads: threads, Address: PEERS_SERVER };
  const config = serverConfigWith({ isOurs: true, egress, extra }, peersOf(clients));
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
  const name = egress === "raw" ? natThreadsName(threads) : threadsName(threads);
  for (const way of ways) {
    await load.run(way, WARM_UP_PACKETS);
    await settle(server.pid);
    const isByPeers = egress === "raw" && threads === 1 && way === "up";
    for (let run = 0; run < (isByPeers ? PEER_RUNS : 1); run++) {
      // What comes before is sealing, and the gateway idle.
      const before = runTimes(server.pid);
      const { bytes, seconds, lost } = await load.run(way, PACKETS);
      if (bytes === 0) throw new Error(`Cannot measure the gateway: nothing comes through, ${way}`);
      const cost = runSince(server.pid, before) * 1e3 / (bytes / MB);
      const rate = bytes * 8 / seconds / GBIT;
      if (lost > 0) {
        remark(
          `The gateway alone, ${name}, ${peersName(peers)}, ${way}: ${lost} of ${PACKETS} lost.`,
        );
      }
      if (peers === GATEWAY_PEERS) {
        samples.add(`gateway-${way}`, name, rate);
        samples.add(`gateway-${way}-cpu`, name, cost);
      }
      if (isByPeers) {
        samples.add("gateway-peers", peersName(peers), rate);
        samples.add("gateway-peers-cpu", peersName(peers), cost);
      }
    }
  }
  if (peers !== GATEWAY_PEERS) return;
  for (const way of ways) {
    const figure = backlogFigure(egress, way);
    for (const { rate, cost } of await workOff(load, server.pid, way)) {
      samples.add(figure, threadsName(threads), rate);
      samples.add(`${figure}-cpu`, threadsName(threads), cost);
    }
  }
}

/**
 * Has a gateway work off what has come while it was stopped, some times over. It goes before whatever else runs on the
 * machine, as each time takes some ms alone.
 */
async function workOff(
  load: GatewayLoad,
  pid: number,
  way: Way,
): Promise<{ readonly rate: number; readonly cost: number }[]> {
  for (let round = 0; round < BACKLOG_WARM_UPS; round++) await load.run(way, WARM_UP_PACKETS);
  await settle(pid);
  const results: { rate: number; cost: number }[] = [];
  await schedule(pid, ["--fifo", "--pid", "1"]);
  try {
    for (let i = 0; i < BACKLOGS; i++) {
      const before = runTimes(pid);
      const { bytes, seconds, lost } = await load.backlog(way, BACKLOG_PACKETS, pid);
      // A backlog that a buffer had no room for is none.
      if (lost > 0) continue;
      const cost = runSince(pid, before) * 1e6 / BACKLOG_PACKETS;
      results.push({ rate: bytes * 8 / seconds / GBIT, cost });
    }
  } finally {
    await schedule(pid, ["--other", "--pid", "0"]);
  }
  return results;
}

/** Schedules all threads of a process otherwise, by chrt(1). */
async function schedule(pid: number, how: readonly string[]): Promise<void> {
  const { code, stderr } = await run(null, ["chrt", "--all-tasks", ...how, `${pid}`]);
  if (code !== 0) throw new Error(`Cannot schedule the gateway: ${stderr}`);
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
