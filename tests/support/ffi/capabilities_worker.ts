/** Thread that gives up its capabilities for the test of that: there is no way back for it. */
import { type Capability, hasCapability, keepOnly } from "../../../ffi/capabilities.ts";

/** What the thread says: what the kernel and we think of it, before or after. */
export interface CapabilityReport {
  readonly status: string;
  /** The numbers that `hasCapability()` says yes to. */
  readonly held: readonly number[];
}

const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<Capability[]>) => void;
  postMessage(reports: CapabilityReport[]): void;
};

scope.onmessage = ({ data: kept }) => {
  const before = report();
  keepOnly(kept);
  scope.postMessage([before, report()]);
};

function report(): CapabilityReport {
  const numbers = Array.from({ length: 41 }, (_, number) => number as Capability);
  return {
    status: Deno.readTextFileSync("/proc/thread-self/status"),
    held: numbers.filter(hasCapability),
  };
}
