/** Tests of lib/core/wireguard/handshake/index_table.ts. */
import { IndexTable } from "../../../../../lib/core/wireguard/handshake/index_table.ts";
import { assert, assertEquals, assertThrows } from "../../../../support/assert.ts";
import { Random } from "../../../../support/random.ts";
import { stubKeypair, stubPeer } from "../../../../support/wireguard/peer_stub.ts";

Deno.test("allocate() gives the drawn index when its slot is free", () => {
  const table = new IndexTable();
  const peer = stubPeer();
  assertEquals(table.allocate(peer, () => 0xffff_fffe), 0xffff_fffe);
  assertEquals(table.peer(0xffff_fffe), peer);
  assertEquals(table.keypair(0xffff_fffe), null);
});

Deno.test("allocate() draws again when the slot is taken", () => {
  const table = new IndexTable();
  const draws = [0x0001_0007, 0x0002_0007, 0x0003_0008];
  const indices = [0, 1].map(() => table.allocate(stubPeer(), () => draws.shift()!));
  assertEquals(indices, [0x0001_0007, 0x0003_0008]);
});

Deno.test("keypair() finds a session by all 32 bits of its index", () => {
  const table = new IndexTable();
  const peer = stubPeer();
  const index = table.allocate(peer, () => 0x8001_0007);
  const keypair = stubKeypair(peer, index);
  table.attach(index, keypair);
  assertEquals(table.keypair(index), keypair);
  for (let bit = 0; bit < 32; bit++) {
    assertEquals(table.keypair((index ^ 1 << bit) >>> 0), null, `bit ${bit}`);
    assertEquals(table.peer((index ^ 1 << bit) >>> 0), null, `bit ${bit}`);
  }
});

Deno.test("index 0 names nothing until it is given out", () => {
  const table = new IndexTable();
  assertEquals([table.peer(0), table.keypair(0)], [null, null]);
  const peer = stubPeer();
  table.allocate(peer, () => 0);
  assertEquals(table.peer(0), peer);
});

Deno.test("release() frees the slot, once, and for its own index only", () => {
  const table = new IndexTable();
  const peer = stubPeer();
  const index = table.allocate(peer, () => 0x0001_0007);
  table.attach(index, stubKeypair(peer, index));
  table.release(0x0002_0007);
  assertEquals(table.peer(index), peer);
  table.release(index);
  table.release(index);
  assertEquals([table.peer(index), table.keypair(index)], [null, null]);
  const next = table.allocate(peer, () => 0x0005_0007);
  assertEquals(table.peer(next), peer);
  assertEquals(table.keypair(next), null);
});

Deno.test("allocate() refuses when the table is half full, and goes on when one is released", () => {
  const table = new IndexTable();
  const peer = stubPeer();
  const random = new Random(1);
  const draw = () => random.uint32();
  const indices = Array.from({ length: 32_768 }, () => table.allocate(peer, draw));
  assertEquals(new Set(indices).size, indices.length);
  assertThrows(() => table.allocate(peer, draw), RangeError, "Cannot allocate a session index");
  table.release(indices[5]!);
  table.allocate(peer, draw);
  assert(indices.every((index, i) => i === 5 || table.peer(index) === peer));
});
