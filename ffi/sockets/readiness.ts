/**
 * Readiness watcher: tells the main thread which descriptors can be read, by an epoll wait on one of the runtime's
 * threads, for sockets that the runtime itself cannot make (connected UDP among them).
 */
import { Arena } from "../arena.ts";
import { Epoll, EPOLLIN } from "../epoll.ts";
import type { Libc } from "../libc.ts";
import { createWakeChannel, sendMessage } from "./wake_channel.ts";

/** Descriptors that one wait tells of. */
const BATCH = 64;
const ARENA_SIZE = 64 * 1024;

export class ReadinessWatcher implements AsyncDisposable {
  readonly #libc: Libc;
  readonly #epoll: Epoll;
  readonly #wake: { readonly sender: number; readonly receiver: number };
  readonly #handlers = new Map<number, () => void>();
  readonly #done: Promise<void>;
  #isClosed = false;

  /** @throws {SystemCallError} where descriptors have run out */
  constructor(libc: Libc) {
    this.#libc = libc;
    this.#epoll = new Epoll(libc, new Arena(ARENA_SIZE), BATCH);
    try {
      this.#wake = createWakeChannel(libc);
    } catch (error) {
      this.#epoll[Symbol.dispose]();
      throw error;
    }
    this.#epoll.add(this.#wake.receiver, EPOLLIN);
    this.#done = this.#run();
  }

  /**
   * Calls whenever `fd` can be read, or has an error, until it is removed.
   *
   * @param onReady may not throw
   * @throws {SystemCallError}
   */
  add(fd: number, onReady: () => void): void {
    this.#epoll.add(fd, EPOLLIN);
    this.#handlers.set(fd, onReady);
  }

  /** Watches `fd` no more; to be called before it is closed. */
  remove(fd: number): void {
    if (this.#handlers.delete(fd)) this.#epoll.remove(fd);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    sendMessage(this.#libc, this.#wake.sender, new Uint8Array(1));
    await this.#done;
    this.#libc.symbols.close(this.#wake.sender);
    this.#libc.symbols.close(this.#wake.receiver);
    this.#epoll[Symbol.dispose]();
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      const count = await this.#epoll.waitElsewhere(-1);
      // By now a descriptor may have been removed, and its number be another's: that reads in vain.
      for (let i = 0; i < count && !this.#isClosed; i++) {
        this.#handlers.get(this.#epoll.descriptor(i))?.();
      }
    }
  }
}
