/** Owns the main thread's end of the data plane: starts the Worker, sends it commands, waits for what it reports. */
import { EAGAIN, EBADFD, ENODEV, SystemCallError } from "../../ffi/errno.ts";
import { type Libc, openLibc } from "../../ffi/libc.ts";
import { createWakeChannel, sendMessage } from "../../ffi/sockets/wake_channel.ts";
import { encodeKey } from "../core/config/values/key_text.ts";
import type { CaptureCounts } from "../core/capture/capture.ts";
import type { EgressRule } from "../core/access/egress_rules.ts";
import type { Carrier } from "../core/transport/endpoint.ts";
import type { CaptureRequest } from "./captures.ts";
import type { CarrierEndpoints } from "../core/transport/fake_tcp/endpoints.ts";
import type {
  Command,
  DataPlaneConfig,
  PeerStatistics,
  Report,
  Statistics,
} from "./data_plane_protocol.ts";
import type { ExternalLink } from "../core/nat/external_link.ts";
import { type PeerChange, peerChangeTexts } from "../core/peers/peer_change.ts";
import { guarded } from "../process/guard.ts";
import { type CaptureConsumer, RunningCaptures } from "./running_captures.ts";
import { Swarm } from "../process/swarm.ts";
import { deathOf, endOf, WorkerWatch } from "../process/worker_watch.ts";

type ReportOf<Kind extends Report["kind"]> = Extract<Report, { kind: Kind }>;

/** Each is less than 70 bytes of JSON; the channel holds four messages of the greatest size. */
const RULES_PER_MESSAGE = 900;
export const MAX_EGRESS_RULES: number = 3 * RULES_PER_MESSAGE;

/** A report that somebody waits for. */
interface Waiter {
  readonly kind: Report["kind"];
  readonly resolve: (report: Report) => void;
  readonly reject: (error: Error) => void;
}

/** Bytes of changes in one message: each new peer costs a Diffie-Hellman, and packets wait meanwhile. */
const CHANGES_SIZE = 4096;

/** Commands that wait for room; more than this, and the thread is as good as dead. */
const MAX_UNSENT = 1_000;
/** ms until what waits is offered again. */
const RETRY_PAUSE = 5;
/** ms within which the report of a thread's death follows what it leads to. */
const REPORT_LIMIT = 2_000;
/** ms between two looks at the host's network, which follow from its changes. */
const NETWORK_PAUSE = 100;

export interface DataPlaneListener {
  onPeer(report: ReportOf<"peer">): void;
  onLog(report: ReportOf<"log">): void;
  /** The path to a peer takes other packets than before. */
  onPathMtu(report: ReportOf<"path-mtu">): void;
  /** Addresses, links or routes of the host have changed. */
  onNetworkChange(): void;
}

/** The data plane's own words for a failure, with the error number where a system call failed. */
export class DataPlaneError extends Error {
  override readonly name = "DataPlaneError";
  /** 0 when no system call failed. */
  readonly errno: number;

  constructor({ message, errno }: { message: string; errno: number }) {
    super(message);
    this.errno = errno;
  }
}

export class DataPlaneHandle {
  readonly #libc: Libc;
  readonly #worker: Worker;
  readonly #commandFd: number;
  readonly #listener: DataPlaneListener;
  readonly #waiters: Waiter[] = [];
  readonly #captures = new RunningCaptures((command) => this.#send(command));
  #failure: DataPlaneError | null = null;
  readonly #failed = Promise.withResolvers<never>();
  readonly #watch: WorkerWatch;
  /** Other programs on the host change routes as often as they like. */
  readonly #networkChanges = new Swarm({
    category: "dataplane",
    entry: "following the host's network",
    call: () => this.#listener.onNetworkChange(),
    settleTime: 0,
    pause: NETWORK_PAUSE,
  });
  #lastStatistics: Promise<unknown> = Promise.resolve();
  #nextStatistics: Promise<Statistics> | null = null;
  /** Commands that the channel had no room for yet, in order. */
  readonly #unsent: Uint8Array<ArrayBuffer>[] = [];
  #isReady = false;
  #isClosed = false;
  #stopped = false;

  private constructor(libc: Libc, fds: { sender: number }, listener: DataPlaneListener) {
    this.#libc = libc;
    this.#commandFd = fds.sender;
    this.#listener = listener;
    this.#worker = new Worker(new URL("./data_plane_worker.ts", import.meta.url), {
      type: "module",
      name: "data-plane",
    });
    this.#worker.onmessage = guarded(
      "dataplane",
      "taking a report of the data plane",
      ({ data }: MessageEvent<Report>) => this.#take(data),
    );
    this.#worker.onerror = guarded("dataplane", "taking an error of the data plane", (event) => {
      event.preventDefault();
      this.#take({ kind: "failed", message: event.message, errno: 0 });
    });
    this.#watch = new WorkerWatch({
      category: "dataplane",
      thread: "data-plane",
      ask: () => this.#send({ kind: "ping" }),
      onSilence: (message) => this.#take({ kind: "failed", message, errno: 0 }),
    });
    // Whoever is interested waits for it; that nobody does is no error of its own.
    this.#failed.promise.catch(() => {});
  }

  /**
   * Starts the data plane and waits until its socket is bound.
   *
   * @throws {DataPlaneError} when it cannot start
   */
  static async start(
    config: Omit<DataPlaneConfig, "commandFd">,
    listener: DataPlaneListener,
  ): Promise<{ dataPlane: DataPlaneHandle; port: number; aead: string }> {
    const libc = openLibc();
    const { sender, receiver } = createWakeChannel(libc);
    const dataPlane = new DataPlaneHandle(libc, { sender }, listener);
    const ready = dataPlane.#wait("ready");
    dataPlane.#worker.postMessage({ ...config, commandFd: receiver } satisfies DataPlaneConfig);
    const { port, aead } = await ready;
    return { dataPlane, port, aead };
  }

  /** Rejects when the data plane dies; never resolves. */
  get failed(): Promise<never> {
    return this.#failed.promise;
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
    const opened = this.#wait("tun-opened");
    this.#send({ kind: "open-tun", name });
    await opened;
  }

  /**
   * Opens the sockets of fake TCP, for what a `CarrierGuard` has.
   *
   * @throws {DataPlaneError} EPERM without CAP_NET_RAW
   */
  async openFakeTcp(endpoints: CarrierEndpoints): Promise<void> {
    const opened = this.#wait("fake-tcp-opened");
    this.#send({ kind: "open-fake-tcp", endpoints });
    await opened;
  }

  /** Reaches a client's server by this carrier from now on; a handshake is to follow. */
  setCarrier(carrier: Carrier): void {
    this.#send({ kind: "set-carrier", carrier });
  }

  /** Asks a client's server by UDP, while fake TCP is in use; the listener is told of an answer. */
  tryUdp(): void {
    this.#send({ kind: "try-udp" });
  }

  /** Begins handshakes, repeated every `interval` ms. */
  connect(interval: number): void {
    this.#send({ kind: "connect", interval });
  }

  /** Ends the quick repetition that `connect()` began. */
  connected(): void {
    this.#send({ kind: "connected" });
  }

  /** Takes the peer with this key for a client's server from now on. */
  setServer(publicKey: Uint8Array): void {
    this.#send({ kind: "set-server", publicKey: encodeKey(publicKey) });
  }

  /** Looks for a client's server at this address, host order, and port. */
  setEndpoint(endpoint: { address: number; port: number }): void {
    this.#send({ kind: "set-endpoint", address: endpoint.address, port: endpoint.port });
  }

  /** Shakes hands with the peers at once, as the way to them may be another now. */
  renew(): void {
    this.#send({ kind: "renew" });
  }

  /** Tells the NAT of the interface outside, or that there is none. */
  setExternal(external: ExternalLink | null): void {
    this.#send({ kind: "set-external", external });
  }

  /** Judges by these rules from now on which addresses outside peers reach; at most `MAX_EGRESS_RULES`. */
  setEgressRules(rules: readonly EgressRule[]): void {
    let from = 0;
    do {
      const part = rules.slice(from, from + RULES_PER_MESSAGE);
      from += part.length;
      this.#send({ kind: "set-egress-rules", rules: part, isLast: from >= rules.length });
    } while (from < rules.length);
  }

  /** Says whether one client may reach another from now on. */
  setClientToClient(allowed: boolean): void {
    this.#send({ kind: "set-client-to-client", allowed });
  }

  /** Changes the peers, in this order; all others go on undisturbed. */
  async changePeers(changes: readonly PeerChange[]): Promise<void> {
    // One message after the other: the channel holds few of them.
    for (const part of peerChangeTexts(changes, CHANGES_SIZE)) {
      const changed = this.#wait("peers-changed");
      this.#send({ kind: "change-peers", changes: part });
      await changed;
    }
  }

  /** Logs each packet that goes outside from now on, or no more. */
  setTrace(trace: boolean): void {
    this.#send({ kind: "set-trace", trace });
  }

  /**
   * Captures packets inside the tunnel, as a file in pcapng that comes by the chunk, until the consumer's signal is aborted.
   *
   * @throws {Error} where too many captures run, or the data plane ends
   */
  async capture(request: CaptureRequest, consumer: CaptureConsumer): Promise<CaptureCounts> {
    if (this.#failure !== null) throw this.#failure;
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
    const peers: PeerStatistics[] = [];
    for (let isFirst = true;; isFirst = false) {
      const page = this.#wait("statistics");
      this.#send({ kind: "get-statistics", isFirst });
      const { statistics, isLast } = await page;
      peers.push(...statistics.peers);
      if (isLast) return { ...statistics, peers };
    }
  }

  /** Ends the loop and closes the TUN and the socket; safe to call again, and after a failure. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#watch[Symbol.dispose]();
    this.#networkChanges[Symbol.dispose]();
    this.#captures.fail(new Error("Cannot go on with the capture: the tunnel ends"));
    if (this.#failure === null) {
      const stopped = this.#wait("stopped");
      this.#send({ kind: "stop" });
      await endOf(stopped);
    }
    this.#worker.terminate();
    this.#isClosed = true;
    this.#libc.symbols.close(this.#commandFd);
  }

  #send(command: Command): void {
    if (this.#isClosed) return;
    this.#unsent.push(new TextEncoder().encode(JSON.stringify(command)));
    if (this.#unsent.length === 1) this.#sendAll();
  }

  /** The channel holds few messages; a thread that is busy for a moment is waited for. */
  #sendAll(): void {
    try {
      for (let message = this.#unsent[0]; message !== undefined; message = this.#unsent[0]) {
        sendMessage(this.#libc, this.#commandFd, message);
        this.#unsent.shift();
      }
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      if (error.errno === EAGAIN && this.#unsent.length < MAX_UNSENT) {
        const again = guarded("dataplane", "sending a command", () => {
          if (this.#failure === null && !this.#isClosed) this.#sendAll();
        });
        setTimeout(again, RETRY_PAUSE);
        return;
      }
      this.#take({ kind: "failed", message: error.message, errno: error.errno });
    }
  }

  #wait<Kind extends Report["kind"]>(kind: Kind): Promise<ReportOf<Kind>> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    const { promise, resolve, reject } = Promise.withResolvers<ReportOf<Kind>>();
    // A waiter is only handed reports of its own kind.
    this.#waiters.push({ kind, resolve: resolve as (report: Report) => void, reject });
    return promise;
  }

  #take(report: Report): void {
    switch (report.kind) {
      case "peer":
        this.#listener.onPeer(report);
        break;
      case "log":
        this.#listener.onLog(report);
        break;
      case "path-mtu":
        this.#listener.onPathMtu(report);
        break;
      case "network-changed":
        if (!this.#stopped) this.#networkChanges.notice();
        break;
      case "alive":
        this.#watch.answered();
        break;
      case "captured":
      case "capture-ended":
        this.#captures.take(report);
        break;
      case "failed": {
        if (this.#failure !== null) break;
        const failure = new DataPlaneError(this.#isReady ? deathOf("data-plane", report) : report);
        this.#failure = failure;
        this.#watch[Symbol.dispose]();
        this.#networkChanges[Symbol.dispose]();
        this.#failed.reject(failure);
        this.#captures.fail(failure);
        for (const waiter of this.#waiters.splice(0)) waiter.reject(failure);
        break;
      }
      default: {
        if (report.kind === "ready") {
          this.#isReady = true;
          this.#watch.answered();
        }
        const index = this.#waiters.findIndex((waiter) => waiter.kind === report.kind);
        if (index >= 0) this.#waiters.splice(index, 1)[0].resolve(report);
      }
    }
  }
}
