/** Owns the entry of a relay's thread: takes its configuration, runs the loop, reports how it ended. */
import { SystemCallError } from "../../../ffi/errno.ts";
import { dropDataPlanePrivileges } from "../../process/privileges.ts";
import { RelayLoop } from "./relay_loop.ts";
import type { RelayConfig, RelayReport } from "./relay_protocol.ts";

/** The Worker's global object; the type library for workers cannot be loaded beside that of the main thread. */
const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<RelayConfig>) => void) | null;
  postMessage(report: RelayReport): void;
  close(): void;
};

scope.onmessage = ({ data: config }) => {
  let loop: RelayLoop | undefined;
  try {
    dropDataPlanePrivileges();
    loop = new RelayLoop(config, (report) => scope.postMessage(report));
    loop.run();
    loop.close();
    scope.postMessage({ kind: "stopped" });
  } catch (error) {
    const failure = {
      message: error instanceof Error ? error.message : String(error),
      errno: error instanceof SystemCallError ? error.errno : 0,
    };
    try {
      // Before the report: what is undone next, the host's commands included, may count on the sockets being closed.
      loop?.close();
    } finally {
      scope.postMessage({ kind: "failed", ...failure });
    }
  }
  scope.close();
};
