/** Tests of lib/core/wireguard/handshake/index_table.ts. */
import { IndexTable } from "../../../../../lib/core/wireguard/handshake/index_table.ts";
import type { PeerSession } from "../../../../../lib/core/wireguard/session/peer_session.ts";
import { MAX_PEERS } from "../../../../../lib/core/limits/max_peers.ts";
import { MAX_EARLIER_HANDSHAKES } from "../../../../../lib/core/wireguard/constants.ts";
import { assert, assertEquals, assertThrows } from "../../../../support/assert.ts";
import { Random } from "../../../../support/random.ts";
import { stubPeer, stubSession } from "../../../../support/wireguard/peer_stub.ts";

Deno.test("allocate() gives the drawn index when its slot is free", () => {
  const table = new IndexTable();
  const peer = stubPeer(null, 7);
  assertEquals(table.allocate(peer.index, () => 0xffff_fffe), 0xffff_fffe);
  assertEquals(table.peerIndex(0xffff_fffe), peer.index);
  assertEquals(table.session(0xffff_fffe), null);
});

Deno.test("allocate() draws again when the slot is taken", () => {
  const table = new IndexTable();
  const draws = [0x0100_0070, 0x0200_0070, 0x0300_0080];
  const indices = [0, 1].map(() => table.allocate(1, () => draws.shift()!));
  assertEquals(indices, [0x0100_0070, 0x0300_0080]);
});

Deno.test("session() finds a session by all 32 bits of its index", () => {
  const table = new IndexTable();
  const peer = stubPeer(null, 7);
  const index = table.allocate(peer.index, () => 0x8001_0007);
  const session = stubSession(peer, index);
  table.attach(index, session);
  assertEquals(table.session(index), session);
  for (let bit = 0; bit < 32; bit++) {
    assertEquals(table.session((index ^ 1 << bit) >>> 0), null, `bit ${bit}`);
    assertEquals(table.peerIndex((index ^ 1 << bit) >>> 0), 0, `bit ${bit}`);
  }
});

Deno.test("a table that grows finds what it held before, and nothing that was given back", () => {
  const table = new IndexTable();
  const random = new Random(2);
  const draw = () => random.uint32();
  const peer = stubPeer(null, 7);
  const expected = new Map<number, PeerSession | null>();
  for (let i = 0; i < 5_000; i++) {
    const index = table.allocate(peer.index, draw);
    const session = i % 3 === 0 ? null : stubSession(peer, index);
    if (session !== null) table.attach(index, session);
    expected.set(index, session);
    if (i % 4 !== 0) continue;
    const [released] = expected.keys();
    table.release(released!);
    expected.delete(released!);
    assertEquals([table.peerIndex(released!), table.session(released!)], [0, null]);
  }
  for (const [index, session] of expected) {
    assertEquals(table.peerIndex(index), peer.index);
    assert(table.session(index) === session);
    assert(table.session(index | 0) === session);
  }
});

Deno.test("index 0 names nothing until it is given out", () => {
  const table = new IndexTable();
  assertEquals([table.peerIndex(0), table.session(0)], [0, null]);
  const peer = stubPeer(null, 7);
  table.allocate(peer.index, () => 0);
  assertEquals(table.peerIndex(0), peer.index);
});

Deno.test("release() frees the slot, once, and for its own index only", () => {
  const table = new IndexTable();
  const peer = stubPeer(null, 7);
  const index = table.allocate(peer.index, () => 0x0010_0007);
  table.attach(index, stubSession(peer, index));
  table.release(0x0020_0007);
  assertEquals(table.peerIndex(index), peer.index);
  table.release(index);
  table.release(index);
  assertEquals([table.peerIndex(index), table.session(index)], [0, null]);
  const next = table.allocate(peer.index, () => 0x0050_0007);
  assertEquals(table.peerIndex(next), peer.index);
  assertEquals(table.session(next), null);
});

Deno.test("allocate() has an index for all that the most peers may hold, refuses more, and goes on when one is released", () => {
  const table = new IndexTable();
  const random = new Random(1);
  const draw = () => random.uint32();
  // Three sessions, that of a key to come, a handshake, those before it, and the one for which the oldest of them goes.
  const each = 3 + 1 + 1 + MAX_EARLIER_HANDSHAKES + 1;
  const indices = Array.from(
    { length: each * MAX_PEERS },
    (_, i) => table.allocate(1 + i % MAX_PEERS, draw),
  );
  assertEquals(new Set(indices).size, indices.length);
  assertThrows(() => table.allocate(1, draw), RangeError, "Cannot allocate a session index");
  table.release(indices[5]!);
  table.allocate(7, draw);
  assert(indices.every((index, i) => i === 5 || table.peerIndex(index) === 1 + i % MAX_PEERS));
});
