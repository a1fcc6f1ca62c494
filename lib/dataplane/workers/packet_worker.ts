/** Entry of a packet worker's thread. */
import { runThread } from "../thread/run_thread.ts";
import { PacketThread } from "./packet_thread.ts";
import type { PacketWorkerConfig, PacketWorkerReport } from "./packet_worker_protocol.ts";

runThread<PacketWorkerConfig, PacketWorkerReport>((config, report) =>
  new PacketThread(config, report)
);
