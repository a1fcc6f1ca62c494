/** Tests of lib/dataplane/workers/automatic_threads.ts. */
import {
  automaticThreads,
  type ThreadSurroundings,
} from "../../../../lib/dataplane/workers/automatic_threads.ts";
import type { DividedNat } from "../../../../lib/dataplane/workers/nat_parts.ts";
import { assertEquals } from "../../../support/assert.ts";

/** Of the default ports. */
const NAT: DividedNat = { capture: "packet", ports: { first: 20_000, last: 29_999 }, services: [] };
const GATEWAY: ThreadSurroundings = {
  isGateway: true,
  isInFleet: false,
  hasFakeTcp: false,
  nat: null,
  processors: 16,
};

Deno.test("automaticThreads() takes one for each processor from 4 on, up to 8", () => {
  const counts = [1, 2, 3, 4, 5, 7, 8, 9, 64].map((processors) =>
    automaticThreads({ ...GATEWAY, processors }).threads
  );
  assertEquals(counts, [1, 1, 1, 4, 5, 7, 8, 8, 8]);
});

Deno.test("automaticThreads() says what has decided", () => {
  const decidedBy = (processors: number) =>
    automaticThreads({ ...GATEWAY, processors, nat: NAT }).decidedBy;
  assertEquals([1, 3, 4, 8].map(decidedBy), [
    "1 processor",
    "3 processors",
    "4 processors",
    "at least 2500 NatPorts for each",
  ]);
});

Deno.test("automaticThreads() leaves each thread 2,500 ports of the NAT", () => {
  const threads = (ports: number, processors = 16) =>
    automaticThreads({
      ...GATEWAY,
      processors,
      nat: { ...NAT, ports: { first: 20_000, last: 20_000 + ports - 1 } },
    }).threads;
  assertEquals([1, 2499, 4999, 5000, 9999, 10_000, 19_999, 20_000, 45_000].map((n) => threads(n)), [
    ...[1, 1, 1, 2, 3],
    ...[4, 7, 8, 8],
  ]);
  assertEquals(threads(45_000, 5), 5);
  assertEquals(threads(10_000, 3), 1);
});

Deno.test("automaticThreads() takes one where several may do worse, and says why", () => {
  const service = {} as DividedNat["services"][number];
  const ones: [Partial<ThreadSurroundings>, string][] = [
    [{ isGateway: false }, "a client needs one"],
    [{ isInFleet: true }, "Store needs one"],
    [{ hasFakeTcp: true }, "fake TCP does best with one"],
    [{ nat: { ...NAT, capture: { queue: 7 } } }, "Capture = nfqueue needs one"],
    [
      { nat: { ...NAT, services: [service] } },
      "a Forward to several back ends, to a peer's name, outside the tunnel, or at an address of its own needs one",
    ],
  ];
  for (const [part, decidedBy] of ones) {
    assertEquals(automaticThreads({ ...GATEWAY, ...part }), { threads: 1, decidedBy });
  }
});
