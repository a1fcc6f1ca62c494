/** Tests of lib/dataplane/workers/nat_usage.ts. */
import {
  NAT_USAGE_SIZE,
  readNatUsage,
  writeNatUsage,
} from "../../../../lib/dataplane/workers/nat_usage.ts";
import { MAX_PEERS } from "../../../../lib/core/limits/max_peers.ts";
import { assertEquals } from "../../../support/assert.ts";

Deno.test("what a peer holds at all workers is read together, up to the last peer that there may be", () => {
  const memories = [0, 1].map(() => new SharedArrayBuffer(NAT_USAGE_SIZE));
  const usage = { ports: 3, sessions: 5, refused: 7 };
  for (const index of [1, 2, MAX_PEERS]) {
    for (const memory of memories) writeNatUsage(memory, [{ index }], () => usage);
    assertEquals(readNatUsage(memories, index), { ports: 6, sessions: 10, refused: 14 });
  }
});

Deno.test("a peer that a worker has no more of holds nothing there, whatever peer has its index next", () => {
  const memory = new SharedArrayBuffer(NAT_USAGE_SIZE);
  writeNatUsage(memory, [{ index: 4 }], () => ({ ports: 1, sessions: 1, refused: 1 }));
  writeNatUsage(memory, [], () => ({ ports: 1, sessions: 1, refused: 1 }));
  assertEquals(readNatUsage([memory], 4), { ports: 0, sessions: 0, refused: 0 });
});
