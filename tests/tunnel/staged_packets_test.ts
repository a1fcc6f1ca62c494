/** Tests of the packets that wait for a session: alone, and through a device. */
import { StagedPackets } from "../../lib/tunnel/staged_packets.ts";
import { DropCounters, DropReason } from "../../lib/wire/drop_reason.ts";
import { assertEquals } from "../support/assert.ts";
import { receivedTexts, tunnelPair, upward } from "../support/tunnel_pair.ts";
import { stubPeer } from "./peer_stub.ts";

const MIB = 1024 * 1024;

Deno.test("take() gives copies of the packets, in order, once", () => {
  const staged = new StagedPackets(new DropCounters());
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
  const staged = new StagedPackets(drops);
  const peer = stubPeer();
  for (let i = 0; i < 130; i++) staged.add(peer, Uint8Array.of(i));
  const kept = staged.take(peer);
  assertEquals([kept.length, kept[0]![0], kept.at(-1)![0]], [128, 2, 129]);
  assertEquals(drops.counts[DropReason.noSession], 2);
});

Deno.test("add() keeps 16 MiB for all peers together, and has a peer's own packets give way first", () => {
  const drops = new DropCounters();
  const staged = new StagedPackets(drops);
  const [one, other] = [stubPeer(), stubPeer()];
  for (let i = 0; i < 15; i++) staged.add(one, new Uint8Array(MIB));
  staged.add(other, new Uint8Array(MIB).fill(1));
  staged.add(other, new Uint8Array(MIB).fill(2));
  assertEquals([one.staged.length, other.staged.length], [15, 1]);
  assertEquals(other.staged[0]![0], 2);
  staged.add(stubPeer(), new Uint8Array(1));
  assertEquals(drops.counts[DropReason.noSession], 2);
  staged.drop(one);
  assertEquals(drops.counts[DropReason.noSession], 17);
  for (let i = 0; i < 16; i++) staged.add(one, new Uint8Array(MIB - 1));
  assertEquals(one.staged.length, 15);
  staged.take(one);
  staged.take(other);
  for (let i = 0; i < 17; i++) staged.add(one, new Uint8Array(MIB));
  assertEquals(one.staged.length, 16);
});

Deno.test("a device sends what waited, in order, the newest 128 at most", () => {
  const { client, gateway, simulation } = tunnelPair();
  for (let i = 0; i < 200; i++) client.send(upward(`${i}`));
  simulation.run(100);
  assertEquals(receivedTexts(gateway), Array.from({ length: 128 }, (_, i) => `${i + 72}`));
  assertEquals(client.dropped(DropReason.noSession), 72);
});
