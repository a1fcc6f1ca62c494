/** Tests of packet workers (lib/core/wireguard/workers) against strangers and peers that send what they please. */
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { buildUdp } from "../../support/packets/packet_builder.ts";
import { assert, assertEquals, fail } from "../../support/assert.ts";
import type { SimulatedDevice } from "../../support/packets/simulated_device.ts";
import {
  CLIENT_INNER,
  connectedPair,
  deliver,
  downward,
  GATEWAY_INNER,
  INITIATION,
  receivedTexts,
  sealed,
  sentBy,
  TRANSPORT,
  upward,
} from "../../support/packets/tunnel_pair.ts";

const STRANGER = { address: 0xcb007142, port: 666 };

/** A message of this type that names no session: only the number of a worker in its index is to the point. */
function forged(type: number, worker: number, length = 148): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length).fill(0x5a);
  new DataView(bytes.buffer).setUint32(0, type, true);
  bytes[4] = 0x50 | worker;
  return bytes;
}

/** Has the device's thread hang while something is done. */
function whileBusy({ workers }: SimulatedDevice, act: () => void): void {
  const { settle } = workers!;
  workers!.settle = () => {};
  act();
  workers!.settle = settle;
}

Deno.test("a stranger's messages do not keep from the device that a peer has moved", () => {
  const pair = connectedPair({ gatewayWorkers: 2 });
  const { client, gateway, simulation } = pair;
  const worker = pair.toClient.current!.localIndex & 15;
  client.port = 41_000;
  pair.sent.length = 0;
  whileBusy(gateway, () => {
    // What the kernel merges behind a transport message comes to its worker, which hands it on.
    for (const type of [INITIATION, TRANSPORT]) {
      const train = Uint8Array.of(
        ...forged(TRANSPORT, worker),
        ...Array.from({ length: 50 }, () => [...forged(type, 1 - worker)]).flat(),
        // Small enough for what is left of the ring.
        ...forged(INITIATION, 0, 8),
      );
      for (let i = 0; i < 200; i++) gateway.receive(train, { ...STRANGER, segmentSize: 148 });
    }
    client.send(upward("moved"));
    simulation.run(10);
  });
  gateway.poll();
  assertEquals(receivedTexts(gateway), ["moved"]);
  const asked = sentBy(pair, gateway, INITIATION).map((it) => it.destinationPort);
  assertEquals(asked, [41_000]);
});

Deno.test("a message for a worker that there is not is dropped where it comes", () => {
  const { gateway } = connectedPair({ gatewayWorkers: 2 });
  whileBusy(gateway, () => {
    gateway.receive(forged(TRANSPORT, 14), STRANGER);
    for (const { news } of gateway.workers!.all) assertEquals(news.next(), 0);
  });
  const counts = gateway.workers!.all.map(({ drops }) => drops.counts[DropReason.unknownIndex]);
  assert(counts.includes(1), `${counts}`);
});

Deno.test("a packet that waits for a peer which is removed goes to nobody who has its index then", () => {
  const pair = connectedPair({ gatewayWorkers: 2 });
  const { gateway, toClient } = pair;
  const { board } = gateway.workers!;
  // Its session is over, and the worker hands the packet to the device, which hears of it late.
  pair.simulation.run(200_000);
  pair.sent.length = 0;
  whileBusy(gateway, () => gateway.send(downward("secret")));
  board.peerRemoved(toClient);
  board.peerPlaced(toClient, [{ address: toClient.index, prefixLength: 32 }], null);
  gateway.poll();
  assertEquals([toClient.staged.length, sentBy(pair, gateway).length], [0, 0]);
});

Deno.test("handshakes that a worker does not hear of are refused in the end, and work again when it does", () => {
  const pair = connectedPair({ gatewayWorkers: 2 });
  const { client, gateway, simulation, toClient, toGateway } = pair;
  const receiver = toClient.current!.localIndex & 15;
  const { device: stuck } = gateway.workers!.all[1 - receiver]!;
  const learn = stuck.learn.bind(stuck);
  stuck.learn = () => false;
  for (let i = 0; i < 300; i++) {
    client.initiate(toGateway);
    simulation.run(6_000);
  }
  assert(gateway.dropped(DropReason.handshakeFlood) > 0);
  stuck.learn = learn;
  gateway.poll();
  client.initiate(toGateway);
  simulation.run(6_000);
  client.send(upward("again"));
  simulation.run(100);
  assertEquals(receivedTexts(gateway).at(-1), "again");
});

Deno.test("who watches more of a packet than a worker has shown sees zeros, and nothing of another packet", () => {
  const { client, gateway, simulation } = connectedPair({ gatewayWorkers: 2 });
  const shown: string[] = [];
  gateway.device.tap = {
    take: (_peer, _direction, offset, length) => {
      const { bytes } = gateway.memory;
      shown.push(new TextDecoder().decode(bytes.slice(offset + 28, offset + length)));
    },
    missed: () => fail(),
  };
  const { board } = gateway.workers!;
  for (const [length, text] of [[200, "private"], [30, "another"]] as const) {
    board.watch(length);
    gateway.poll();
    client.send(upward(text));
    simulation.run(20);
  }
  assertEquals(shown, ["private", "an\0\0\0\0\0"]);
});

Deno.test("a capture is told how many packets workers had no room to show, of whom", () => {
  const pair = connectedPair({ gatewayWorkers: 3 });
  let [seen, missed] = [0, 0];
  pair.gateway.device.tap = {
    take: () => seen++,
    missed: (peer, count) => {
      assertEquals(peer, pair.toClient);
      missed += count;
    },
  };
  pair.gateway.workers!.board.watch(1500);
  pair.gateway.poll();
  const packets = Array.from({ length: 200 }, () => downward("x".repeat(1300)));
  // Twice what there is room for.
  whileBusy(pair.gateway, () => pair.gateway.send(...packets));
  // With the next packet that is shown, before any sum is told; where there is none, with that.
  pair.gateway.send(downward("next"));
  assert(missed > 0);
  assertEquals(seen + missed, packets.length + 1);
  whileBusy(pair.gateway, () => pair.gateway.send(...packets));
  pair.simulation.run(1_000);
  assertEquals(seen + missed, 2 * packets.length + 1);
});

Deno.test("what came before a packet that another worker sent is no answer to it", () => {
  const pair = connectedPair({ gatewayWorkers: 2 });
  const { client, gateway, simulation, toClient } = pair;
  const prefix = (address: number) => ({ address, prefixLength: 32 });
  const inner = 0x0a424d02;
  gateway.device.updatePeer(toClient, {
    publicKey: toClient.publicKey,
    allowedIps: [prefix(inner), prefix(inner + 1)],
  }, simulation.now);
  gateway.poll();
  simulation.run(1_000);
  const receiver = toClient.current!.localIndex & 15;
  // Addresses in a row are at one worker and the other.
  const other = (inner % 2) === receiver ? inner + 1 : inner;
  const send = (text: string) =>
    gateway.send(buildUdp({
      source: GATEWAY_INNER,
      destination: `10.66.77.${other & 255}`,
      payload: new TextEncoder().encode(text),
    }));
  // The one that sends tells of it first.
  send("begins");
  simulation.run(40);
  client.send(upward("before"));
  simulation.run(30);
  simulation.link.isDown = true;
  send("into the void");
  pair.sent.length = 0;
  simulation.run(16_000);
  assertEquals(sentBy(pair, gateway, INITIATION).length, 1);
});

Deno.test("a message of a session that ends before the device hears of it leaves its peer open to packets", () => {
  const pair = connectedPair({ gatewayWorkers: 2 });
  const { client, gateway, simulation, toClient, toGateway } = pair;
  const late = sealed(pair, "late");
  simulation.run(6_000);
  client.initiate(toGateway);
  simulation.run(6_000);
  simulation.link.isDown = true;
  pair.sent.length = 0;
  client.initiate(toGateway);
  const initiation = sentBy(pair, client, INITIATION)[0]!.bytes;
  const from = { address: client.address, port: client.port };
  whileBusy(gateway, () => {
    deliver(gateway, late);
    // For the session that follows, the one before the last goes.
    gateway.receive(initiation, from);
  });
  gateway.poll();
  for (const { device } of gateway.workers!.all) {
    assertEquals(device.peerAt(toClient.index)!.isOpen, true);
  }
});

Deno.test("a peer's datagram that another thread got goes on in the turn in which its worker comes upon it", () => {
  const pair = connectedPair({ gatewayWorkers: 2 });
  const { client, gateway, simulation, toClient } = pair;
  const { address, port } = gateway;
  const other = simulation.addDevice({
    name: "other",
    address: "192.0.2.3",
    tunnelAddress: "10.66.77.3/24",
  });
  const server = other.addPeer(gateway, [`${GATEWAY_INNER}/24`], { endpoint: { address, port } });
  gateway.addPeer(other, ["10.66.77.3/32"]);
  other.initiate(server);
  simulation.run(1_000);
  simulation.link.isDown = true;
  pair.sent.length = 0;
  client.send(
    buildUdp({ source: CLIENT_INNER, destination: "10.66.77.3", payload: new Uint8Array(200) }),
  );
  const { bytes } = sentBy(pair, client, TRANSPORT)[0]!;
  const worker = toClient.current!.localIndex & 15;
  pair.sent.length = 0;
  whileBusy(gateway, () => {
    // Merged behind one of another kind, and so the device's thread's; its worker reads on for an index.
    gateway.receive(Uint8Array.of(...forged(INITIATION, 0, bytes.length), ...bytes), {
      address: client.address,
      port: client.port,
      segmentSize: bytes.length,
    });
    gateway.receive(forged(TRANSPORT, worker), STRANGER);
    assertEquals(sentBy(pair, gateway, TRANSPORT).length, 1);
  });
});

Deno.test("a peer that moves with each message keeps from the device no session of another's", () => {
  const pair = connectedPair({ gatewayWorkers: 2 });
  const { client, gateway, simulation } = pair;
  const { address, port } = gateway;
  // Of the same worker.
  const other = simulation.addDevice({
    name: "other",
    address: "192.0.2.4",
    tunnelAddress: "10.66.77.4/24",
  });
  const server = other.addPeer(gateway, [`${GATEWAY_INNER}/24`], { endpoint: { address, port } });
  const toOther = gateway.addPeer(other, ["10.66.77.4/32"]);
  whileBusy(gateway, () => {
    simulation.link.isDown = true;
    for (let i = 0; i < 5_000; i++) {
      client.send(upward("here"));
      gateway.receive(pair.sent.pop()!.bytes, { address: client.address, port: 10_000 + i });
    }
    simulation.link.isDown = false;
    other.initiate(server);
    simulation.run(50);
  });
  gateway.poll();
  assert(toOther.current !== null);
});
