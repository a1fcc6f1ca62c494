/** Owns the main thread's end of a relay: starts the Worker, waits until it is ready, ends it. */
import { type Libc, openLibc } from "../../../ffi/libc.ts";
import { createWakeChannel, sendMessage } from "../../../ffi/sockets/wake_channel.ts";
import { DataPlaneError } from "../data_plane_handle.ts";
import { guarded } from "../../process/guard.ts";
import type { Logger } from "../../process/logging.ts";
import { deathOf, endOf, WorkerWatch } from "../../process/worker_watch.ts";
import type { RelayConfig, RelayReport } from "./relay_protocol.ts";

/** Any message asks the thread whether it runs; only the end of them ends it. */
const PING = Uint8Array.of(0);

export class RelayHandle implements AsyncDisposable {
  readonly #libc: Libc;
  readonly #worker: Worker;
  readonly #wakeFd: number;
  readonly #logger: Logger;
  readonly #ready = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();
  readonly #failed = Promise.withResolvers<never>();
  readonly #watch: WorkerWatch;
  #isReady = false;

  private constructor(libc: Libc, wakeFd: number, logger: Logger) {
    this.#libc = libc;
    this.#wakeFd = wakeFd;
    this.#logger = logger;
    this.#worker = new Worker(new URL("./relay_worker.ts", import.meta.url), {
      type: "module",
      name: "relay",
    });
    this.#worker.onmessage = guarded(
      "relay",
      "taking a report of the relay's thread",
      ({ data }: MessageEvent<RelayReport>) => this.#take(data),
    );
    this.#worker.onerror = guarded("relay", "taking an error of the relay's thread", (event) => {
      event.preventDefault();
      this.#take({ kind: "failed", message: event.message, errno: 0 });
    });
    this.#watch = new WorkerWatch({
      category: "relay",
      thread: "relay",
      ask: () => sendMessage(this.#libc, this.#wakeFd, PING),
      onSilence: (message) => this.#take({ kind: "failed", message, errno: 0 }),
    });
    // Whoever is interested waits for it; that nobody does is no error of its own.
    this.#failed.promise.catch(() => {});
  }

  /**
   * Starts a relay and waits until its sockets are open.
   *
   * @throws {DataPlaneError} when it cannot start
   */
  static async start(config: Omit<RelayConfig, "commandFd">, logger: Logger): Promise<RelayHandle> {
    const libc = openLibc();
    const { sender, receiver } = createWakeChannel(libc);
    const relay = new RelayHandle(libc, sender, logger);
    relay.#worker.postMessage({ ...config, commandFd: receiver } satisfies RelayConfig);
    try {
      await Promise.race([relay.#ready.promise, relay.failed]);
    } catch (error) {
      await relay[Symbol.asyncDispose]();
      throw error;
    }
    return relay;
  }

  /** Rejects when the relay dies; never resolves. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /** Ends all connections and closes the sockets. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    this.#libc.symbols.close(this.#wakeFd);
    await endOf(this.#ended.promise);
    this.#worker.terminate();
  }

  #take(report: RelayReport): void {
    switch (report.kind) {
      case "ready":
        this.#isReady = true;
        this.#watch.answered();
        this.#ready.resolve();
        break;
      case "log":
        if (report.level === "info") this.#logger.info("{line}", { line: report.message });
        else this.#logger.warn("{line}", { line: report.message });
        break;
      case "alive":
        this.#watch.answered();
        break;
      case "failed":
        this.#failed.reject(new DataPlaneError(this.#isReady ? deathOf("relay", report) : report));
        this.#ended.resolve();
        break;
      case "stopped":
        this.#ended.resolve();
        break;
    }
  }
}
