/** Epoll: a set of descriptors, and the one call in which the data-plane thread sleeps. */
import type { Arena } from "./arena.ts";
import { check, EINTR, SystemCallError } from "./errno.ts";
import type { Libc } from "./libc.ts";
import { MACHINE } from "./machine.ts";

export const EPOLLIN = 0x001;
export const EPOLLOUT = 0x004;
export const EPOLLHUP = 0x010;

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;

export class Epoll implements Disposable {
  /** Readable while a descriptor of the set is ready: sets may be in other sets. */
  readonly fd: number;
  readonly #libc: Libc;
  readonly #arena: Arena;
  /** Of a `struct epoll_event`, and where its data is, in whose low half the descriptor is kept. */
  readonly #eventSize: number;
  readonly #eventData: number;
  readonly #events: number;
  readonly #eventsPointer: Deno.PointerObject;
  readonly #capacity: number;

  /**
   * @param capacity the most events that one `wait()` reports
   * @param layout of an event, by the machine
   */
  constructor(libc: Libc, arena: Arena, capacity = 16, layout = MACHINE.epollEvent) {
    this.#libc = libc;
    this.#arena = arena;
    this.#capacity = capacity;
    this.#eventSize = layout.size;
    this.#eventData = layout.data;
    this.#events = arena.allocate(capacity * layout.size);
    this.#eventsPointer = arena.pointer(this.#events);
    this.fd = check(libc, libc.symbols.epoll_create1(EPOLL_CLOEXEC), "create epoll instance");
  }

  /** Watches `fd`, level-triggered, for `interest` (EPOLLIN, EPOLLOUT or both). */
  add(fd: number, interest: number): void {
    this.#control(EPOLL_CTL_ADD, fd, interest);
  }

  /** Changes what `fd` is watched for; 0 leaves errors and hang-ups alone. */
  modify(fd: number, interest: number): void {
    this.#control(EPOLL_CTL_MOD, fd, interest);
  }

  /** Watches `fd` no more. */
  remove(fd: number): void {
    this.#control(EPOLL_CTL_DEL, fd, 0);
  }

  /**
   * Sleeps until a descriptor is ready or the time has passed.
   *
   * @param timeout in ms, rounded up by the caller; -1 waits for ever
   * @returns the count of events, 0 after a time-out or a signal
   */
  wait(timeout: number): number {
    const count = this.#libc.symbols.epoll_wait(
      this.fd,
      this.#eventsPointer,
      this.#capacity,
      timeout,
    );
    if (count >= 0) return count;
    const errno = this.#libc.errno();
    if (errno === EINTR) return 0;
    throw new SystemCallError("wait for events", errno);
  }

  /**
   * The same on one of the runtime's threads: the calling one goes on meanwhile, and may add and remove descriptors.
   * One at a time.
   */
  async waitElsewhere(timeout: number): Promise<number> {
    const count = await this.#libc.symbols.epoll_wait_elsewhere(
      this.fd,
      this.#eventsPointer,
      this.#capacity,
      timeout,
    );
    // The errno is that thread's. With a set that is there, a signal is all that can have come between.
    return Math.max(0, count);
  }

  /** The descriptor of event `index` of the last `wait()`. */
  descriptor(index: number): number {
    return this.#arena.view.getInt32(
      this.#events + index * this.#eventSize + this.#eventData,
      true,
    );
  }

  /** The EPOLL bits of event `index` of the last `wait()`. */
  readiness(index: number): number {
    return this.#arena.view.getInt32(this.#events + index * this.#eventSize, true);
  }

  [Symbol.dispose](): void {
    this.#libc.symbols.close(this.fd);
  }

  #control(operation: number, fd: number, interest: number): void {
    const event = new DataView(new ArrayBuffer(this.#eventSize));
    event.setUint32(0, interest, true);
    event.setInt32(this.#eventData, fd, true);
    check(
      this.#libc,
      this.#libc.symbols.epoll_ctl(this.fd, operation, fd, new Uint8Array(event.buffer)),
      `watch descriptor ${fd}`,
    );
  }
}
