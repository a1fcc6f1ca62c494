/**
 * Worker thread: the main thread's end of one: starts it, sends it messages, asks whether it still runs, and sees it
 * end.
 */
import { EAGAIN, SystemCallError } from "../../../ffi/errno.ts";
import { type Libc, openLibc } from "../../../ffi/libc.ts";
import {
  createWakeChannel,
  MAX_MESSAGE_SIZE,
  sendMessage,
} from "../../../ffi/sockets/wake_channel.ts";
import { guarded } from "../../process/guard.ts";
import {
  deathOf,
  endOf,
  WorkerWatch,
  type WorkerWatchOptions,
} from "../../process/worker_watch.ts";
import { DataPlaneError } from "./data_plane_error.ts";
import type { ThreadReport } from "./thread_report.ts";

/** Messages that wait for room; more than this, and the thread is as good as dead. */
const MAX_UNSENT = 1_000;
/** ms until what waits is offered again. */
const RETRY_PAUSE = 5;

export interface WorkerThreadOptions<Report> {
  /** What the thread runs: a call of `runThread()`. */
  readonly module: URL;
  /** What the thread is called in messages. */
  readonly name: string;
  readonly category: WorkerWatchOptions["category"];
  /** Asks the thread whether it runs. */
  readonly ask: () => void;
  /** Takes what the thread reports besides its state. */
  readonly onReport: (report: Exclude<Report, ThreadReport>) => void;
  /** Called once, when the thread has died. */
  readonly onFailure?: (failure: DataPlaneError) => void;
}

export class WorkerThread<Report extends { readonly kind: string }> {
  /** Why it died; null while it has not. */
  failure: DataPlaneError | null = null;
  readonly #libc: Libc = openLibc();
  readonly #options: WorkerThreadOptions<Report>;
  readonly #worker: Worker;
  readonly #watch: WorkerWatch;
  readonly #failed = Promise.withResolvers<never>();
  readonly #ended = Promise.withResolvers<void>();
  readonly #senderFd: number;
  readonly #receiverFd: number;
  /** Messages that the channel had no room for yet, in order. */
  readonly #unsent: Uint8Array<ArrayBuffer>[] = [];
  #isReady = false;
  #hasEnded = false;
  #isClosed = false;

  constructor(options: WorkerThreadOptions<Report>) {
    const { module, name, category, ask } = options;
    this.#options = options;
    const { sender, receiver } = createWakeChannel(this.#libc);
    this.#senderFd = sender;
    this.#receiverFd = receiver;
    this.#worker = new Worker(module, { type: "module", name });
    this.#worker.onmessage = guarded(
      category,
      `taking a report of the ${name} thread`,
      ({ data }: MessageEvent<Report | ThreadReport>) => this.#take(data),
    );
    this.#worker.onerror = guarded(category, `taking an error of the ${name} thread`, (event) => {
      event.preventDefault();
      this.fail({ message: event.message, errno: 0 });
    });
    this.#watch = new WorkerWatch({
      category,
      thread: name,
      ask,
      onSilence: (message) => this.fail({ message, errno: 0 }),
    });
    // Whoever is interested waits for it; that nobody does is no error of its own.
    this.#failed.promise.catch(() => {});
  }

  /** Has the thread begin, by this configuration and its end of the wake channel. */
  start<Config extends object>(config: Config): void {
    this.#worker.postMessage({ ...config, commandFd: this.#receiverFd });
  }

  /** Takes note that the thread runs: from now on, it dies where it fails. */
  started(): void {
    this.#isReady = true;
    this.#watch.answered();
  }

  /** Rejects when the thread dies; never resolves. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /**
   * Sends a message over the wake channel, which holds few: a thread that is busy for a moment is waited for. None is
   * sent after `close()`, nor to a thread that has died.
   */
  send(message: Uint8Array<ArrayBuffer>): void {
    // Cut short, it would be the end of the thread.
    if (message.length > MAX_MESSAGE_SIZE) {
      throw new Error(`Cannot tell a thread something of ${message.length} bytes at once`);
    }
    this.#unsent.push(message);
    if (this.#unsent.length === 1) this.#sendAll();
  }

  #sendAll(): void {
    const unsent = this.#unsent;
    try {
      while (unsent.length > 0 && !this.#isClosed && this.failure === null) {
        sendMessage(this.#libc, this.#senderFd, unsent[0]!);
        unsent.shift();
      }
      unsent.length = 0;
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      if (error.errno === EAGAIN && unsent.length < MAX_UNSENT) {
        setTimeout(
          guarded(this.#options.category, "sending a command", () => this.#sendAll()),
          RETRY_PAUSE,
        );
        return;
      }
      this.fail({ message: error.message, errno: error.errno });
    }
  }

  /** Counts the thread as dead. */
  fail(failure: { readonly message: string; readonly errno: number }): void {
    if (this.failure !== null) return;
    const { name, onFailure } = this.#options;
    this.failure = new DataPlaneError(this.#isReady ? deathOf(name, failure) : failure);
    this.stopWatching();
    this.#failed.reject(this.failure);
    this.#ended.resolve();
    onFailure?.(this.failure);
  }

  /** Asks the thread no more whether it runs. */
  stopWatching(): void {
    this.#watch[Symbol.dispose]();
  }

  /** Closes this end of the wake channel, by which a thread sees that it is to end. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#libc.symbols.close(this.#senderFd);
  }

  /**
   * Waits until the thread, which was told to, has ended, as long as a person would, and gives up what is held for it.
   */
  async end(): Promise<void> {
    this.stopWatching();
    await endOf(this.#ended.promise);
    this.#worker.terminate();
    this.close();
    // One that hangs may use its end still.
    if (this.#hasEnded) this.#libc.symbols.close(this.#receiverFd);
    this.#hasEnded = false;
  }

  #take(report: Report | ThreadReport): void {
    const state = report as ThreadReport;
    switch (state.kind) {
      case "alive":
        this.#watch.answered();
        break;
      case "stopped":
        this.#hasEnded = true;
        this.#ended.resolve();
        break;
      case "failed":
        this.#hasEnded = true;
        this.fail(state);
        break;
      default:
        this.#options.onReport(report as Exclude<Report, ThreadReport>);
    }
  }
}
