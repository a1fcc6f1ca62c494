/** Measuring of memory that is really in use, for tests that something which goes on for long keeps it flat. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

export interface MemoryUse {
  /** Bytes of live JavaScript objects. */
  readonly heap: number;
  /** Bytes outside the JavaScript heap that objects hold: array buffers. */
  readonly external: number;
}

/** What is in use after a full collection of garbage. */
export function settledMemory(): MemoryUse {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  // Twice: what a finalizer lets go of is collected the second time.
  collect();
  collect();
  const { heapUsed, external } = Deno.memoryUsage();
  return { heap: heapUsed, external };
}
