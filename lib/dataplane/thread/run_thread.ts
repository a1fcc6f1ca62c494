/** A thread's own end: takes its configuration, gives up privileges, runs its loop, and reports how that ended. */
import { SystemCallError } from "../../../ffi/errno.ts";
import { errorMessage } from "../../process/errors.ts";
import { dropDataPlanePrivileges } from "../../process/privileges.ts";
import type { ThreadReport } from "./thread_report.ts";

/** The Worker's global object; the type library for workers cannot be loaded beside that of the main thread. */
interface WorkerScope {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(report: unknown, transfer?: Transferable[]): void;
  close(): void;
}

/** What a thread runs. */
export interface ThreadLoop extends Disposable {
  /** Runs until it is told to stop. */
  run(): void;
}

/** Has this thread, a Worker, run the loop that `create` makes of the configuration that the main thread sends. */
export function runThread<Config, Report>(
  create: (
    config: Config,
    report: (report: Report, transfer?: Transferable[]) => void,
  ) => ThreadLoop,
): void {
  const scope = globalThis as unknown as WorkerScope;
  const end = (report: ThreadReport) => scope.postMessage(report);
  scope.onmessage = ({ data }) => {
    try {
      dropDataPlanePrivileges();
      // Closed before the report: what is undone next, the host's commands included, may count on the sockets being
      // closed.
      {
        using loop = create(data, (...report) => scope.postMessage(...report));
        loop.run();
      }
      end({ kind: "stopped" });
    } catch (error) {
      end({
        kind: "failed",
        message: errorMessage(error),
        errno: error instanceof SystemCallError ? error.errno : 0,
      });
    }
    scope.close();
  };
}
