/** Clock of the data plane: CLOCK_BOOTTIME, which goes on while the machine sleeps, as the ages of keys must. */
import type { Arena } from "./arena.ts";
import type { Libc } from "./libc.ts";

const CLOCK_MONOTONIC = 1;
const CLOCK_BOOTTIME = 7;
const TIMESPEC_SIZE = 16;

/** ms that the machine has slept since it was started: the two clocks differ by nothing else. */
export function sleptTime(libc: Libc): number {
  // Read in this order, the time between the two readings counts as no sleep.
  const boot = readClock(libc, CLOCK_BOOTTIME);
  return Math.max(0, boot - readClock(libc, CLOCK_MONOTONIC));
}

/** ms of CLOCK_MONOTONIC, with a fraction, as other processes read it. */
export function monotonicTime(libc: Libc): number {
  return readClock(libc, CLOCK_MONOTONIC);
}

function readClock(libc: Libc, clock: number): number {
  const time = new BigInt64Array(2);
  libc.symbols.clock_gettime(clock, Deno.UnsafePointer.of(time));
  return Number(time[0]) * 1000 + Number(time[1]) / 1e6;
}

export class BootClock {
  readonly #libc: Libc;
  readonly #view: DataView<ArrayBuffer>;
  readonly #time: number;
  readonly #pointer: Deno.PointerObject;

  constructor(libc: Libc, arena: Arena) {
    this.#libc = libc;
    this.#view = arena.view;
    this.#time = arena.allocate(TIMESPEC_SIZE);
    this.#pointer = arena.pointer(this.#time);
  }

  /** Milliseconds since the machine was started, with a fraction. Allocates nothing. */
  now(): number {
    this.#libc.symbols.clock_gettime(CLOCK_BOOTTIME, this.#pointer);
    // struct timespec { time_t tv_sec; long tv_nsec; }: seconds since boot fit the low half for 68 years.
    return this.#view.getInt32(this.#time, true) * 1000 +
      this.#view.getInt32(this.#time + 8, true) / 1e6;
  }
}
