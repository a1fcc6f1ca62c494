/** Tests of lib/dataplane/workers/worker_count.ts. */
import {
  type WantedThreads,
  type WorkerCount,
  workerCount,
} from "../../../../lib/dataplane/workers/worker_count.ts";
import type { EgressConfig } from "../../../../lib/dataplane/egress/egress.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";

const NAT = { capture: "packet", ports: { first: 20_000, last: 29_999 }, services: [] };

const SERVICE =
  "a Forward to several back ends, to a peer's name, outside the tunnel, or at an address of its own needs one";

function count(
  wanted: WantedThreads["wanted"],
  { processors = 16, egress }: {
    readonly processors?: number;
    readonly egress: "kernel" | Record<string, unknown>;
  },
): WorkerCount {
  return workerCount(
    { wanted, processors, isInFleet: false },
    { egress: egress as EgressConfig | "kernel", isGateway: true, hasFakeTcp: false },
  );
}

Deno.test("one thread is what there is where one is asked for, or nobody asks and there are few processors", () => {
  const nfqueue = { ...NAT, capture: { queue: 7 } };
  const one = { workers: 1, hasOneNat: false, oneThread: null };
  for (const egress of ["kernel", nfqueue] as const) {
    assertEquals(count(1, { egress }), { ...one, decidedBy: "DataPlaneThreads = 1" });
    assertEquals(count("auto", { egress, processors: 2 }), {
      ...one,
      decidedBy: "auto: 2 processors",
    });
  }
});

hostTest(
  "as many as there are processors are there by themselves, or one and nothing is wrong",
  () => {
    const { workers, decidedBy, ...rest } = count("auto", { egress: NAT, processors: 4 });
    assertEquals(rest, { hasOneNat: false, oneThread: null });
    if (workers === 1) assertMatch(decidedBy, /^auto: .*: E[A-Z]+/);
    else assertEquals([workers, decidedBy], [4, "auto: 4 processors"]);
  },
);

hostTest(
  "a NAT that has no parts is one worker's, which says why, or the kernel's reason is said",
  () => {
    const wholes: [Partial<Record<keyof EgressConfig, unknown>>, string][] = [
      [{ capture: { queue: 7 } }, "Capture = nfqueue needs one"],
      [{ ports: { first: 20_000, last: 20_999 } }, "NatPorts has fewer than 256 ports for each"],
      [{ services: [{}] }, SERVICE],
    ];
    for (const [part, oneThread] of wholes) {
      const decidedBy = "DataPlaneThreads = 4";
      const counted = count(4, { egress: { ...NAT, ...part } });
      if (counted.workers === 1) assertEquals(counted.hasOneNat, false);
      else assertEquals(counted, { workers: 4, hasOneNat: true, decidedBy, oneThread });
    }
  },
);

hostTest("as many threads as are asked for are there, or the kernel's reason", () => {
  for (const egress of ["kernel", NAT] as const) {
    const { workers, hasOneNat, oneThread } = count(4, { egress });
    assertEquals([workers, hasOneNat], [oneThread === null ? 4 : 1, false]);
  }
});
