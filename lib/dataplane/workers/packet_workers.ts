/** Packet workers: the main thread's end: starts them, gives them the TUN, tells them what changes, ends them. */
import { loadSocketFilter } from "../../../ffi/bpf.ts";
import { openLibc } from "../../../ffi/libc.ts";
import type { AccessItem } from "../../core/access/access_items.ts";
import type { EgressRule } from "../../core/access/egress_rules.ts";
import type { FlowBatch } from "../../core/flows/flow_meter.ts";
import type { NatService } from "../../core/nat/nat_options.ts";
import type { ExternalLink } from "../../core/nat/external_link.ts";
import type { Ipv6Text } from "../../core/wire/host_address.ts";
import { tunSteering } from "../filters/steering.ts";
import type { DataPlaneConfig } from "../data_plane_protocol.ts";
import { DataPlaneError } from "../thread/data_plane_error.ts";
import { WorkerThread } from "../thread/worker_thread.ts";
import type {
  PacketWorkerCommand,
  PacketWorkerConfig,
  PacketWorkerReport,
} from "./packet_worker_protocol.ts";
import type { WorkerFigures } from "./worker_figures.ts";
import { type ExternalFollower, SharedExternal } from "./shared_external.ts";
import { closeSharedMemory, createSharedMemory, type SharedMemory } from "./shared_memory.ts";

/** What workers begin with, whichever they are. */
type CommonConfig = Omit<PacketWorkerConfig, "commandFd" | "number" | "shared">;

/** What workers begin with, of what the device's thread has: not the keys, which they would have copies of for good. */
export function packetWorkerConfig(
  config: Omit<DataPlaneConfig, "commandFd" | "shared">,
  { port, hasOneNat }: Pick<PacketWorkerConfig, "port" | "hasOneNat">,
): CommonConfig {
  const { isGateway, mark, mtu, offload, aead, addresses, addresses6 = [] } = config;
  const { clientToClient, egressRules, access, egress, egress6 = null } = config;
  return {
    isGateway,
    mark,
    mtu,
    offload,
    aead,
    addresses,
    addresses6,
    clientToClient,
    egressRules,
    access,
    egress,
    egress6,
    hasOneNat,
    port,
  };
}

/** Takes what is to be known of workers. */
export interface PacketWorkersListener {
  onLog(level: "trace" | "warning", message: string): void;
  onFailure(failure: DataPlaneError): void;
}

type Answer = Exclude<
  PacketWorkerReport,
  { kind: "log" | "alive" | "stopped" | "failed" }
>;

/** One of them. */
class Worker {
  readonly #thread: WorkerThread<PacketWorkerReport>;
  /** Those who wait for an answer; it answers in order. */
  readonly #waiters: {
    resolve: (answer: Answer) => void;
    reject: (error: Error) => void;
  }[] = [];
  #isEnding = false;

  constructor(number: number, listener: PacketWorkersListener) {
    this.#thread = new WorkerThread<PacketWorkerReport>({
      module: new URL("./packet_worker.ts", import.meta.url),
      name: `packet worker ${number + 1}`,
      category: "dataplane",
      ask: () => this.send({ kind: "ping" }),
      onReport: (report) => {
        if (report.kind === "log") listener.onLog(report.level, report.message);
        else this.#answered(report as Answer);
      },
      onFailure: (failure) => {
        for (const { reject } of this.#waiters.splice(0)) reject(failure);
        listener.onFailure(failure);
      },
    });
  }

  async start(config: Omit<PacketWorkerConfig, "commandFd">): Promise<void> {
    const ready = this.#answer();
    this.#thread.start(config);
    await ready;
    this.#thread.started();
  }

  send(command: PacketWorkerCommand): void {
    this.#thread.send(new TextEncoder().encode(JSON.stringify(command)));
  }

  async ask(command: PacketWorkerCommand): Promise<Answer> {
    if (this.#thread.failure !== null) throw this.#thread.failure;
    if (this.#isEnding) throw hasEnded();
    const answer = this.#answer();
    this.send(command);
    const given = await answer;
    if (given.kind === "refused") throw new DataPlaneError(given);
    return given;
  }

  /** It, as far as it follows the interface outside of one family. */
  follower(isIpv6: boolean): ExternalFollower {
    return {
      setExternal: async (external, group) => {
        const answer = await this.ask({ kind: "set-external", isIpv6, external, group });
        if (answer.kind === "external-set") return answer;
        throw new Error("Cannot set a packet worker's interface");
      },
    };
  }

  async end(): Promise<void> {
    this.#isEnding = true;
    if (this.#thread.failure === null) this.send({ kind: "stop" });
    await this.#thread.end();
    for (const { reject } of this.#waiters.splice(0)) reject(hasEnded());
  }

  #answer(): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    this.#waiters.push({ resolve, reject });
    return promise;
  }

  #answered(answer: Answer): void {
    this.#waiters.shift()?.resolve(answer);
  }
}

export class PacketWorkers {
  readonly shared: SharedMemory;
  readonly #listener: PacketWorkersListener;
  /** None before `start()`. */
  readonly #workers: Worker[] = [];
  readonly #followers: ExternalFollower[] = [];
  readonly #followers6: ExternalFollower[] = [];
  readonly #external = new SharedExternal(this.#followers);
  readonly #external6 = new SharedExternal(this.#followers6);

  /** @throws {SystemCallError} where descriptors have run out */
  constructor(count: number, hasFakeTcp: boolean, listener: PacketWorkersListener) {
    this.shared = createSharedMemory(count, hasFakeTcp);
    this.#listener = listener;
  }

  /**
   * Starts them, the device's thread being there: one after the other, as the kernel numbers sockets in their order.
   *
   * @throws {DataPlaneError} where one cannot start
   */
  async start(config: CommonConfig): Promise<void> {
    for (let number = 0; number < this.shared.toWorkers.length; number++) {
      const worker = new Worker(number, this.#listener);
      this.#workers.push(worker);
      if (number === 0 || !config.hasOneNat) {
        this.#followers.push(worker.follower(false));
        this.#followers6.push(worker.follower(true));
      }
      await worker.start({ ...config, number, shared: this.shared });
    }
    const { egress, egress6 } = config;
    if (typeof egress === "object") await this.#external.set(egress.external);
    if (egress6 !== null) await this.#external6.set(egress6.external);
  }

  /**
   * Creates the TUN with a queue for each.
   *
   * @throws {SystemCallError | DataPlaneError} where that is refused
   */
  async openTun(name: string): Promise<void> {
    const libc = openLibc();
    const steering = loadSocketFilter(libc, tunSteering(this.#workers.length));
    try {
      for (const [number, worker] of this.#workers.entries()) {
        await worker.ask({ kind: "open-tun", name, steering: number === 0 ? steering : null });
      }
    } finally {
      libc.symbols.close(steering);
    }
  }

  setEgressRules(rules: readonly EgressRule[], isLast: boolean): void {
    this.#tell({ kind: "set-egress-rules", rules, isLast });
  }

  /** Hands services to these back ends, those of the parts before that were not the last, from now on. */
  async setServices(services: readonly NatService[], isLast: boolean): Promise<void> {
    await this.#workers[0].ask({ kind: "set-services", services, isLast });
  }

  setClientToClient(allowed: boolean): void {
    this.#tell({ kind: "set-client-to-client", allowed });
  }

  setFlowLog(isOn: boolean): void {
    this.#tell({ kind: "set-flow-log", isOn });
  }

  /** The flows of each that have ended since the last call; with `isLast`, all that there are. */
  async flows(isLast: boolean): Promise<FlowBatch[]> {
    const batches = await Promise.all(this.#workers.map(async (worker) => {
      const answer = await worker.ask({ kind: "get-flows", isLast });
      return answer.kind === "flows" ? answer.batch : null;
    }));
    return batches.filter((batch) => batch !== null);
  }

  setTrace(trace: boolean): void {
    this.#tell({ kind: "set-trace", trace });
  }

  /** Tells of the interface outside; null while there is none. */
  setExternal(external: ExternalLink | null): void {
    // One that dies meanwhile is told of by itself.
    this.#external.set(external).catch(() => {});
  }

  /** The same of IPv6. */
  setExternal6(external: ExternalLink<Ipv6Text> | null): void {
    this.#external6.set(external).catch(() => {});
  }

  /** Has all of them judge by changed access rules, with those of the parts before that were not the last. */
  async changeAccess(items: readonly AccessItem[], isLast: boolean): Promise<void> {
    await Promise.all(
      this.#workers.map((worker) => worker.ask({ kind: "change-access", items, isLast })),
    );
  }

  /** What each has done so far. */
  figures(): Promise<WorkerFigures[]> {
    return Promise.all(this.#workers.map(async (worker) => {
      const answer = await worker.ask({ kind: "get-figures" });
      if (answer.kind !== "figures") throw new Error("Cannot read a packet worker's figures");
      return answer.figures;
    }));
  }

  /** Ends them. */
  async end(): Promise<void> {
    this.#external[Symbol.dispose]();
    this.#external6[Symbol.dispose]();
    await Promise.all(this.#workers.map((worker) => worker.end()));
  }

  /** Gives up what is shared: the device's thread has ended, too. */
  close(): void {
    closeSharedMemory(this.shared);
  }

  #tell(command: PacketWorkerCommand): void {
    for (const worker of this.#workers) worker.send(command);
  }
}

function hasEnded(): Error {
  return new Error("Cannot ask a packet worker: it has ended");
}
