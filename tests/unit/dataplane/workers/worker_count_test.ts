/** Tests of lib/dataplane/workers/worker_count.ts. */
import { workerCount } from "../../../../lib/dataplane/workers/worker_count.ts";
import type { EgressConfig } from "../../../../lib/dataplane/egress/egress.ts";
import { assertEquals } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";

const PLAIN = { egress: "kernel", hasFakeTcp: false } as const;

Deno.test("one thread is what there is unless more are asked for", () => {
  for (const wanted of ["auto", 1] as const) {
    assertEquals(workerCount(wanted, PLAIN), { workers: 1, reason: null });
  }
});

Deno.test("what has only one thread keeps to one, and says why", () => {
  const egress = {} as EgressConfig;
  assertEquals(workerCount(4, { ...PLAIN, egress }), {
    workers: 1,
    reason: "Egress = raw needs one",
  });
  assertEquals(workerCount(4, { ...PLAIN, hasFakeTcp: true }), {
    workers: 1,
    reason: "fake TCP needs one",
  });
});

hostTest("as many threads as are asked for are there, or the kernel's reason", () => {
  const { workers, reason } = workerCount(4, PLAIN);
  assertEquals(workers, reason === null ? 4 : 1);
});
