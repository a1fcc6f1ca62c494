/**
 * Entry of a worker thread for network tests: the data plane's or the relay's own, whose loop has a fault once it has
 * run for a while. The URL's query says which: `?entry=URL&fault=throw|end|hang`.
 */
import { BootClock } from "../../../../ffi/clock.ts";

/** Turns of the loop before the fault: it has a tunnel by then. */
const AFTER_MS = 1_500;

const query = new URL(import.meta.url).searchParams;

/** Both loops read the clock once a turn. */
const now = BootClock.prototype.now;
let faultAt = Infinity;
BootClock.prototype.now = function (): number {
  const time = now.call(this);
  if (faultAt === Infinity) faultAt = time + AFTER_MS;
  if (time < faultAt) return time;
  switch (query.get("fault")) {
    case "hang":
      // Asleep, as in a system call that does not return.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
      break;
    case "end":
      close();
      break;
  }
  throw new TypeError("fault of the thread");
};

await import(query.get("entry")!);
