/** Tests of lib/core/engine/engine.ts: the loop on fake ports: back-pressure, splits under way, bounded rounds. */
import type { HandedOverPort } from "../../../../lib/core/engine/handed_over_port.ts";
import { Origin } from "../../../../lib/core/nat/slices/hand_over.ts";
import { TUN_READS } from "../../../../lib/core/engine/turn_limits.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { buildTcp, buildUdp, type Bytes } from "../../../support/packets/packet_builder.ts";
import { GATEWAY, inner, makeRoom, site, toClient } from "../../../support/packets/site.ts";

const EXTERNAL = "203.0.113.1";
const REMOTE = "198.51.100.7";
/** Slots of the send queue. */
const SLOTS = 256;

/** A super-packet of TCP of `count` packets with 100 bytes each, as the host writes it, with its virtio-net header. */
function superPacket(source: string, destination: string, count: number): [Bytes, Bytes] {
  const packet = buildTcp({
    source,
    destination,
    payload: new Uint8Array(count * 100),
    flags: 0x18,
  });
  return [packet, Uint8Array.of(1, 1, 40, 0, 100, 0, 20, 0, 16, 0)];
}

Deno.test("while a port is full the TUN is not read, and nothing is lost: what waits leaves once there is room", () => {
  const the = site(1);
  const { gateway, clients: [client], simulation } = the;
  gateway.udp.room = 10;
  for (let i = 0; i < 200; i++) gateway.tun.send(toClient(0, `${i}`));
  gateway.engine.readTun(simulation.now);
  assertEquals([gateway.tun.waiting, gateway.tun.isAwaited], [200 - TUN_READS, false]);
  // Woken all the same, by an event that came with the others.
  gateway.engine.readTun(simulation.now);
  assertEquals(gateway.tun.waiting, 200 - TUN_READS);
  makeRoom(the);
  assertEquals([gateway.tun.isAwaited, gateway.udp.isRoomAwaited], [true, false]);
  gateway.readTun();
  simulation.run(100);
  assertEquals(client!.tun.written.length, 200);
  assertEquals([gateway.drops.total, client!.drops.total], [0, 0]);
});

Deno.test("a super-packet is sent in parts where the port is full meanwhile, to the same peer though a packet for another came in between", () => {
  const the = site(2);
  const { gateway, clients: [alice, bob], simulation } = the;
  gateway.udp.room = 0;
  // More packets than the send queue has slots.
  gateway.tun.send(...superPacket(GATEWAY, inner(0), 300));
  gateway.engine.readTun(simulation.now);
  bob!.send(buildUdp({ source: inner(1), destination: inner(0) }));
  bob!.send(buildUdp({ source: inner(1), destination: GATEWAY }));
  simulation.run(100);
  assertEquals(gateway.tun.written.length, 1);
  // The queue was full for what another peer sent there.
  assertEquals(gateway.dropped(DropReason.sendQueueFull), 1);
  gateway.udp.room = SLOTS + 10;
  gateway.engine.resume(simulation.now);
  gateway.engine.flush(simulation.now);
  makeRoom(the);
  simulation.run(100);
  assertEquals([alice!.tun.written.length, bob!.tun.written.length], [300, 0]);
  assertEquals(gateway.drops.total, 1);
});

Deno.test("while a super-packet waits for room, the next one is not read", () => {
  const the = site(1);
  const { gateway, clients: [client], simulation } = the;
  gateway.udp.room = 0;
  for (let i = 0; i < 3; i++) gateway.tun.send(...superPacket(GATEWAY, inner(0), 300));
  gateway.engine.readTun(simulation.now);
  assertEquals(gateway.tun.waiting, 2);
  makeRoom(the);
  gateway.readTun();
  simulation.run(100);
  assertEquals([client!.tun.written.length, gateway.drops.total], [900, 0]);
});

Deno.test("a full port stops the capture, too; of a batch that was received already, what is merged waits, and the rest is dropped", () => {
  const the = site(1, { external: EXTERNAL, batch: 4 });
  const { gateway, clients: [client], simulation } = the;
  const capture = gateway.capture!;
  const outside: Bytes[] = [];
  capture.onFlush = () => {
    const { outside: queue } = gateway.nat!;
    for (let i = 0; i < queue.length; i++) {
      const at = queue.offsets[i]!;
      outside.push(gateway.memory.bytes.slice(at, at + queue.lengths[i]!));
    }
    queue.clear();
  };
  client!.send(buildTcp({
    source: inner(0),
    sourcePort: 1000,
    destination: REMOTE,
    destinationPort: 80,
    flags: 2,
  }));
  simulation.run(100);
  assertEquals(outside.length, 1, gateway.dropReport());
  const externalPort = outside[0]![20]! << 8 | outside[0]![21]!;
  const answer = (count: number): [Bytes, Bytes] => [
    buildTcp({
      source: REMOTE,
      sourcePort: 80,
      destination: EXTERNAL,
      destinationPort: externalPort,
      payload: new Uint8Array(count * 100),
      flags: 0x18,
    }),
    Uint8Array.of(1, 1, 40, 0, 100, 0, 20, 0, 16, 0),
  ];
  gateway.udp.room = 0;
  for (let i = 0; i < 6; i++) capture.arrive(...answer(300));
  gateway.engine.readCapture(simulation.now);
  assertEquals([capture.waiting, capture.isAwaited, capture.receives], [2, false, 1]);
  assertEquals(gateway.dropped(DropReason.sendQueueFull), 3);
  gateway.engine.readCapture(simulation.now);
  assertEquals(capture.waiting, 2);
  makeRoom(the);
  assert(capture.isAwaited);
  gateway.engine.readCapture(simulation.now);
  simulation.run(100);
  assertEquals(client!.tun.written.length, 900);
});

Deno.test("of what other workers have handed over a turn takes a bounded number, and nothing while a port is full", () => {
  const the = site(1, { external: EXTERNAL });
  const { gateway, simulation } = the;
  const packet = buildUdp({ source: REMOTE, destination: EXTERNAL, destinationPort: 7 });
  const [offset] = gateway.capture!.offsets;
  gateway.memory.bytes.set([...new Uint8Array(10), ...packet], offset);
  let [waiting, flushes] = [200, 0];
  gateway.capture!.onFlush = () => flushes++;
  const handedOver = {
    batch: 1,
    offset,
    length: 10 + packet.length,
    origin: Origin.captured,
    get hasMore() {
      return waiting > 0;
    },
    receive: () => waiting-- > 0 ? 1 : 0,
  } as unknown as HandedOverPort;
  gateway.engine.receiveHandedOver(handedOver, simulation.now);
  assertEquals([waiting, flushes, gateway.dropped(DropReason.natNoMapping)], [136, 64, 64]);
  gateway.udp.room = 0;
  gateway.tun.send(toClient(0));
  gateway.engine.readTun(simulation.now);
  gateway.engine.receiveHandedOver(handedOver, simulation.now);
  assertEquals([waiting, gateway.engine.isFull], [136, true]);
  makeRoom(the);
  gateway.engine.receiveHandedOver(handedOver, simulation.now);
  assertEquals(waiting, 72);
});

Deno.test("what came by a port is taken while it is full for sending: packets for the host arrive, and no turn is lost", () => {
  const the = site(2);
  const { gateway, clients: [alice, bob], simulation } = the;
  gateway.udp.room = 0;
  for (let i = 0; i < 300; i++) {
    alice!.send(buildUdp({ source: inner(0), destination: GATEWAY }));
    alice!.send(buildUdp({ source: inner(0), destination: inner(1) }));
  }
  simulation.run(100);
  assertEquals(gateway.tun.written.length, 300);
  // A full queue drops, and does not grow.
  const dropped = gateway.dropped(DropReason.sendQueueFull);
  assert(dropped >= 300 - SLOTS, `${dropped}`);
  makeRoom(the);
  simulation.run(100);
  assertEquals(bob!.tun.written.length, 300 - dropped);
});

Deno.test("datagrams of two ports leave in order, each by its own; one that is full holds up those behind it", () => {
  const the = site(2);
  const { gateway, clients, simulation } = the;
  const { udp, fakeTcp } = gateway;
  const [, peer] = [...gateway.device.peers];
  peer!.endpoint.setTransport(Transport.fakeTcp);
  [udp.sent, fakeTcp.sent] = [0, 0];
  const send = () => [0, 0, 1, 0].forEach((index) => gateway.tun.send(toClient(index)));
  send();
  gateway.readTun();
  assertEquals([udp.sent, fakeTcp.sent], [3, 1]);
  fakeTcp.room = 0;
  send();
  gateway.engine.readTun(simulation.now);
  assertEquals([udp.sent, fakeTcp.sent, fakeTcp.isRoomAwaited], [5, 1, true]);
  // Another one is full now.
  udp.room = 0;
  fakeTcp.room = Infinity;
  gateway.engine.resume(simulation.now);
  assertEquals([fakeTcp.sent, fakeTcp.isRoomAwaited, udp.isRoomAwaited], [2, false, true]);
  makeRoom(the);
  assertEquals(udp.sent, 6);
  simulation.run(100);
  assertEquals(clients[0]!.tun.written.length, 6);
});

Deno.test("what waits in a full queue leaves to whom it was for, however many strangers have written meanwhile", () => {
  const the = site(3);
  const { gateway, clients } = the;
  gateway.engine.readTun(the.simulation.now);
  gateway.udp.room = 0;
  for (let i = 0; i < 60; i++) gateway.tun.send(toClient(i % 3));
  gateway.engine.readTun(the.simulation.now);
  // None that is there is held by a peer any more.
  for (const client of clients) {
    gateway.device.removePeer(gateway.device.peer(client.identity.public)!);
  }
  for (let stranger = 0; stranger < 3_000; stranger++) {
    gateway.receive(new Uint8Array(100), { address: 0x0b00_0000 + stranger, port: 9 });
  }
  const to: number[] = [];
  gateway.udp.onSent = ({ paths, pathIds }, i) => to.push(paths.ipv4Address(pathIds[i]!) >>> 0);
  makeRoom(the);
  const expected = Array.from({ length: 60 }, (_, i) => clients[i % 3]!.address);
  assertEquals(to, expected);
});

Deno.test("datagrams that nothing is open for are dropped, and hold up no others", () => {
  const { gateway, simulation, clients } = site(2, { hasUdpAlone: true });
  const [, peer] = [...gateway.device.peers];
  peer!.endpoint.setTransport(Transport.fakeTcp);
  for (const index of [1, 0, 1, 0]) gateway.tun.send(toClient(index));
  gateway.readTun();
  simulation.run(100);
  assertEquals(gateway.dropped(DropReason.fakeTcpNoSession), 2);
  assertEquals(clients.map(({ tun }) => tun.written.length), [2, 0]);
});

Deno.test("a probe of the path leaves alone, behind what waits, and not at all while the port is full", () => {
  const the = site(1);
  const { gateway, simulation } = the;
  const [peer] = [...gateway.device.peers];
  const { udp } = gateway;
  const probe = () => gateway.device.sendProbe(peer!, 1300, simulation.now);
  udp.sent = 0;
  gateway.device.sendKeepalive(peer!, simulation.now);
  gateway.engine.sendProbe(probe, Transport.udp, simulation.now);
  assertEquals([udp.sent, udp.probes], [2, 1]);
  udp.room = 0;
  gateway.device.sendKeepalive(peer!, simulation.now);
  gateway.engine.sendProbe(probe, Transport.udp, simulation.now);
  assertEquals([udp.sent, udp.probes], [2, 1]);
  makeRoom(the);
  assertEquals([udp.sent, udp.probes], [3, 1]);
});

Deno.test("a message that proved to be a peer's is told to its port, and no other", () => {
  const { gateway, clients: [client], simulation } = site(1);
  const { udp } = gateway;
  udp.authentic = 0;
  gateway.receive(new Uint8Array(100), { address: 1, port: 2 });
  assertEquals(udp.authentic, 0);
  client!.send(buildUdp({ source: inner(0), destination: GATEWAY }));
  simulation.run(100);
  assertEquals(udp.authentic, 1);
});

Deno.test("packets that the host refuses are counted, and the others arrive", () => {
  const { gateway, clients: [client], simulation } = site(1);
  const send = () => {
    client!.send(buildUdp({ source: inner(0), destination: GATEWAY }));
    simulation.run(100);
  };
  gateway.tun.isRefusing = true;
  send();
  gateway.tun.isRefusing = false;
  send();
  assertEquals(gateway.dropped(DropReason.tunWriteError), 1);
  assertEquals(gateway.tun.written.length, 1);
});
