/** Tests of lib/core/fleet/flow_batch.ts. */
import {
  FlowBatchWriter,
  FLOWS_AT_ONCE,
  isFlowBatch,
  readFlowBatch,
} from "../../../../lib/core/fleet/flow_batch.ts";
import type { FlowRecord } from "../../../../lib/core/nat/replicas/flow_record.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";

/** An open connection, every third of UDP, of which every other one has a port of its own. */
const flow = (seed: number): FlowRecord => {
  const isUdp = seed % 3 === 0;
  const isShared = seed % 2 === 0;
  const isBound = !isUdp || isShared;
  return {
    protocol: isUdp ? 17 : 6,
    isShared,
    seen: isUdp ? 1 : 3,
    externalPort: 20_000 + seed,
    innerAddress: 0x0a42_4d02 | 0,
    innerPort: 40_000 + seed,
    remoteAddress: isBound ? 0xc633_6407 | 0 : 0,
    remotePort: isBound ? 443 : 0,
    timeLeft: 1_000 * (seed + 1),
  };
};

function messageOf(flows: readonly FlowRecord[]): Uint8Array {
  const writer = new FlowBatchWriter();
  for (const each of flows) writer.add(each);
  return writer.take();
}

Deno.test("a batch of flows is read as it was written, whatever padding follows", () => {
  const flows = Array.from({ length: FLOWS_AT_ONCE }, (_, seed) => flow(seed));
  const writer = new FlowBatchWriter();
  for (const each of flows) {
    assert(!writer.isFull);
    writer.add(each);
  }
  assert(writer.isFull);
  const message = writer.take();
  assert(message.length <= 1_400, "it fits a message of the mesh");
  assert(writer.isEmpty && isFlowBatch(message));
  assertEquals(readFlowBatch(message), flows);
  assertEquals(readFlowBatch(new Uint8Array([...message, 0, 0, 0])), flows);
});

Deno.test("a batch that is cut off, or has a flow that cannot be, brings none", () => {
  const message = messageOf([flow(1), flow(2)]);
  for (let length = 0; length < message.length; length++) {
    assert(!isFlowBatch(message.subarray(0, length)));
  }
  const odd = message.slice();
  odd[3]! -= 1;
  assertEquals(readFlowBatch(odd), null);
  const broken: Partial<FlowRecord>[] = [
    ...[{ protocol: 1 }, { protocol: 0 }, { externalPort: 0 }, { innerPort: 0 }],
    ...[{ innerAddress: 0 }, { remoteAddress: 0 }, { remotePort: 0 }, { timeLeft: 0 }],
    // Half open, reset, closed by both.
    ...[{ timeLeft: 7_441_000 }, { seen: 1 }, { seen: 3 | 32 }, { seen: 3 | 4 | 8 }],
    // Of UDP on a port of its own, to one remote end.
    ...[{ protocol: 17, seen: 1 }, { protocol: 17, seen: 8, isShared: true }],
    // Of UDP, for as long as a connection.
    { protocol: 17, seen: 1, isShared: true, timeLeft: 301_000 },
  ];
  for (const part of broken) {
    assertEquals(readFlowBatch(messageOf([flow(2), { ...flow(1), ...part }])), null);
  }
});

Deno.test("whatever bytes a batch has, reading it gives flows that can be, or none", () => {
  const random = new Random(1);
  for (let round = 0; round < 2_000; round++) {
    const message = messageOf(Array.from({ length: 3 }, (_, i) => flow(round % 50 + i)));
    for (let i = 0; i < 2; i++) {
      message[4 + random.uint32() % (message.length - 4)] = random.uint32();
    }
    for (const { externalPort, timeLeft } of readFlowBatch(message) ?? []) {
      assert(externalPort > 0 && timeLeft > 0 && timeLeft <= 7_440_000);
    }
  }
});
