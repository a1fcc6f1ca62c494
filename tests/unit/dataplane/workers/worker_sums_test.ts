/** Tests of lib/dataplane/workers/worker_sums.ts. */
import type { Statistics } from "../../../../lib/dataplane/data_plane_protocol.ts";
import type { WorkerFigures } from "../../../../lib/dataplane/workers/worker_figures.ts";
import { withWorkers } from "../../../../lib/dataplane/workers/worker_sums.ts";
import { assertEquals } from "../../../support/assert.ts";

function figures(overflow: number, nat: WorkerFigures["nat"]): WorkerFigures {
  return {
    receivedMessages: 1,
    receivedBytes: 2,
    sentMessages: 3,
    sentBytes: 4,
    overflow,
    segmentation: true,
    sendError: null,
    denials: [],
    nat,
  };
}

const STATISTICS: Statistics = {
  drops: { receive_overflow: 1, nat_no_mapping: 2 },
  segmentation: true,
  sendError: null,
  nat: { mappings: 0, sessions: 0, sendErrors: {} },
  services: [],
  peers: [],
  workers: [],
};

Deno.test("what the kernel has dropped and refused counts whichever worker it was at, and so do mappings and sessions", () => {
  const { drops, nat } = withWorkers(STATISTICS, [
    figures(10, {
      mappings: 1,
      sessions: 2,
      overflow: 100,
      sendErrors: { EPERM: 1, EMSGSIZE: 2 },
      services: [],
    }),
    figures(20, {
      mappings: 3,
      sessions: 4,
      overflow: 200,
      sendErrors: { EPERM: 4 },
      services: [],
    }),
  ]);
  assertEquals(drops, { receive_overflow: 31, capture_overflow: 300, nat_no_mapping: 2 });
  assertEquals(nat, { mappings: 4, sessions: 6, sendErrors: { EPERM: 5, EMSGSIZE: 2 } });
});

Deno.test("workers that translate nothing add nothing of that", () => {
  const { drops, nat } = withWorkers(STATISTICS, [figures(0, null), figures(0, null)]);
  assertEquals([drops, nat], [STATISTICS.drops, STATISTICS.nat]);
});
