/** Tests of lib/dataplane/workers/worker_count.ts. */
import { workerCount } from "../../../../lib/dataplane/workers/worker_count.ts";
import type { EgressConfig } from "../../../../lib/dataplane/egress/egress.ts";
import { assertEquals } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";

const NAT = { capture: "packet", ports: { first: 20_000, last: 29_999 }, services: [] };
const ONE = { workers: 1, hasOneNat: false, reason: null };

const SERVICE =
  "a Forward to several back ends, to a peer's name, outside the tunnel, or at an address of its own needs one";

Deno.test("one thread is what there is unless more are asked for", () => {
  const nfqueue = { ...NAT, capture: { queue: 7 } } as unknown as EgressConfig;
  for (const wanted of ["auto", 1] as const) {
    for (const egress of ["kernel", nfqueue] as const) {
      assertEquals(workerCount(wanted, { egress }), ONE);
    }
  }
});

hostTest(
  "a NAT that has no parts is one worker's, which says why, or the kernel's reason is said",
  () => {
    const wholes: [Partial<Record<keyof EgressConfig, unknown>>, string][] = [
      [{ capture: { queue: 7 } }, "Capture = nfqueue needs one"],
      [{ ports: { first: 20_000, last: 20_999 } }, "NatPorts has fewer than 256 ports for each"],
      [{ services: [{}] }, SERVICE],
    ];
    for (const [part, reason] of wholes) {
      const egress = { ...NAT, ...part } as unknown as EgressConfig;
      const count = workerCount(4, { egress });
      if (count.workers === 1) assertEquals(count.hasOneNat, false);
      else assertEquals(count, { workers: 4, hasOneNat: true, reason });
    }
  },
);

hostTest("as many threads as are asked for are there, or the kernel's reason", () => {
  for (const egress of ["kernel", NAT as unknown as EgressConfig] as const) {
    const { workers, hasOneNat, reason } = workerCount(4, { egress });
    assertEquals([workers, hasOneNat], [reason === null ? 4 : 1, false]);
  }
});
