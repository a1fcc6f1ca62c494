/** Owns the entry of the data-plane thread: takes its configuration, runs the loop, reports how it ended. */
import { SystemCallError } from "../../ffi/errno.ts";
import { DataPlane } from "./data_plane.ts";
import type { DataPlaneConfig, Report } from "./data_plane_protocol.ts";
import { dropDataPlanePrivileges } from "../process/privileges.ts";

/** The Worker's global object; the type library for workers cannot be loaded beside that of the main thread. */
const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<DataPlaneConfig>) => void) | null;
  postMessage(report: Report, transfer?: Transferable[]): void;
  close(): void;
};

scope.onmessage = ({ data: config }) => {
  let dataPlane: DataPlane | undefined;
  try {
    dropDataPlanePrivileges();
    dataPlane = new DataPlane(config, (...report) => scope.postMessage(...report));
    dataPlane.run();
    dataPlane.close();
    scope.postMessage({ kind: "stopped" });
  } catch (error) {
    const failure = {
      message: error instanceof Error ? error.message : String(error),
      errno: error instanceof SystemCallError ? error.errno : 0,
    };
    try {
      // Before the report: what is undone next, the host's commands included, may count on the sockets being closed.
      dataPlane?.close();
    } finally {
      scope.postMessage({ kind: "failed", ...failure });
    }
  }
  scope.close();
};
