/** Tests of lib/core/capture/capture.ts: what a capture has of the packets of a tunnel, and that it never grows. */
import { Capture, type CaptureSpec } from "../../../../lib/core/capture/capture.ts";
import type { Peer } from "../../../../lib/core/wireguard/peer.ts";
import { PacketDirection } from "../../../../lib/core/wireguard/packet_tap.ts";
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { buildUdp, fragment } from "../../../support/packets/packet_builder.ts";
import {
  connectedPair,
  downward,
  tunnelPair,
  upward,
} from "../../../support/packets/tunnel_pair.ts";
import {
  blocksOf,
  ENHANCED_PACKET,
  INTERFACE_DESCRIPTION,
  INTERFACE_STATISTICS,
  packetsOf,
  SECTION_HEADER,
} from "../../../support/capture/blocks.ts";

const { inbound, outbound } = PacketDirection;
/** Bytes of all chunks that may wait, and of one more that is being filled. */
const MOST_MEMORY = 33 * 128 * 1024;

function peer(name: string, key: number): Peer {
  return { name, publicKey: new Uint8Array(32).fill(key) } as Peer;
}

/** A capture whose chunks nobody takes until told to. */
function subject(options: Partial<CaptureSpec> = {}): {
  capture: Capture;
  chunks: Uint8Array[];
  packet: (from: Peer, first: number, length?: number) => void;
} {
  const memory = createMemory(70_000);
  const chunks: Uint8Array[] = [];
  const capture = new Capture({
    memory,
    publicKey: null,
    peers: [],
    snapLength: 262_144,
    application: "vpn",
    nameOf: ({ name }) => ({ name: name!, description: "" }),
    clock: () => 1_000_000,
    onChunk: (chunk) => chunks.push(chunk),
    ...options,
  });
  const packet = (from: Peer, first: number, length = 100) => {
    memory.bytes[500] = first;
    capture.take(from, inbound, 500, length);
  };
  return { capture, chunks, packet };
}

Deno.test("Capture has both directions of a tunnel, byte for byte as the packets are inside", () => {
  const pair = connectedPair();
  const { chunks, capture } = subject({
    memory: pair.gateway.memory,
    nameOf: () => ({ name: "client", description: "" }),
  });
  pair.gateway.device.tap = capture;
  // Its padding is no part of it.
  const up = upward("hello, gateway");
  const fragments = fragment(buildUdp({ payload: new Uint8Array(2000).fill(7) }), 1400);
  const down = downward("hello");
  pair.client.send(up, ...fragments);
  pair.simulation.run(50);
  pair.gateway.send(down);
  pair.simulation.run(50);
  assertEquals(capture.end(), { packets: 2 + fragments.length, dropped: 0 });
  const packets = packetsOf(...chunks);
  assertEquals(packets.map(({ bytes }) => bytes), [up, ...fragments, down]);
  assertEquals(packets.map(({ direction }) => direction), [
    inbound,
    ...fragments.map(() => inbound),
    outbound,
  ]);
});

Deno.test("Capture has a packet that waited for a session when it goes, not before", () => {
  const pair = tunnelPair();
  const { chunks, capture } = subject({ memory: pair.client.memory });
  pair.client.device.tap = capture;
  pair.toGateway.name = "gateway";
  pair.client.send(upward("waits"));
  capture.poll(0);
  capture.poll(100);
  assertEquals(packetsOf(...chunks), []);
  pair.simulation.run(100);
  capture.end();
  const [{ name, direction, bytes }, ...others] = packetsOf(...chunks);
  assertEquals([name, direction, bytes], ["gateway", outbound, upward("waits")]);
  assertEquals(others, []);
});

Deno.test("Capture has nothing of a packet whose source is not its sender's, nor of keepalives", () => {
  const pair = connectedPair();
  const { capture } = subject({ memory: pair.gateway.memory });
  pair.gateway.device.tap = capture;
  pair.client.send(buildUdp({ source: "8.8.8.8", destination: "10.66.77.1" }));
  pair.client.device.sendKeepalive(pair.toGateway, pair.simulation.now);
  pair.client.poll();
  pair.simulation.run(50);
  assertEquals(capture.end(), { packets: 0, dropped: 0 });
});

Deno.test("Capture begins with all peers that are there, and describes others when they come", () => {
  const [one, other] = [peer("one", 1), peer("other", 2)];
  const { capture, chunks, packet } = subject({ peers: [one] });
  packet(other, 1);
  packet(one, 2);
  packet(other, 3);
  capture.end();
  assertEquals(blocksOf(...chunks).map(({ type }) => type), [
    SECTION_HEADER,
    INTERFACE_DESCRIPTION,
    INTERFACE_DESCRIPTION,
    ENHANCED_PACKET,
    ENHANCED_PACKET,
    ENHANCED_PACKET,
    INTERFACE_STATISTICS,
    INTERFACE_STATISTICS,
  ]);
  assertEquals(packetsOf(...chunks).map(({ name, bytes }) => `${name} ${bytes[0]}`), [
    "other 1",
    "one 2",
    "other 3",
  ]);
});

Deno.test("Capture of one peer knows it by its key, also when it was removed and is back", () => {
  const [one, other, again] = [peer("one", 1), peer("other", 2), peer("one", 1)];
  const { capture, chunks, packet } = subject({ publicKey: one.publicKey, peers: [one, other] });
  packet(one, 1);
  packet(other, 2);
  packet(again, 3);
  assertEquals(capture.end(), { packets: 2, dropped: 0 });
  assertEquals(packetsOf(...chunks).map(({ bytes }) => bytes[0]), [1, 3]);
});

Deno.test("Capture counts what another thread could not show as dropped, of peers that it has", () => {
  const [one, other] = [peer("one", 1), peer("other", 2)];
  const { capture, packet } = subject({ publicKey: one.publicKey, peers: [] });
  capture.missed(one, 3);
  capture.missed(other, 5);
  packet(one, 1);
  assertEquals(capture.end(), { packets: 1, dropped: 3 });
});

Deno.test("Capture keeps so many bytes of a packet, and how many there were", () => {
  const { capture, chunks, packet } = subject({ snapLength: 5 });
  packet(peer("a", 1), 1, 4);
  packet(peer("a", 1), 1, 6);
  capture.end();
  assertEquals(
    packetsOf(...chunks).map(({ bytes, originalLength }) => [bytes.length, originalLength]),
    [[4, 4], [5, 6]],
  );
});

Deno.test("Capture hands over what it has 100 ms after the first of it, and asks to be polled then", () => {
  const { capture, chunks, packet } = subject();
  capture.poll(1000);
  assertEquals(capture.pollAt(), 1100);
  capture.poll(1099.9);
  assertEquals(chunks.length, 0);
  capture.poll(1100);
  assertEquals([chunks.length, capture.pollAt()], [1, Infinity]);
  packet(peer("a", 1), 1);
  capture.poll(5000);
  assertEquals([chunks.length, capture.pollAt()], [1, 5100]);
});

Deno.test("Capture counts what it has no room for while nobody takes chunks, and goes on when somebody does", () => {
  const one = peer("one", 1);
  const { capture, chunks, packet } = subject({ peers: [one] });
  const size = 1400;
  const sent = 2 * MOST_MEMORY / size | 0;
  for (let i = 0; i < sent; i++) packet(one, i, size);
  const held = chunks.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
  assertEquals(held, MOST_MEMORY - 128 * 1024);
  // Nothing to be done until somebody takes something: the loop may sleep.
  assertEquals(capture.pollAt(), Infinity);
  capture.poll(1000);
  const full = chunks.length;
  capture.taken();
  packet(one, 77, size);
  assertEquals(chunks.length, full + 1);
  const { packets, dropped } = capture.end();
  assertEquals(packets + dropped, sent + 1);
  assert(dropped > sent / 3, `${dropped}`);
  const read = packetsOf(...chunks);
  assertEquals(read.length, packets);
  assertEquals(read.at(-1)!.bytes[0], 77);
  const statistics = blocksOf(...chunks).at(-1)!;
  assertEquals(statistics.type, INTERFACE_STATISTICS);
  assertEquals(statistics.body.getBigUint64(16, true), BigInt(packets));
  assertEquals(statistics.body.getBigUint64(28, true), BigInt(dropped));
});

Deno.test("Capture counts packets of a peer for whose description there is no room", () => {
  const [one, late] = [peer("one", 1), peer("l".repeat(1024), 2)];
  const { capture, chunks, packet } = subject({ peers: [one] });
  const sent = 2 * MOST_MEMORY / 1000 | 0;
  for (let i = 0; i < sent; i++) packet(one, 1, 1000);
  packet(late, 2);
  packet(late, 2);
  const { packets, dropped } = capture.end();
  assertEquals(packets + dropped, sent + 2);
  assertEquals(packetsOf(...chunks).every(({ name }) => name === "one"), true);
});

Deno.test("Capture takes the longest packet that there can be", () => {
  const { capture, chunks, packet } = subject();
  for (let i = 0; i < 3; i++) packet(peer("a", 1), i, 65_535);
  assertEquals(capture.end(), { packets: 3, dropped: 0 });
  assertEquals(packetsOf(...chunks).map(({ bytes }) => bytes.length), [65_535, 65_535, 65_535]);
});
