/** Tests of lib/core/fleet/flow_replicas.ts. */
import { FlowReplicas } from "../../../../lib/core/fleet/flow_replicas.ts";
import type { FlowRecord } from "../../../../lib/core/nat/replicas/flow_record.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

const flow = (number: number, fields: Partial<FlowRecord> = {}): FlowRecord => ({
  protocol: 6,
  isShared: false,
  seen: 3,
  externalPort: 1 + number % 65_535,
  innerAddress: 0x0a42_4d02 | 0,
  innerPort: 40_000,
  remoteAddress: (0xc633_6400 + (number >>> 16)) | 0,
  remotePort: 443,
  timeLeft: 100_000,
  ...fields,
});

Deno.test("the last word on a flow counts, and those come first that were told last", () => {
  const replicas = new FlowReplicas(1);
  assertEquals(replicas.current(0), []);
  replicas.put(flow(1), 1_000_000);
  replicas.put(flow(2), 1_005_000);
  replicas.put(flow(3, { protocol: 17, isShared: true }), 1_007_000);
  replicas.put(flow(1, { innerPort: 50_000, seen: 67 }), 1_010_000);
  assertEquals(replicas.current(1_010_000), [
    flow(1, { innerPort: 50_000, seen: 67 }),
    flow(3, { protocol: 17, isShared: true, timeLeft: 97_000 }),
    flow(2, { timeLeft: 95_000 }),
  ]);
});

Deno.test("a flow is over when its time is, and when others are told of again without it", () => {
  const replicas = new FlowReplicas(1);
  replicas.put(flow(1), 1_000_000);
  replicas.put(flow(2, { timeLeft: 20_000 }), 1_000_000);
  // Nobody has told of any since: the gateway that did is gone.
  assertEquals(replicas.current(1_019_000).length, 2);
  assertEquals(replicas.current(1_090_000).map(({ externalPort }) => externalPort), [2]);
  replicas.put(flow(5), 1_026_000);
  assertEquals(replicas.current(1_026_000).map(({ externalPort }) => externalPort), [6]);
});

Deno.test("of as many flows as are ever told of, hardly any is pushed out, and more take no more memory", () => {
  const replicas = new FlowReplicas(12_345);
  for (let number = 0; number < 65_536; number++) replicas.put(flow(number), 1_000_000);
  const { length } = replicas.current(1_000_000);
  assert(length > 0.98 * 65_536, `${length}`);
  for (let number = 65_536; number < 400_000; number++) replicas.put(flow(number), 1_000_000);
  assert(replicas.current(1_000_000).length <= 131_072);
});
