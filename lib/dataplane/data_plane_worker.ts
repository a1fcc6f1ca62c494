/** Entry of the data-plane thread. */
import { DataPlane } from "./data_plane.ts";
import type { DataPlaneConfig, Report } from "./data_plane_protocol.ts";
import { runThread } from "./thread/run_thread.ts";

runThread<DataPlaneConfig, Report>((config, report) => new DataPlane(config, report));
