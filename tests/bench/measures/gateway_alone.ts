/** A gateway that has the machine nearly for itself, and the load of its peers, whose packets are sealed beforehand. */
import { parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { newIdentity } from "../../net/support/config.ts";
import { SERVER_OUTSIDE, SERVER_PORT, type Wire } from "../../net/support/wire.ts";
import type { TestNamespace } from "../../support/net.ts";
import { type BackgroundProcess, run } from "../../support/process.ts";
import { type Program, startVpn } from "../contenders/vpn.ts";
import { IDENTITIES, serverConfigWith } from "../contenders/wireguard_config.ts";
import { PEERS_SERVER } from "../load/peer_address.ts";
import { GatewayLoad, type Way } from "../load/gateway_load.ts";
import { median, type Samples } from "../samples.ts";
import { INTERNET } from "./nat.ts";
import { runSince, runTimes, threadFile } from "./process_stats.ts";
import { peersOf } from "./thousand_clients.ts";

/** Packets of a run: 1.9 Gbit, which take less than a second. */
export const PACKETS: number = 1 << 17;
/** Packets of a backlog: what a socket's buffer takes. */
const BACKLOG_PACKETS = 1 << 12;
const MB = 1e6;
const GBIT = 1e9;

export interface GatewayAloneOptions {
  readonly program: Program;
  readonly internet: TestNamespace;
  readonly threads: number;
  /** Who translates: our NAT, or the kernel. */
  readonly egress: "raw" | "kernel";
  readonly peers: number;
}

export interface GatewayRun {
  /** Gbit/s. */
  readonly rate: number;
  /** Processor time: ms for a megabyte of a run, us for a packet of a backlog. */
  readonly cost: number;
  /** Packets. A backlog that a buffer had no room for is none. */
  readonly lost: number;
}

export class GatewayAlone implements AsyncDisposable {
  readonly load: GatewayLoad;
  readonly #server: BackgroundProcess;

  private constructor(server: BackgroundProcess, load: GatewayLoad) {
    this.#server = server;
    this.load = load;
  }

  /** Starts it on a wire whose clients and whose way to the internet have their routes. */
  static async start(wire: Wire, options: GatewayAloneOptions): Promise<GatewayAlone> {
    const { program, internet, threads, egress, peers } = options;
    const clients = Array.from({ length: peers }, newIdentity);
    // The kernel translates what comes from the tunnel's own network.
    const extra = { DataPlaneThreads: threads, Address: PEERS_SERVER };
    const config = serverConfigWith({ isOurs: true, egress, extra }, peersOf(clients));
    await using stack = new AsyncDisposableStack();
    const server = stack.use(await startVpn("server", wire.server, { program, config }));
    const load = await GatewayLoad.prepare({
      clientNamespace: wire.client.name,
      internetNamespace: internet.name,
      server: IDENTITIES.server,
      address: parseIpv4(SERVER_OUTSIDE)!,
      port: SERVER_PORT,
      internet: INTERNET,
      clients,
      capacity: PACKETS,
    });
    stack.move();
    return new GatewayAlone(server, load);
  }

  get pid(): number {
    return this.#server.pid;
  }

  /**
   * Sends one run through it.
   *
   * @throws {Error} when nothing comes through
   */
  async run(way: Way): Promise<GatewayRun> {
    // What comes before is sealing, and the gateway idle.
    const before = runTimes(this.pid);
    const { bytes, seconds, lost } = await this.load.run(way, PACKETS);
    if (bytes === 0) throw new Error(`Cannot measure the gateway: nothing comes through, ${way}`);
    const cost = runSince(this.pid, before) * 1e3 / (bytes / MB);
    return { rate: bytes * 8 / seconds / GBIT, cost, lost };
  }

  /** Has it stay on one processor, so that another gateway beside it has the same. */
  async stay(): Promise<void> {
    await schedule("taskset", "--all-tasks", "--cpu-list", "--pid", "0", `${this.pid}`);
  }

  /**
   * Has its data plane go before whatever else runs on the machine, for backlogs, which take some ms each. Disposal
   * undoes it. Not its main thread: Deno's spins as long as V8 works in the background, which needs a processor.
   */
  async goFirst(): Promise<AsyncDisposable> {
    await this.#schedule("--fifo", "--pid", "1");
    return { [Symbol.asyncDispose]: () => this.#schedule("--other", "--pid", "0") };
  }

  /** Schedules its data-plane threads otherwise, by chrt(1). */
  async #schedule(...how: readonly string[]): Promise<void> {
    const tasks = `/proc/${this.pid}/task`;
    for (const { name: thread } of Deno.readDirSync(tasks)) {
      if (!threadFile(`${tasks}/${thread}/comm`)?.startsWith("worker-")) continue;
      await schedule("chrt", ...how, thread);
    }
  }

  /** Has it work off what has come while it was stopped. */
  async workOff(way: Way): Promise<GatewayRun> {
    const before = runTimes(this.pid);
    const { bytes, seconds, lost } = await this.load.backlog(way, BACKLOG_PACKETS, this.pid);
    const cost = runSince(this.pid, before) * 1e6 / BACKLOG_PACKETS;
    return { rate: bytes * 8 / seconds / GBIT, cost, lost };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.load[Symbol.dispose]();
    await this.#server[Symbol.asyncDispose]();
  }
}

/**
 * Has gateways work off backlogs in turns. Returns what came of it, by gateway: number i of each is of one turn. One in
 * which any of them lost something is left out.
 */
export async function workOffInTurns(
  gateways: readonly GatewayAlone[],
  way: Way,
  turns: number,
): Promise<GatewayRun[][]> {
  const runs = gateways.map((): GatewayRun[] => []);
  for (let turn = 0; turn < turns; turn++) {
    const all: GatewayRun[] = [];
    for (const gateway of gateways) all.push(await gateway.workOff(way));
    if (all.some(({ lost }) => lost > 0)) continue;
    for (const [i, run] of all.entries()) runs[i]!.push(run);
  }
  return runs;
}

/** Adds the medians of a gateway's runs to a figure and to that of its processor time. */
export function addMedians(
  samples: Samples,
  figure: string,
  name: string,
  runs: readonly GatewayRun[],
): void {
  samples.add(figure, name, median(runs.map(({ rate }) => rate)));
  samples.add(`${figure}-cpu`, name, median(runs.map(({ cost }) => cost)));
}

async function schedule(...command: readonly string[]): Promise<void> {
  const { code, stderr } = await run(null, command);
  if (code !== 0) throw new Error(`Cannot schedule the gateway: ${stderr}`);
}
