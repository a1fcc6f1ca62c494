/** Entry of a relay's thread. */
import { runThread } from "../thread/run_thread.ts";
import { RelayLoop } from "./relay_loop.ts";
import type { RelayConfig, RelayReport } from "./relay_protocol.ts";

runThread<RelayConfig, RelayReport>((config, report) => new RelayLoop(config, report));
