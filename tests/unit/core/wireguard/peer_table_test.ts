/** Tests of lib/core/wireguard/peer_table.ts: peers by key and by index. */
import { MAX_PEERS, PeerTable } from "../../../../lib/core/wireguard/peer_table.ts";
import type { Peer } from "../../../../lib/core/wireguard/peer.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";

/** Adds a peer whose key begins with the number. */
function add(table: PeerTable, number: number): Peer {
  const publicKey = new Uint8Array(32);
  new DataView(publicKey.buffer).setUint32(0, number);
  const peer = { publicKey, index: table.nextIndex() } as Peer;
  table.add(peer);
  return peer;
}

Deno.test("a peer is found by its key and by its index, from 1 on", () => {
  const table = new PeerTable();
  const [first, second] = [add(table, 1), add(table, 2)];
  assertEquals([first.index, second.index], [1, 2]);
  assertEquals(table.byIndex(2), second);
  assertEquals(table.byIndex(0), null);
  assertEquals(table.byIndex(3), null);
  assertEquals(table.byKey(first.publicKey.slice()), first);
  assertEquals([...table], [first, second]);
});

Deno.test("a removed peer is found no more, and removing it twice does nothing", () => {
  const table = new PeerTable();
  const [first, second] = [add(table, 1), add(table, 2)];
  table.remove(first);
  table.remove(first);
  assertEquals(table.byIndex(1), null);
  assertEquals(table.byKey(first.publicKey), undefined);
  assertEquals([...table], [second]);
  assertEquals(table.size, 1);
});

Deno.test("an index that has come free is used again last, the one free for longest first", () => {
  const table = new PeerTable();
  const peers = Array.from({ length: MAX_PEERS - 1 }, (_, i) => add(table, i));
  table.remove(peers[4]!);
  table.remove(peers[1]!);
  assertEquals(add(table, MAX_PEERS).index, MAX_PEERS, "one that nobody has had");
  assertEquals([add(table, 4).index, add(table, 1).index], [5, 2]);
  assertThrows(() => table.nextIndex(), RangeError, "Cannot add peer: there are 8192 already");
});
