/** Tests of lib/core/wire/packet_queue.ts. */
import { PacketQueue } from "../../../../lib/core/wire/packet_queue.ts";
import { assertEquals } from "../../../support/assert.ts";

Deno.test("push() keeps packets in order until the queue is full", () => {
  const queue = new PacketQueue(2);
  assertEquals([queue.push(64, 20), queue.push(128, 1420), queue.push(256, 1)], [
    true,
    true,
    false,
  ]);
  assertEquals([...queue.offsets], [64, 128]);
  assertEquals([...queue.lengths], [20, 1420]);
  assertEquals(queue.length, 2);
});

Deno.test("clear() makes room again", () => {
  const queue = new PacketQueue(1);
  queue.push(64, 20);
  queue.clear();
  assertEquals([queue.length, queue.push(128, 40)], [0, true]);
  assertEquals(queue.offsets[0], 128);
});
