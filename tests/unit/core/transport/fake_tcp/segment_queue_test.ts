/** Tests of the queue of segments: slots of its own, datagrams of others, room that comes free when all have left. */
import { SegmentQueue } from "../../../../../lib/core/transport/fake_tcp/segment_queue.ts";
import { assertEquals } from "../../../../support/assert.ts";

Deno.test("each place has a slot of its own, whatever packet stands in it", () => {
  const slotSize = SegmentQueue.slotSize(1500);
  assertEquals(slotSize, 1536);
  const queue = new SegmentQueue({ offset: 64, slots: 3, slotSize });
  assertEquals([queue.reserve(), queue.reserve()], [64, 64]);
  queue.append(queue.reserve(), 40);
  queue.append(100_000, 1500);
  assertEquals(queue.reserve(), 64 + 2 * slotSize);
  queue.append(queue.reserve(), 48);
  assertEquals([queue.reserve(), queue.free, queue.length], [-1, 0, 3]);
  assertEquals([...queue.offsets], [64, 100_000, 64 + 2 * slotSize]);
  assertEquals([...queue.lengths], [40, 1500, 48]);
});

Deno.test("places come free once all have left", () => {
  const queue = new SegmentQueue({ offset: 0, slots: 2, slotSize: 64 });
  queue.append(queue.reserve(), 40);
  queue.append(queue.reserve(), 40);
  queue.sentUpTo(1);
  assertEquals([queue.length, queue.free, queue.reserve()], [1, 0, -1]);
  queue.sentUpTo(2);
  assertEquals([queue.length, queue.free, queue.reserve()], [0, 2, 0]);
});
