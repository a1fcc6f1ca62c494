/** Data-plane handle: the main thread's end of the data plane: starts it, sends it commands, waits for its answers. */
import type { Ipv6Text } from "../core/wire/host_address.ts";
import type { SocketAddress } from "../core/wire/socket_address.ts";
import { EBADFD, ENODEV } from "../../ffi/errno.ts";
import { encodeKey } from "../core/config/values/key_text.ts";
import type { CaptureCounts } from "../core/capture/capture.ts";
import type { AccessItem } from "../core/access/access_items.ts";
import type { EgressRule } from "../core/access/egress_rules.ts";
import type { CaptureRequest } from "./captures.ts";
import type { FleetCommand } from "./fleet/fleet_protocol.ts";
import type { FakeTcpEndpoints } from "../core/transport/fake_tcp/endpoints.ts";
import type { Transport } from "../core/transport/transport.ts";
import type {
  Answer,
  DataPlaneCommand,
  DataPlaneConfig,
  PeerCounts,
  PeerQuota,
  PeerStatistics,
  Report,
  Statistics,
  UnnumberedRequest,
} from "./data_plane_protocol.ts";
import type { DataPlaneListener, ReportOf } from "./data_plane_listener.ts";
import type { FlowBatch } from "../core/flows/flow_meter.ts";
import type { ExternalLink } from "../core/nat/external_link.ts";
import type { NatService } from "../core/nat/nat_options.ts";
import { accessParts } from "../core/peers/access_book.ts";
import { type PeerChange, peerChangeTexts } from "../core/peers/peer_change.ts";
import { egressRuleParts, serviceParts } from "./message_parts.ts";
import { type CaptureConsumer, RunningCaptures } from "./running_captures.ts";
import { Swarm } from "../process/swarm.ts";
import { Answers } from "./thread/answers.ts";
import { DataPlaneError } from "./thread/data_plane_error.ts";
import { WorkerThread } from "./thread/worker_thread.ts";
import type { WorkerCount } from "./workers/worker_count.ts";
import { withWorkers } from "./workers/worker_sums.ts";
import { packetWorkerConfig, PacketWorkers } from "./workers/packet_workers.ts";

/** Bytes of changes in one message: each new peer costs a Diffie-Hellman, and packets wait meanwhile. */
const CHANGES_SIZE = 4096;
/** Quotas in one message; each is about 130 bytes of JSON. */
const QUOTAS_AT_ONCE = 32;
/** Bytes of access rules in one message. */
const ACCESS_SIZE = 16_384;
/** ms within which the report of a thread's death follows what it leads to. */
const REPORT_LIMIT = 2_000;
/** ms between two looks at the host's network, which follow from its changes. */
const NETWORK_PAUSE = 100;

export class DataPlaneHandle {
  readonly #thread: WorkerThread<Report>;
  readonly #listener: DataPlaneListener;
  readonly #ready = Promise.withResolvers<ReportOf<"ready">>();
  readonly #answers = new Answers<Answer>();
  readonly #captures = new RunningCaptures((command) => this.#send(command));
  /** Other programs on the host change routes as often as they like. */
  readonly #networkChanges = new Swarm({
    category: "dataplane",
    entry: "following changes of the host's network",
    call: () => this.#listener.onNetworkChange(),
    settleTime: 0,
    pause: NETWORK_PAUSE,
  });
  #lastStatistics: Promise<unknown> = Promise.resolve();
  #nextStatistics: Promise<Statistics> | null = null;
  /** Of a client: the public key of the peer that is its server, in base64. */
  #server: string;
  #isStopped = false;
  /** Null where the data plane has the packets itself. */
  #workers: PacketWorkers | null = null;

  private constructor(peers: DataPlaneConfig["peers"], listener: DataPlaneListener) {
    this.#listener = listener;
    this.#server = peers[0] === undefined ? "" : encodeKey(peers[0].publicKey);
    this.#thread = new WorkerThread<Report>({
      module: new URL("./data_plane_worker.ts", import.meta.url),
      name: "data-plane",
      category: "dataplane",
      ask: () => this.#send({ kind: "ping" }),
      onReport: (report) => this.#take(report),
      onFailure: (failure) => {
        this.#networkChanges[Symbol.dispose]();
        this.#captures.fail(failure);
        this.#answers.fail(failure);
      },
    });
  }

  /**
   * Starts the data plane and waits until its socket is bound. With one worker, the data plane has the packets itself.
   *
   * @throws {DataPlaneError} when it cannot start
   */
  static async start(
    { workers: count, hasOneNat, ...config }:
      & Omit<DataPlaneConfig, "commandFd" | "shared">
      & Pick<WorkerCount, "workers" | "hasOneNat">,
    listener: DataPlaneListener,
  ): Promise<{ dataPlane: DataPlaneHandle; port: number; aead: string }> {
    const dataPlane = new DataPlaneHandle(config.peers, listener);
    const workers = count > 1 ? dataPlane.#makeWorkers(count, config.hasFakeTcp) : null;
    dataPlane.#thread.start({ ...config, shared: workers?.shared ?? null });
    try {
      const { port, aead } = await Promise.race([dataPlane.#ready.promise, dataPlane.failed]);
      await workers?.start(packetWorkerConfig(config, { port, hasOneNat }));
      if (config.trace) workers?.setTrace(true);
      return { dataPlane, port, aead };
    } catch (error) {
      await dataPlane.stop();
      throw error;
    }
  }

  #makeWorkers(count: number, hasFakeTcp: boolean): PacketWorkers {
    return this.#workers = new PacketWorkers(count, hasFakeTcp, {
      onLog: (level, message) =>
        this.#listener.onLog({ kind: "log", level, category: "dataplane", message }),
      // With one of them, all that it received for is gone.
      onFailure: (failure) => this.#thread.fail(failure),
    });
  }

  /** Rejects when the data plane dies; never resolves. */
  get failed(): Promise<never> {
    return this.#thread.failed;
  }

  /**
   * What an error comes of. With the data plane its device dies, and whatever else uses that may fail before the report
   * about the thread is here.
   */
  async causeOf(error: unknown): Promise<unknown> {
    const { errno } = error as { errno?: number };
    if (errno !== ENODEV && errno !== EBADFD) return error;
    const { promise: late, resolve } = Promise.withResolvers<unknown>();
    const timer = setTimeout(resolve, REPORT_LIMIT, error);
    try {
      return await Promise.race([this.failed.catch((failure) => failure), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Creates the TUN device.
   *
   * @throws {DataPlaneError} EBUSY when the name is taken, EPERM without CAP_NET_ADMIN
   */
  async openTun(name: string): Promise<void> {
    if (this.#workers === null) await this.#ask({ kind: "open-tun", name });
    else await this.#workers.openTun(name);
  }

  /** Opens the sockets of fake TCP, for what a `FakeTcpGuard` has. @throws {DataPlaneError} without CAP_NET_RAW */
  async openFakeTcp(endpoints: FakeTcpEndpoints): Promise<void> {
    await this.#ask({ kind: "open-fake-tcp", endpoints });
  }

  /** Reaches a client's server by this transport from now on; a handshake is to follow. */
  setTransport(transport: Transport): void {
    this.#send({ kind: "set-transport", peer: this.#server, transport });
  }

  /** Asks a client's server by UDP, while fake TCP is in use; the listener is told of an answer. */
  tryUdp(): void {
    this.#send({ kind: "try-udp", peer: this.#server });
  }

  /** Begins handshakes, repeated every `interval` ms. */
  connect(interval: number): void {
    this.#send({ kind: "connect", server: this.#server, interval });
  }

  /** Ends the quick repetition that `connect()` began. */
  connected(): void {
    this.#send({ kind: "connected" });
  }

  /** Takes the peer with this key for a client's server from now on. */
  setServer(publicKey: Uint8Array): void {
    this.#server = encodeKey(publicKey);
  }

  /** Looks for a client's server at this address, host order, and port. */
  setEndpoint({ address, port }: SocketAddress): void {
    this.#send({ kind: "set-endpoint", peer: this.#server, address, port });
  }

  /** Re-handshakes with the peers at once, as the path to them may be another now. */
  renew(): void {
    this.#send({ kind: "renew" });
  }

  /** Tells the NAT of the interface outside, or that there is none. */
  setExternal(external: ExternalLink | null): void {
    this.#send({ kind: "set-external", external });
    this.#workers?.setExternal(external);
  }

  /** The same of IPv6. */
  setExternal6(external: ExternalLink<Ipv6Text> | null): void {
    this.#send({ kind: "set-external6", external });
    this.#workers?.setExternal6(external);
  }

  /** Judges by these rules from now on which addresses outside peers reach; at most `MAX_EGRESS_RULES`. */
  setEgressRules(rules: readonly EgressRule[]): void {
    for (const { items, isLast } of egressRuleParts(rules)) {
      this.#send({ kind: "set-egress-rules", rules: items, isLast });
      this.#workers?.setEgressRules(items, isLast);
    }
  }

  /** Hands services to these back ends from now on; one call after the other. */
  async setServices(all: readonly NatService[]): Promise<void> {
    for (const part of serviceParts(all)) {
      if (this.#workers === null) await this.#ask({ kind: "set-services", ...part });
      else await this.#workers.setServices(part.services, part.isLast);
    }
  }

  /** Says whether one client may reach another from now on. */
  setClientToClient(allowed: boolean): void {
    this.#send({ kind: "set-client-to-client", allowed });
    this.#workers?.setClientToClient(allowed);
  }

  /** Tells what is new of the fleet. */
  tellFleet(command: FleetCommand): void {
    this.#send(command);
  }

  /** Says whether peers that have no session get one from now on. */
  setAdmitsNew(admits: boolean): void {
    this.#send({ kind: "set-admits-new", admits });
  }

  /** Changes the peers, in this order; all others go on undisturbed. */
  async changePeers(changes: readonly PeerChange[]): Promise<void> {
    // One message after the other: the channel holds few of them.
    for (const part of peerChangeTexts(changes, CHANGES_SIZE)) {
      await this.#ask({ kind: "change-peers", changes: part });
    }
  }

  /** What has passed with those peers that more has passed with since this was last asked. */
  async usage(): Promise<readonly PeerCounts[]> {
    const answer = await this.#ask({ kind: "get-usage" });
    return answer.kind === "usages" ? answer.peers : [];
  }

  /** Bounds what peers use up from now on. */
  async setQuotas(quotas: readonly PeerQuota[]): Promise<void> {
    for (let from = 0; from < quotas.length; from += QUOTAS_AT_ONCE) {
      await this.#ask({ kind: "set-quotas", quotas: quotas.slice(from, from + QUOTAS_AT_ONCE) });
    }
  }

  /** Changes access rules, in each thread all of them at once. */
  async changeAccess(items: readonly AccessItem[]): Promise<void> {
    const parts = [...accessParts(items, ACCESS_SIZE)];
    for (const [i, part] of parts.entries()) {
      const isLast = i === parts.length - 1;
      await Promise.all([
        this.#ask({ kind: "change-access", items: part, isLast }),
        this.#workers?.changeAccess(part, isLast),
      ]);
    }
  }

  /** Counts what passes by flow from now on, in the threads that have the packets; or no more. */
  setFlowLog(isOn: boolean): void {
    if (this.#workers === null) this.#send({ kind: "set-flow-log", isOn });
    else this.#workers.setFlowLog(isOn);
  }

  /** The flows that have ended since the last call; with `isLast`, all that there are. Of each thread. */
  async flows(isLast: boolean): Promise<readonly FlowBatch[]> {
    if (this.#workers !== null) return await this.#workers.flows(isLast);
    const answer = await this.#ask({ kind: "get-flows", isLast });
    return answer.kind === "flows" && answer.batch !== null ? [answer.batch] : [];
  }

  /** Logs each packet that goes outside from now on, or no more. */
  setTrace(trace: boolean): void {
    this.#send({ kind: "set-trace", trace });
    this.#workers?.setTrace(trace);
  }

  /**
   * Captures packets inside the tunnel, as a file in pcapng that comes by the chunk, until the consumer's signal is
   * aborted.
   *
   * @throws {Error} where too many captures run, or the data plane ends
   */
  async capture(request: CaptureRequest, consumer: CaptureConsumer): Promise<CaptureCounts> {
    if (this.#thread.failure !== null) throw this.#thread.failure;
    return await this.#captures.run(request, consumer);
  }

  /** What passed so far, as of now. Those who ask while an answer is under way share the next one. */
  statistics(): Promise<Statistics> {
    if (this.#nextStatistics === null) {
      const last = this.#lastStatistics.catch(() => {});
      const next = this.#nextStatistics = last.then(() => {
        this.#nextStatistics = null;
        return this.#readStatistics();
      });
      this.#lastStatistics = next;
    }
    return this.#nextStatistics;
  }

  async #readStatistics(): Promise<Statistics> {
    // First: what they hold for each peer is where the pages are made from then.
    const figures = await this.#workers?.figures() ?? null;
    const peers: PeerStatistics[] = [];
    for (let isFirst = true;; isFirst = false) {
      const page = await this.#ask({ kind: "get-statistics", isFirst });
      if (page.kind !== "statistics") throw new Error("Cannot read the statistics: no page came");
      peers.push(...page.statistics.peers);
      if (!page.isLast) continue;
      const statistics = { ...page.statistics, peers };
      return figures === null ? statistics : withWorkers(statistics, figures);
    }
  }

  /** Ends the loop and closes the TUN and the socket; safe to call again, and after a failure. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#networkChanges[Symbol.dispose]();
    this.#captures.fail(new Error("Cannot continue the capture: the tunnel is ending"));
    // What still goes out after the goodbye would show peers a device that lives.
    await this.#workers?.end();
    if (this.#thread.failure === null) this.#send({ kind: "stop" });
    await this.#thread.end();
    this.#workers?.close();
    this.#answers.fail(hasEnded());
  }

  /** Sends a request. The answer names its id. */
  #ask(question: UnnumberedRequest): Promise<Answer> {
    if (this.#thread.failure !== null) return Promise.reject(this.#thread.failure);
    if (this.#isStopped) return Promise.reject(hasEnded());
    const { id, answer } = this.#answers.expect();
    this.#send({ ...question, id });
    return answer;
  }

  #send(command: DataPlaneCommand): void {
    this.#thread.send(new TextEncoder().encode(JSON.stringify(command)));
  }

  #take(report: Report): void {
    switch (report.kind) {
      case "ready":
        this.#thread.started();
        this.#ready.resolve(report);
        break;
      case "done":
      case "statistics":
      case "usages":
      case "flows":
        this.#answers.take(report);
        break;
      case "refused":
        this.#answers.refuse(report.id, new DataPlaneError(report));
        break;
      case "peer":
        this.#listener.onPeer(report);
        break;
      case "log":
        this.#listener.onLog(report);
        break;
      case "path-mtu":
        this.#listener.onPathMtu(report);
        break;
      case "usage":
        this.#listener.onUsage(report);
        break;
      case "fleet-write-term":
      case "fleet-address":
      case "fleet-flows":
      case "fleet-view":
        if (!this.#isStopped) this.#listener.onFleet(report);
        break;
      case "network-changed":
        if (!this.#isStopped) this.#networkChanges.notice();
        break;
      case "captured":
      case "capture-ended":
        this.#captures.take(report);
        break;
    }
  }
}

const hasEnded = () => new Error("Cannot ask the data plane: it has ended");
