/** Event loop: one thread that sleeps in `epoll_wait`, hands on what is ready, and never awaits. */
import type { Arena } from "../../ffi/arena.ts";
import { BootClock } from "../../ffi/clock.ts";
import { Epoll, EPOLLIN } from "../../ffi/epoll.ts";
import type { Libc } from "../../ffi/libc.ts";

/** The longest time-out in ms that `epoll_wait` takes. */
const MAX_TIMEOUT = 0x7fff_ffff;

/** Takes the EPOLL bits that a descriptor is ready for, and the time, monotonic ms. */
export type ReadyHandler = (readiness: number, now: number) => void;

/** What is done in each turn, when what was ready has been handed on. */
export interface LoopTurn {
  /** When `poll()` has something to do though nothing is ready, monotonic ms; `Infinity` for never. */
  pollAt(): number;
  poll(now: number): void;
}

export class EventLoop implements Disposable {
  readonly #clock: BootClock;
  readonly #epoll: Epoll;
  readonly #handlers = new Map<number, ReadyHandler>();
  /** The descriptor whose turn comes last; -1 for none. */
  #last = -1;
  /** When the last turn began, monotonic ms: a double from the start, as a field that changes its kind is slow. */
  #now = 0.5;
  #isStopping = false;

  constructor(libc: Libc, arena: Arena) {
    this.#clock = new BootClock(libc, arena);
    this.#epoll = new Epoll(libc, arena);
  }

  /** Monotonic ms. */
  now(): number {
    return this.#clock.now();
  }

  /** Hands on when `fd` is ready for what it is watched for (EPOLL bits; 0 leaves errors and hang-ups alone). */
  add(fd: number, handler: ReadyHandler, interest: number = EPOLLIN): void {
    this.#epoll.add(fd, interest);
    this.#handlers.set(fd, handler);
  }

  /**
   * The same for one descriptor whose turn comes last: when all else has been handed on that is ready with it, and not
   * where that has ended the loop.
   */
  addLast(fd: number, handler: ReadyHandler): void {
    this.add(fd, handler);
    this.#last = fd;
  }

  /** Changes what `fd` is watched for. */
  modify(fd: number, interest: number): void {
    this.#epoll.modify(fd, interest);
  }

  /** Watches `fd` no more. */
  remove(fd: number): void {
    this.#epoll.remove(fd);
    this.#handlers.delete(fd);
    if (fd === this.#last) this.#last = -1;
  }

  /** Takes turns until `stop()`. */
  run(turn: LoopTurn): void {
    this.#now = this.now();
    while (!this.#isStopping) this.#take(turn);
  }

  /**
   * A turn is a call of its own: what is called often is compiled for good, while a loop that never ends is replaced
   * where it stands, or not at all.
   */
  #take(turn: LoopTurn): void {
    const count = this.#epoll.wait(timeoutUntil(turn.pollAt(), this.#now));
    const now = this.#now = this.now();
    let last = -1;
    for (let i = 0; i < count; i++) {
      if (this.#epoll.descriptor(i) === this.#last) last = i;
      else this.#handOn(i, now);
    }
    if (last >= 0 && !this.#isStopping) this.#handOn(last, now);
    turn.poll(now);
  }

  #handOn(index: number, now: number): void {
    this.#handlers.get(this.#epoll.descriptor(index))?.(this.#epoll.readiness(index), now);
  }

  /** Ends `run()` after this turn. */
  stop(): void {
    this.#isStopping = true;
  }

  [Symbol.dispose](): void {
    this.#epoll[Symbol.dispose]();
  }
}

/** ms for `epoll_wait`, -1 for no limit: rounded up, so that what is due at `at` is due when we wake. */
function timeoutUntil(at: number, now: number): number {
  if (at === Infinity) return -1;
  return Math.max(0, Math.min(Math.ceil(at - now), MAX_TIMEOUT));
}
