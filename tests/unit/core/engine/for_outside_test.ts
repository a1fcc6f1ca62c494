/** Tests of lib/core/engine/for_outside.ts: packets from workers that translate nothing to the one that does. */
import { ForOutside, ForOutsidePort } from "../../../../lib/core/engine/for_outside.ts";
import { createRing, RingReader, RingWriter } from "../../../../lib/core/threads/record_ring.ts";
import { DropCounters, DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import type { PacketPeer } from "../../../../lib/core/wireguard/packet_peer.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

const RING_SIZE = 1 << 12;
const MTU = 1420;

const peer = (index: number) => ({ index }) as unknown as PacketPeer;

function site() {
  const rings = [createRing(RING_SIZE), createRing(RING_SIZE)];
  const memory = createMemory(64 + ForOutsidePort.size(MTU));
  const gone = new Set<number>();
  const port = new ForOutsidePort({
    memory,
    offset: 64,
    mtu: MTU,
    rings: rings.map((ring) => new RingReader(ring)),
    // A tag is above the index here.
    peerOf: (tag) => gone.has(tag) ? null : peer(tag - 1000),
  });
  const senders = rings.map((ring) => {
    const own = createMemory(8192);
    const drops = new DropCounters();
    const to = new ForOutside({
      memory: own,
      ring: new RingWriter(ring),
      drops,
      tagOf: (index) => index + 1000,
    });
    const put = (index: number, first: number, length: number, at = 64) => {
      own.bytes.fill(first, at, at + length);
      to.put(peer(index), at, length);
    };
    return { put, drops };
  });
  const take = () =>
    Array.from({ length: port.receive() }, (_, i) => {
      const [offset, length] = [port.offsets[i]!, port.lengths[i]!];
      const bytes = memory.bytes.slice(offset, offset + length);
      assert(bytes.every((byte) => byte === bytes[0]));
      return [port.peerOf(i).index, bytes[0], length];
    });
  return { gone, port, senders, take };
}

Deno.test("packets of each worker arrive whole, with their peer, in order, wherever they stood", () => {
  const { port, senders: [first, second], take } = site();
  assertEquals([port.hasMore, take()], [false, []]);
  first!.put(1, 0x11, 60);
  first!.put(2, 0x12, 1_001, 66);
  second!.put(3, 0x21, MTU);
  assert(port.hasMore);
  assertEquals(take(), [[1, 0x11, 60], [2, 0x12, 1_001], [3, 0x21, MTU]]);
  assertEquals([port.hasMore, take()], [false, []]);
});

Deno.test("a batch is what there is room for, and the next ring has its turn then", () => {
  const { port, senders: [first, second], take } = site();
  for (let i = 0; i < port.batch + 1; i++) first!.put(1, i, 20);
  second!.put(2, 0xff, 20);
  const before = take();
  assertEquals([before.length, before.at(-1)], [port.batch, [1, port.batch - 1, 20]]);
  assertEquals(take(), [[2, 0xff, 20], [1, port.batch, 20]]);
});

Deno.test("packets of a peer that is gone are nobody's, and so is what is too long", () => {
  const { gone, senders: [first], take } = site();
  first!.put(1, 1, 20);
  first!.put(2, 2, 20);
  first!.put(2, 3, MTU + 1);
  gone.add(1001);
  assertEquals(take(), [[2, 2, 20]]);
});

Deno.test("what a ring has no room for is dropped, and counted", () => {
  const { senders: [first, second], take } = site();
  for (let i = 0; i < 5; i++) first!.put(1, i, 1_200);
  second!.put(2, 9, 1_200);
  assertEquals(take().length, 4);
  const counted = [first, second].map((sender) => sender!.drops.counts[DropReason.sendQueueFull]);
  assertEquals(counted, [2, 0]);
});
