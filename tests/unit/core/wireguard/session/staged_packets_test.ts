/** Tests of the packets that wait for a session: alone, and through a device. */
import { StagedPackets } from "../../../../../lib/core/wireguard/session/staged_packets.ts";
import { DropCounters, DropReason } from "../../../../../lib/core/wire/drop_reason.ts";
import { assertEquals } from "../../../../support/assert.ts";
import { receivedTexts, tunnelPair, upward } from "../../../../support/packets/tunnel_pair.ts";
import { stubPeer } from "../../../../support/wireguard/peer_stub.ts";

/** Bytes of a packet, with which 8,192 packets fit. */
const LONGEST = 2_048;
const CAPACITY = 8_192;

Deno.test("take() gives copies of the packets, in order, once", () => {
  const staged = new StagedPackets(new DropCounters(), LONGEST);
  const peer = stubPeer();
  const packet = Uint8Array.of(1);
  staged.add(peer, packet);
  packet[0] = 2;
  staged.add(peer, packet);
  assertEquals(staged.take(peer), [Uint8Array.of(1), Uint8Array.of(2)]);
  assertEquals(staged.take(peer), []);
});

Deno.test("add() keeps the newest 128 packets of a peer", () => {
  const drops = new DropCounters();
  const staged = new StagedPackets(drops, LONGEST);
  const peer = stubPeer();
  for (let i = 0; i < 130; i++) staged.add(peer, Uint8Array.of(i));
  const kept = staged.take(peer);
  assertEquals([kept.length, kept[0]![0], kept.at(-1)![0]], [128, 2, 129]);
  assertEquals(drops.counts[DropReason.noSession], 2);
});

Deno.test("add() keeps 16 MiB for all peers together, and the longest queue loses its oldest", () => {
  const drops = new DropCounters();
  const staged = new StagedPackets(drops, LONGEST);
  // One who writes to a hundred peers that are away.
  const away = Array.from({ length: 100 }, stubPeer);
  for (const peer of away) for (let i = 0; i < 128; i++) staged.add(peer, Uint8Array.of(i));
  const kept = () => away.reduce((sum, peer) => sum + peer.staged.length, 0);
  assertEquals(kept(), CAPACITY);
  // The others' packets find room, up to what an even part would be.
  const other = stubPeer();
  for (let i = 0; i < 40; i++) staged.add(other, Uint8Array.of(i));
  assertEquals(kept(), CAPACITY - 40);
  // And go on to have it, whatever the flood.
  for (const peer of away) for (let i = 0; i < 128; i++) staged.add(peer, Uint8Array.of(i));
  assertEquals(
    staged.take(other).map(([number]) => number),
    Array.from({ length: 40 }, (_, i) => i),
  );
  assertEquals(drops.counts[DropReason.noSession], 2 * 12_800 - kept());
});

Deno.test("what was taken or given up leaves its room to others", () => {
  const drops = new DropCounters();
  const staged = new StagedPackets(drops, LONGEST);
  const peers = Array.from({ length: 64 }, stubPeer);
  for (let round = 0; round < 3; round++) {
    for (const peer of peers) for (let i = 0; i < 128; i++) staged.add(peer, Uint8Array.of(i));
    assertEquals(drops.counts[DropReason.noSession], round * 32 * 128);
    peers.forEach((peer, i) => i % 2 === 0 ? staged.take(peer) : staged.drop(peer));
  }
});

Deno.test("a device sends what waited, in order, the newest 128 at most", () => {
  const { client, gateway, simulation } = tunnelPair();
  for (let i = 0; i < 200; i++) client.send(upward(`${i}`));
  simulation.run(100);
  assertEquals(receivedTexts(gateway), Array.from({ length: 128 }, (_, i) => `${i + 72}`));
  assertEquals(client.dropped(DropReason.noSession), 72);
});
