/** Tests of lib/core/transport/send_queue.ts. */
import { NO_PATH } from "../../../../lib/core/transport/paths.ts";
import { SendQueue } from "../../../../lib/core/transport/send_queue.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
import { assertEquals } from "../../../support/assert.ts";

function queue(slots = 3): SendQueue {
  return new SendQueue({ offset: 128, slots, slotSize: SendQueue.slotSize(100) });
}

Deno.test("slotSize() rounds up to whole cache lines, and leaves one for headers before the message", () => {
  assertEquals([1, 64, 65, 1452].map(SendQueue.slotSize), [128, 128, 192, 1536]);
});

Deno.test("reserve() names the same slot until it is committed", () => {
  const sendQueue = queue();
  assertEquals([sendQueue.reserve(), sendQueue.reserve()], [192, 192]);
  sendQueue.commit(32, sendQueue.paths.intern(1, 2, 3, Transport.udp));
  assertEquals(sendQueue.reserve(), 192 + SendQueue.slotSize(100));
});

Deno.test("reserve() gives -1 when all slots are taken", () => {
  const sendQueue = queue();
  for (let i = 0; i < 3; i++) sendQueue.commit(32, sendQueue.paths.intern(1, 2, 3, Transport.udp));
  assertEquals([sendQueue.reserve(), sendQueue.free, sendQueue.length], [-1, 0, 3]);
});

Deno.test("commit() keeps the path, the highest values included", () => {
  const sendQueue = queue();
  const { paths } = sendQueue;
  const path = paths.intern(0xffff_ffff, 65_535, 0xffff_fffe, Transport.udp);
  sendQueue.commit(32, path);
  sendQueue.commit(0, NO_PATH);
  const { offsets, lengths, pathIds } = sendQueue;
  assertEquals([offsets[0], lengths[0], pathIds[0]], [192, 32, path]);
  assertEquals(paths.socketAddress(path), { address: 0xffff_ffff, port: 65_535 });
  assertEquals(paths.source(path), 0xffff_fffe);
  assertEquals([offsets[1], lengths[1], pathIds[1]], [384, 0, NO_PATH]);
});

Deno.test("sentUpTo() frees the slots when all datagrams have left, and not before", () => {
  const sendQueue = queue();
  for (let i = 0; i < 3; i++) sendQueue.commit(32, sendQueue.paths.intern(i, 2, 3, Transport.udp));
  sendQueue.sentUpTo(2);
  assertEquals([sendQueue.head, sendQueue.length, sendQueue.free], [2, 1, 0]);
  assertEquals(sendQueue.reserve(), -1);
  sendQueue.sentUpTo(3);
  assertEquals([sendQueue.head, sendQueue.length, sendQueue.free], [0, 0, 3]);
  assertEquals(sendQueue.reserve(), 192);
});

Deno.test("runEnd() ends where datagrams travel in another way", () => {
  const { udp, fakeTcp } = Transport;
  const sendQueue = queue(5);
  for (const transport of [udp, udp, fakeTcp, udp]) {
    sendQueue.commit(32, sendQueue.paths.intern(1, 2, 3, transport));
  }
  const ends: number[] = [];
  while (sendQueue.length > 0) {
    ends.push(sendQueue.runEnd());
    sendQueue.sentUpTo(ends.at(-1)!);
  }
  assertEquals(ends, [2, 3, 4]);
});
