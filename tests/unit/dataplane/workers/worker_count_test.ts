/** Tests of lib/dataplane/workers/worker_count.ts. */
import { workerCount } from "../../../../lib/dataplane/workers/worker_count.ts";
import type { EgressConfig } from "../../../../lib/dataplane/egress/egress.ts";
import { assertEquals } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";

const NAT = { capture: "packet", ports: { first: 20_000, last: 29_999 }, services: [] };
const PLAIN = { egress: "kernel" } as const;

Deno.test("one thread is what there is unless more are asked for", () => {
  for (const wanted of ["auto", 1] as const) {
    assertEquals(workerCount(wanted, PLAIN), { workers: 1, reason: null });
  }
});

Deno.test("what has only one thread keeps to one, and says why", () => {
  const nfqueue = { ...NAT, capture: { queue: 7 } } as unknown as EgressConfig;
  assertEquals(workerCount(4, { ...PLAIN, egress: nfqueue }), {
    workers: 1,
    reason: "Capture = nfqueue needs one",
  });
  const few = { ...NAT, ports: { first: 20_000, last: 20_999 } } as unknown as EgressConfig;
  assertEquals(workerCount(4, { ...PLAIN, egress: few }), {
    workers: 1,
    reason: "NatPorts has fewer than 256 ports for each",
  });
  const published = { ...NAT, services: [{}] } as unknown as EgressConfig;
  assertEquals(workerCount(4, { ...PLAIN, egress: published }), {
    workers: 1,
    reason:
      "a Forward to several back ends, to a peer's name, outside the tunnel, or at an address of its own needs one",
  });
});

hostTest("as many threads as are asked for are there, or the kernel's reason", () => {
  for (const egress of ["kernel", NAT as unknown as EgressConfig] as const) {
    const { workers, reason } = workerCount(4, { ...PLAIN, egress });
    assertEquals(workers, reason === null ? 4 : 1);
  }
});
