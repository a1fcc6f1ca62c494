/** Thread that gives up its capabilities, and then loads a BPF program: there is no way back for it. */
import { loadSocketFilter } from "../../../ffi/bpf.ts";
import { Capability, keepOnly } from "../../../ffi/capabilities.ts";
import { SystemCallError } from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { tunSteering } from "../../../lib/dataplane/filters/steering.ts";

/** What the thread says: the descriptor, or why there is none. */
export type BpfOutcome = number | { readonly message: string; readonly isUnavailable: boolean };

const scope = globalThis as unknown as {
  onmessage: () => void;
  postMessage(outcome: BpfOutcome): void;
};

scope.onmessage = () => {
  keepOnly([Capability.netAdmin]);
  try {
    scope.postMessage(loadSocketFilter(openLibc(), tunSteering(2)));
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    scope.postMessage({ message: error.message, isUnavailable: error.isUnavailable });
  }
};
