/** Relay handle: the main thread's end of a relay: starts it, waits until it is ready, ends it. */
import type { Logger } from "../../process/logging.ts";
import { WorkerThread } from "../thread/worker_thread.ts";
import type { RelayConfig, RelayReport } from "./relay_protocol.ts";

/** Any message asks the thread whether it runs; only the end of them ends it. */
const PING = Uint8Array.of(0);

export class RelayHandle implements AsyncDisposable {
  readonly #thread: WorkerThread<RelayReport>;
  readonly #logger: Logger;
  readonly #ready = Promise.withResolvers<void>();

  private constructor(logger: Logger) {
    this.#logger = logger;
    this.#thread = new WorkerThread<RelayReport>({
      module: new URL("./relay_worker.ts", import.meta.url),
      name: "relay",
      category: "relay",
      ask: () => this.#thread.send(PING),
      onReport: (report) => this.#take(report),
    });
  }

  /**
   * Starts a relay and waits until its sockets are open.
   *
   * @throws {DataPlaneError} when it cannot start
   */
  static async start(config: Omit<RelayConfig, "commandFd">, logger: Logger): Promise<RelayHandle> {
    const relay = new RelayHandle(logger);
    relay.#thread.start(config);
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
    return this.#thread.failed;
  }

  /** Ends all connections and closes the sockets. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#thread.close();
    await this.#thread.end();
  }

  #take(report: RelayReport): void {
    switch (report.kind) {
      case "ready":
        this.#thread.started();
        this.#ready.resolve();
        break;
      case "log":
        if (report.level === "info") this.#logger.info("{line}", { line: report.message });
        else this.#logger.warn("{line}", { line: report.message });
        break;
    }
  }
}
