/** Tests of lib/core/engine/divider.ts, in the pipeline: what is longer than a path takes, and may be divided. */
import { Divider } from "../../../../lib/core/engine/divider.ts";
import { MAX_MERGED } from "../../../../lib/core/engine/engine.ts";
import { RELEASED, Shaping } from "../../../../lib/core/engine/shaping.ts";
import { flowLines } from "../../../../lib/core/flows/flow_lines.ts";
import { FlowMeter } from "../../../../lib/core/flows/flow_meter.ts";
import { SendQueue } from "../../../../lib/core/transport/send_queue.ts";
import { DropCounters, DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import type { PacketDevice, PacketPeer } from "../../../../lib/core/wireguard/packet_peer.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { reassemble } from "../../../support/nat/world.ts";
import * as reference from "../../../support/offload/reference.ts";
import {
  buildTcp,
  buildUdp,
  type Bytes,
  type UdpFields,
} from "../../../support/packets/packet_builder.ts";
import { site } from "../../../support/packets/site.ts";
import {
  CLIENT_INNER,
  connectedPair,
  GATEWAY_INNER,
  sentBy,
  TRANSPORT,
  type TunnelPair,
} from "../../../support/packets/tunnel_pair.ts";

const MTU = 1220;
/** Headers of a message, and its tag. */
const OVERHEAD = 32;

/** A pair, each end of which knows of a narrow path to the other. */
function narrowPair(workers?: number): TunnelPair {
  const both = workers === undefined ? {} : { gatewayWorkers: workers };
  const pair = connectedPair(both);
  pair.toClient.mtu = MTU;
  pair.toGateway.mtu = MTU;
  // Packet workers are told after a turn of the device's thread.
  pair.gateway.initiate(pair.toClient);
  pair.simulation.run(100);
  pair.sent.length = 0;
  return pair;
}

const payloadOf = (size: number) => Uint8Array.from({ length: size }, (_, i) => i * 7);

function toClient(size: number, fields: UdpFields = {}): Bytes {
  const addresses = { source: GATEWAY_INNER, destination: CLIENT_INNER };
  return buildUdp({ ...addresses, payload: payloadOf(size), ...fields });
}

for (const workers of [undefined, 2]) {
  const how = workers === undefined ? "by one thread" : `by ${workers} packet workers`;
  Deno.test(`a packet without DF that the path does not take arrives in fragments that it does, ${how}`, () => {
    const pair = narrowPair(workers);
    const { gateway, client, simulation } = pair;
    const packets = [MTU - 28 + 1, 1392].map((size, i) => toClient(size, { identification: i }));
    const up = buildUdp({ payload: payloadOf(1392) });
    gateway.send(...packets);
    client.send(up);
    simulation.run(20);
    const { written } = client.tun;
    assertEquals(written.length, 4);
    assertEquals(
      [written.slice(0, 2), written.slice(2)].map((parts) => reassemble(parts)),
      packets,
    );
    assertEquals(reassemble(gateway.tun.written), up);
    const sizes = pair.sent.filter(({ type }) => type === TRANSPORT).map(({ bytes }) =>
      bytes.length
    );
    assert(sizes.every((size) => size <= MTU + OVERHEAD), `${sizes}`);
    assertEquals(gateway.drops.total + client.drops.total, 0);
  });
}

Deno.test("segments of a super-packet without DF that are too long arrive in fragments, in their order", () => {
  const pair = narrowPair();
  const { gateway, client, simulation } = pair;
  const addresses = { source: GATEWAY_INNER, destination: CLIENT_INNER };
  const segments = 40;
  for (
    const [packet, header] of [
      [
        buildUdp({ ...addresses, payload: payloadOf(1300 * segments) }),
        { type: 5, headerLength: 28, segmentSize: 1300, checksumOffset: 6 },
      ],
      [
        buildTcp({ ...addresses, payload: payloadOf(1300 * segments), flags: 0x18 }),
        { type: 1, headerLength: 40, segmentSize: 1300, checksumOffset: 16 },
      ],
    ] as const
  ) {
    const fields = reference.virtioHeader({ ...header, flags: 1, checksumStart: 20 });
    client.tun.written.length = 0;
    gateway.tun.send(packet, fields);
    gateway.readTun();
    simulation.run(20);
    const { written } = client.tun;
    assertEquals(written.length, 2 * segments);
    const whole = Array.from(
      { length: segments },
      (_, i) => reassemble(written.slice(2 * i, 2 * i + 2)),
    );
    assertEquals(whole, reference.split(packet, 1300));
  }
  assertEquals(gateway.drops.total, 0);
});

Deno.test("a packet of one client's for another arrives in fragments where that one's path is narrow", () => {
  const { gateway, clients: [alice, bob], simulation } = site(2);
  gateway.device.peer(bob!.identity.public)!.mtu = MTU;
  const fields = { source: "10.66.77.2", destination: "10.66.77.3", payload: payloadOf(1300) };
  const packet = buildUdp(fields);
  alice!.send(packet);
  simulation.run(20);
  assertEquals(bob!.tun.written.length, 2);
  assertEquals(reassemble(bob!.tun.written), packet);
});

Deno.test("what the NAT has for a client arrives in fragments where the path is narrow", () => {
  const { gateway, clients, simulation } = site(1, { external: "198.51.100.1" });
  const client = clients[0]!;
  gateway.device.peer(client.identity.public)!.mtu = MTU;
  const { capture, nat } = gateway;
  let port = 0;
  capture!.onFlush = () => {
    const { outside } = nat!;
    if (outside.length > 0) port = gateway.memory.view.getUint16(outside.offsets[0]! + 20);
    outside.clear();
  };
  client.send(buildUdp({ source: "10.66.77.2", destination: "203.0.113.9" }));
  simulation.run(20);
  const answer = {
    source: "203.0.113.9",
    destination: "198.51.100.1",
    sourcePort: 53,
    destinationPort: port,
    payload: payloadOf(1300),
  };
  capture!.arrive(buildUdp(answer));
  gateway.engine.readCapture(simulation.now);
  simulation.run(20);
  const { written } = client.tun;
  assertEquals(written.length, 2);
  assertEquals(reassemble(written).slice(28), payloadOf(1300));
});

/** Of a packet that is so long: two fill the queue up to where the engine does not yet empty it. */
const FRAGMENTS = 95;

/** Has the host send three packets of as many fragments, by a port that has room for so many datagrams. */
function sendLong(room: number): { readonly sent: number; readonly dropped: number } {
  const pair = narrowPair();
  const { gateway, simulation } = pair;
  pair.toClient.mtu = 576;
  const left = gateway.sendQueue.capacity - 2 * FRAGMENTS;
  assert(left >= MAX_MERGED && left < FRAGMENTS);
  // The first of the three does not come after a pause.
  gateway.engine.readTun(simulation.now);
  gateway.udp.room = room;
  for (let i = 0; i < 3; i++) gateway.tun.send(toClient(FRAGMENTS * 552 - 8));
  gateway.readTun();
  gateway.udp.room = Infinity;
  gateway.engine.resume(simulation.now);
  simulation.run(20);
  return {
    sent: sentBy(pair, gateway, TRANSPORT).length,
    dropped: gateway.dropped(DropReason.sendQueueFull),
  };
}

Deno.test("the send queue is emptied where it has no room for the fragments of a packet", () => {
  assertEquals(sendLong(Infinity), { sent: 3 * FRAGMENTS, dropped: 0 });
});

Deno.test("where there is no room for all fragments of a packet, none of them is sent", () => {
  assertEquals(sendLong(0), { sent: 2 * FRAGMENTS, dropped: 1 });
});

Deno.test("a flow's figures have all of a packet that is divided, though later fragments name no ports", () => {
  const packet = toClient(3000);
  for (const isSpent of [false, true]) {
    const memory = createMemory(0x8000);
    const drops = new DropCounters();
    const sizes: number[] = [];
    const device = {
      send: (_peer: PacketPeer, _offset: number, length: number) => sizes.push(length),
    } as unknown as PacketDevice;
    const nowhere = { offset: 0, slots: 0, slotSize: 0 };
    const shaping = new Shaping({ memory, device, drops, shaping: nowhere, onRelease: () => {} });
    const meter = shaping.meter = new FlowMeter(memory.view, 7);
    const sendQueue = new SendQueue({ offset: 0x4000, slots: 8, slotSize: 1536 });
    const divider = new Divider({ memory, scratch: 0x2000, shaping, sendQueue, drops });
    memory.bytes.set(packet);
    const peer = { index: 1, mtu: MTU, toLimit: null, isSpent } as PacketPeer;
    divider.send(peer, 0, packet.length, 0);
    assertEquals(sizes.length, isSpent ? 0 : 3);
    const lines = [...flowLines(meter.take(1, 1, true))];
    assertEquals(lines.map(({ sent }) => sent), isSpent ? [] : [packet.length]);
  }
});

Deno.test("what goes whole behind packets that are divided, in the same round, finds room in the send queue", () => {
  const memory = createMemory(0x10_0000);
  const drops = new DropCounters();
  const sendQueue = new SendQueue({ offset: 0x8000, slots: 4 * MAX_MERGED, slotSize: 640 });
  let lost = 0;
  const send = () => sendQueue.free > 0 ? sendQueue.tail++ : lost++;
  const device = { send } as unknown as PacketDevice;
  const nowhere = { offset: 0, slots: 0, slotSize: 0 };
  const shaping = new Shaping({ memory, device, drops, shaping: nowhere, onRelease: () => {} });
  const divider = new Divider({ memory, scratch: 0x4000, shaping, sendQueue, drops });
  divider.onFull = () => sendQueue.sentUpTo(sendQueue.tail);
  const peer = { index: 1, mtu: 576, toLimit: null, isSpent: false } as PacketPeer;
  // 15 times 17 fragments are one less than the queue takes.
  const packet = toClient(17 * 552 - 8);
  memory.bytes.set(packet);
  for (let i = 0; i < 15; i++) divider.send(peer, 0, packet.length, 0);
  for (let i = 15; i < RELEASED; i++) shaping.send(peer, 0, 100, 0);
  assertEquals(lost, 0);
});
