/** Tests of a peer's limit on the way through the engine: both ways, sessions, super-packets, changes, removal. */
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { Ecn, ecnOf } from "../../../../lib/core/wire/ecn.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import {
  buildTcp,
  buildUdp,
  repairHeaderChecksum,
} from "../../../support/packets/packet_builder.ts";
import {
  CLIENT_INNER,
  connectedPair,
  downward,
  GATEWAY_INNER,
  receivedTexts,
  tunnelPair,
  upward,
} from "../../../support/packets/tunnel_pair.ts";

/** Bytes that wait at a low rate at most, and of the packets sent here. */
const QUEUE = 80_000;
const LENGTH = 1_028;
const TEXT = "x".repeat(1_000);
const SECOND = 1_000;

Deno.test("a peer's limit holds for what comes from it and for what goes to it; the first wait, the others are counted", () => {
  // A packet a second.
  const { client, gateway, simulation, toClient } = connectedPair({
    toClient: { rateLimit: 8 * LENGTH },
  });
  for (let i = 0; i < 100; i++) {
    client.send(upward(TEXT));
    gateway.send(downward(TEXT));
    simulation.run(1);
  }
  simulation.run(100);
  const passed = () => [receivedTexts(gateway).length, receivedTexts(client).length];
  const dropped = 2 * (100 - 1 - Math.floor(QUEUE / LENGTH));
  assertEquals(passed(), [1, 1]);
  assertEquals([gateway.dropped(DropReason.rateLimited), toClient.rateLimited], [dropped, dropped]);
  for (let i = 0; i < 200; i++) {
    client.send(upward(TEXT));
    gateway.send(downward(TEXT));
    simulation.run(100);
  }
  for (const count of passed()) assert(count >= 20 && count <= 22, `${count}`);
});

Deno.test("keepalives and handshakes are not held up by a limit", () => {
  const { client, gateway, simulation, toClient } = connectedPair({
    toClient: { rateLimit: 1_000 },
  });
  for (let i = 0; i < 80; i++) gateway.send(downward(TEXT));
  const { lastHandshakeUnixTime } = toClient;
  for (let i = 0; i < 20; i++) {
    client.send(upward("."));
    simulation.run(10 * SECOND);
  }
  assert(toClient.lastHandshakeUnixTime > lastHandshakeUnixTime);
});

Deno.test("packets that wait for a session are paid for once", () => {
  const { client, gateway, simulation } = tunnelPair({ toGateway: { rateLimit: 8e6 } });
  for (let i = 0; i < 60; i++) client.send(upward(TEXT));
  simulation.run(SECOND);
  assertEquals([receivedTexts(gateway).length, client.drops.total], [60, 0]);
});

Deno.test("a super-packet's packets leave at the rate, in their order, and none is lost", () => {
  const { client, gateway, simulation } = connectedPair({ toGateway: { rateLimit: 8e6 } });
  // struct virtio_net_hdr: checksum partial, TCPv4, headers of 40 bytes, segments of 1,000, checksum 16 bytes from 20.
  const header = Uint8Array.of(1, 1, 40, 0, 0xe8, 3, 20, 0, 16, 0);
  const packet = buildTcp({
    source: CLIENT_INNER,
    destination: GATEWAY_INNER,
    payload: Uint8Array.from({ length: 60_000 }, (_, i) => i / 1_000),
    flags: 0x10,
  });
  client.tun.send(packet, header);
  client.readTun();
  simulation.run(30);
  // 10,400 bytes at once, and 1,000 in each ms.
  const { written } = gateway.tun;
  assert(written.length > 25 && written.length < 45, `${written.length}`);
  simulation.run(50);
  assertEquals(written.map((bytes) => bytes[40]), Array.from({ length: 60 }, (_, i) => i));
});

Deno.test("one peer's limit is no other's, and what it sends to another is held up by either's", () => {
  const limited = connectedPair({ toClient: { rateLimit: 8_000 } });
  const { simulation, gateway } = limited;
  const addOther = (last: number, rateLimit: number | null) => {
    const other = simulation.addDevice({
      name: `other ${last}`,
      address: `192.0.2.${last}`,
      tunnelAddress: `10.66.77.${last}/24`,
    });
    const { address, port } = gateway;
    gateway.addPeer(other, [`10.66.77.${last}/32`], { rateLimit });
    other.initiate(other.addPeer(gateway, ["10.66.77.0/24"], { endpoint: { address, port } }));
    return other;
  };
  const [free, slow] = [addOther(3, null), addOther(4, 8_000)];
  simulation.run(100);
  const packet = (source: number, destination: number) =>
    buildUdp({
      source: `10.66.77.${source}`,
      destination: `10.66.77.${destination}`,
      payload: new Uint8Array(1_000),
    });
  for (let i = 0; i < 30; i++) {
    limited.client.send(packet(2, 3));
    free.send(packet(3, 1), packet(3, 4));
    simulation.run(1);
  }
  simulation.run(100);
  assertEquals([free, slow, gateway].map(({ tun }) => tun.written.length), [1, 1, 30]);
  simulation.run(10 * SECOND);
  for (const { tun } of [free, slow]) assert(tun.written.length > 3 && tun.written.length <= 11);
});

Deno.test("a packet that says that it answers to marks is marked where another would be dropped", () => {
  const { client, gateway, simulation } = connectedPair({ toClient: { rateLimit: 1e6 } });
  for (const ecn of [Ecn.ect0, Ecn.notEct]) {
    const [dropped, count] = [gateway.dropped(DropReason.rateLimited), client.tun.written.length];
    for (let i = 0; i < 300; i++) {
      const packet = downward(TEXT);
      packet[1] = ecn;
      repairHeaderChecksum(packet);
      gateway.send(packet);
      simulation.run(i < 40 ? 0 : 9);
    }
    simulation.run(SECOND);
    const marked = client.tun.written.slice(count).filter((bytes) =>
      ecnOf(new DataView(bytes.buffer, bytes.byteOffset), 0) === Ecn.ce
    );
    const lost = gateway.dropped(DropReason.rateLimited) - dropped;
    assertEquals([marked.length > 0, lost > 0], ecn === Ecn.ect0 ? [true, false] : [false, true]);
  }
});

Deno.test("a limit can be set, changed and lifted while the tunnel runs; what waits is not lost by it", () => {
  const { client, gateway, toClient, simulation } = connectedPair();
  const { allowedIps } = gateway.device;
  const settings = { publicKey: toClient.publicKey, allowedIps: allowedIps.entries(toClient) };
  for (const rateLimit of [1_000, 2_000, null]) {
    gateway.device.updatePeer(toClient, { ...settings, rateLimit }, simulation.now);
    assertEquals([toClient.fromLimit?.rate ?? null, toClient.toLimit?.rate ?? null], [
      rateLimit,
      rateLimit,
    ]);
    for (let i = 0; i < 20; i++) gateway.send(downward(`${i}`));
  }
  simulation.run(SECOND);
  assertEquals(receivedTexts(client).length, 60);
});

Deno.test("what waits for a peer that is removed goes to nobody, though another takes its place", () => {
  const { client, gateway, toClient, simulation } = connectedPair({ toClient: { rateLimit: 8e3 } });
  for (let i = 0; i < 40; i++) {
    client.send(upward(TEXT));
    gateway.send(downward(TEXT));
  }
  simulation.run(100);
  const before = [gateway, client].map(({ tun }) => tun.written.length);
  gateway.device.removePeer(toClient);
  simulation.run(SECOND);
  assertEquals([gateway, client].map(({ tun }) => tun.written.length), before);
  assert(gateway.dropped(DropReason.noRoute) > 40);
  assertEquals(gateway.engine.pollAt(), Infinity);
});

Deno.test("while the port is full what waits goes on waiting, without a look at it in each turn", () => {
  const { client, gateway, simulation } = connectedPair({ toClient: { rateLimit: 8e6 } });
  for (let i = 0; i < 60; i++) gateway.send(downward(`${i}`.padStart(1_000)));
  gateway.udp.room = 0;
  simulation.run(SECOND);
  assertEquals([receivedTexts(client).length, gateway.engine.pollAt()], [10, Infinity]);
  gateway.udp.room = Infinity;
  gateway.engine.resume(simulation.now);
  simulation.run(SECOND);
  assertEquals(receivedTexts(client).map(Number), Array.from({ length: 60 }, (_, i) => i));
});
