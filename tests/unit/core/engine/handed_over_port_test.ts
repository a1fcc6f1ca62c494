/** Tests of lib/core/engine/handed_over_port.ts. */
import { HANDED_OVER_SIZE, HandedOverPort } from "../../../../lib/core/engine/handed_over_port.ts";
import { HandOver, NO_HEADER, Origin } from "../../../../lib/core/nat/slices/hand_over.ts";
import { createRing, RingReader, RingWriter } from "../../../../lib/core/threads/record_ring.ts";
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

const PACKET_AT = 10;

/** What workers 1 and 2 hand over to worker 0. */
function stage() {
  const memory = createMemory(2 * 65_664);
  const rings = [createRing(1 << 18), createRing(1 << 18)];
  const [second, third] = rings.map((ring) =>
    new HandOver(memory, [new RingWriter(ring), null, null])
  );
  const offset = 65_664;
  const port = new HandedOverPort(memory, offset, rings.map((ring) => new RingReader(ring)));
  const receive = () => {
    if (port.receive() === 0) return null;
    const { length, origin, offset } = port;
    return { origin, length, bytes: memory.bytes.slice(offset, offset + length) };
  };
  return { memory, second: second!, third: third!, port, offset, receive };
}

Deno.test("packets come one at a time, from each of the others in turn, and in the order of each", () => {
  const { memory, second, third, port, receive } = stage();
  assertEquals([port.hasMore, receive()], [false, null]);
  for (
    const [from, byte] of [[second, 1], [second, 2], [second, 3], [third, 4], [third, 5]] as const
  ) {
    memory.bytes.fill(byte, PACKET_AT, PACKET_AT + 40);
    assertEquals(from.put(0, Origin.hairpin, NO_HEADER, PACKET_AT, 40), true);
  }
  assertEquals(port.hasMore, true);
  const all = Array.from({ length: 5 }, () => receive()!);
  assertEquals(all.map(({ bytes }) => bytes[10]), [1, 4, 2, 5, 3]);
  assert(all.every(({ origin }) => origin === Origin.hairpin));
  assertEquals([port.hasMore, receive()], [false, null]);
});

Deno.test("a packet of any length comes with its virtio-net header, aligned for the cipher", () => {
  const { memory, second, port, offset, receive } = stage();
  const starts = [0, 1, 2, 3].flatMap((start) =>
    [20, 21, 22, 23, 1500, 65_535].map((length) => [start, length] as const)
  );
  for (const [start, length] of starts) {
    const end = start + PACKET_AT + length;
    for (let i = 0; i < end + 3; i++) memory.bytes[i] = i * 7;
    const sent = memory.bytes.slice(start, end);
    assertEquals(second.put(0, Origin.captured, start, start + PACKET_AT, length), true);
    assertEquals(receive(), { origin: Origin.captured, length: 10 + length, bytes: sent });
    assertEquals((port.offset + 10) % 4, 0);
    // Behind it is room for what sealing writes there.
    assertEquals(port.offset + port.length + 64 <= offset + HANDED_OVER_SIZE, true);
  }
});

Deno.test("without a header one comes that says nothing, and nobody is handed what is for no worker", () => {
  const { memory, second, receive } = stage();
  memory.bytes.fill(9, 0, 100);
  assertEquals(second.put(0, Origin.captured, NO_HEADER, PACKET_AT, 20), true);
  assertEquals(receive()!.bytes.slice(0, 12), Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9));
  for (const nobody of [1, 7]) {
    assertEquals(second.put(nobody, Origin.captured, NO_HEADER, PACKET_AT, 20), false);
  }
});
