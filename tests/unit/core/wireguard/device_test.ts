/** Tests of lib/core/wireguard/device.ts: its peers, its queue, its events. Handshakes, timers and transport have files of their own. */
import { MAX_HANDSHAKE_ATTEMPTS } from "../../../../lib/core/wireguard/constants.ts";
import { Carrier } from "../../../../lib/core/transport/endpoint.ts";
import { NO_PATH } from "../../../../lib/core/transport/paths.ts";
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { receivedLength, receivedPeer } from "../../../../lib/core/wireguard/received.ts";
import { assert, assertEquals, assertNotEquals, assertThrows } from "../../../support/assert.ts";
import { ipv4, type SimulatedDevice } from "../../../support/packets/simulated_device.ts";
import {
  connectedPair,
  downward,
  INITIATION,
  KEEPALIVE_SIZE,
  receivedTexts,
  RESPONSE,
  sentBy,
  TRANSPORT,
  tunnelPair,
  upward,
} from "../../../support/packets/tunnel_pair.ts";

Deno.test("peer() finds a peer by its public key", () => {
  const { client, gateway, toGateway } = tunnelPair();
  assertEquals(client.device.peer(gateway.identity.public), toGateway);
  assertEquals(client.device.peer(client.identity.public), undefined);
  assertEquals([...client.device.peers], [toGateway]);
});

Deno.test("addPeer() refuses a public key twice", () => {
  const { client, gateway } = tunnelPair();
  assertThrows(() => client.addPeer(gateway, []), RangeError, "Cannot add peer");
});

Deno.test("addPeer() takes allowed IPs from whom had them", () => {
  const { client, toGateway, simulation } = tunnelPair();
  const other = simulation.addDevice({
    name: "other",
    address: "203.0.113.9",
    tunnelAddress: "10.66.77.9/24",
  });
  const { allowedIps } = client.device;
  assertEquals(allowedIps.lookup(ipv4("10.66.77.5")), toGateway);
  const added = client.addPeer(other, ["10.66.77.0/24"]);
  assertEquals(allowedIps.lookup(ipv4("10.66.77.5")), added);
});

Deno.test("removePeer() forgets the peer, destroys its keys, and drops what waits for it", () => {
  const { client, gateway, toClient, simulation } = connectedPair();
  // The session has run out: what is sent now waits for another.
  simulation.clock.advance(180_000);
  gateway.send(downward("waits"));
  assertEquals(toClient.staged.length, 1);
  const { sending } = toClient.current!;
  const index = toClient.current!.localIndex;
  gateway.device.removePeer(toClient);
  assertEquals(sending.seal(0, 0, 0, 0, 9), false);
  assertEquals([...gateway.device.peers], []);
  assertEquals(gateway.device.allowedIps.lookup(ipv4("10.66.77.2")), null);
  assertEquals(gateway.dropped(DropReason.noSession), 1);
  assertEquals(toClient.timers.earliest(), Infinity);
  client.send(upward("anyone?"));
  simulation.run(20);
  assertEquals(gateway.dropped(DropReason.unknownIndex), 1, `index ${index} is free`);
});

Deno.test("updatePeer() gives a peer other settings and leaves its session, and where it is", () => {
  const pair = connectedPair();
  const { client, gateway, toClient, simulation } = pair;
  const { current } = toClient;
  const { port } = toClient.endpoint;
  gateway.device.updatePeer(toClient, {
    publicKey: client.identity.public,
    allowedIps: [{ address: ipv4("10.66.77.2"), prefixLength: 32 }, {
      address: ipv4("10.9.0.0"),
      prefixLength: 16,
    }],
    presharedKey: new Uint8Array(32).fill(1),
    persistentKeepalive: 5,
    name: "laptop",
  }, simulation.now);
  assertEquals(toClient.name, "laptop");
  assertEquals(toClient.current, current);
  assertEquals(toClient.endpoint.port, port);
  assertEquals(gateway.device.allowedIps.entries(toClient).length, 2);
  const sent = sentBy(pair, gateway, TRANSPORT).length;
  simulation.run(5_100);
  assertEquals(sentBy(pair, gateway, TRANSPORT).length, sent + 2, "at once, and 5 s later");
  client.send(upward("still there"));
  simulation.run(20);
  assertEquals(receivedTexts(gateway).at(-1), "still there");
});

Deno.test("updatePeer() takes a network from a peer, and a new endpoint counts at once", () => {
  const { client, gateway, toClient, simulation } = connectedPair();
  const endpoint = { address: ipv4("203.0.113.77"), port: 7 };
  gateway.device.updatePeer(toClient, {
    publicKey: client.identity.public,
    allowedIps: [],
    endpoint,
  }, simulation.now);
  assertEquals(gateway.device.allowedIps.lookup(ipv4("10.66.77.2")), null);
  assertEquals(toClient.endpoint.address, endpoint.address);
  assertEquals(toClient.endpoint.port, 7);
});

Deno.test("a full send queue costs the packet and is counted; the counter is not spent", () => {
  const { client, toGateway, simulation } = connectedPair();
  const { current } = toGateway;
  client.memory.bytes.set(upward("much"), 0);
  const before = current!.counterLow;
  for (let i = 0; i < 300; i++) client.device.send(toGateway, 0, 32, simulation.now);
  assertEquals(client.dropped(DropReason.sendQueueFull), 44);
  assertEquals(current!.counterLow - before, 256);
});

Deno.test("waiting packets that find the send queue full are counted, and the others sent", () => {
  const pair = tunnelPair();
  const { client, gateway, simulation, sent } = pair;
  const { sendQueue } = client;
  client.send(...Array.from({ length: 10 }, (_, i) => upward(`${i}`)));
  simulation.run(15);
  const response = sentBy(pair, gateway, RESPONSE)[0]!.bytes;
  sent.length = 0;
  while (sendQueue.free > 4) sendQueue.commit(0, NO_PATH);
  const before = client.memory.bytes.slice(0, 64);
  client.receive(response, gateway);
  assertEquals(client.dropped(DropReason.sendQueueFull), 6);
  assertEquals(sentBy(pair, client, TRANSPORT).length, 4);
  assertEquals(client.memory.bytes.slice(0, 64), before);
});

Deno.test("a persistent keepalive that finds the send queue full is not the last one", () => {
  const pair = connectedPair({ toGateway: { persistentKeepalive: 25 } });
  const { client, simulation, sent } = pair;
  const due = pair.toGateway.timers.persistentKeepaliveAt;
  simulation.runUntil(due - 1);
  while (client.sendQueue.free > 0) client.sendQueue.commit(0, NO_PATH);
  simulation.runUntil(due);
  assertEquals(client.dropped(DropReason.sendQueueFull), 1);
  sent.length = 0;
  simulation.run(25_000);
  assertEquals(sent.map(({ bytes }) => bytes.length), [KEEPALIVE_SIZE]);
});

Deno.test("an initiation that finds the send queue full is sent by the timer", () => {
  const pair = connectedPair();
  const { client, toGateway, simulation } = pair;
  simulation.run(6000);
  client.memory.bytes.set(upward("much"), 0);
  for (let i = 0; i < 256; i++) client.device.send(toGateway, 0, 32, simulation.now);
  client.device.initiate(toGateway, simulation.now);
  client.poll();
  assertEquals(sentBy(pair, client, INITIATION).length, 0);
  simulation.run(6000);
  assertEquals(sentBy(pair, client, INITIATION).length, 1);
});

Deno.test("poll() does nothing before pollAt(), and pollAt() is never late", () => {
  const { client, toGateway, simulation, sent } = connectedPair();
  client.send(upward("hello"));
  sent.length = 0;
  simulation.link.isDown = true;
  const due = client.device.pollAt();
  assert(due <= toGateway.timers.earliest());
  simulation.clock.advanceTo(due - 1);
  client.poll();
  assertEquals(sent, []);
});

Deno.test("pollAt() is never when nothing can ever be due", () => {
  const { client, gateway } = tunnelPair();
  assertEquals([client.device.pollAt(), gateway.device.pollAt()], [Infinity, Infinity]);
});

Deno.test("a short handshake interval retries at its own pace, and the usual one comes back", () => {
  const pair = tunnelPair();
  const { client, toGateway, simulation, sent } = pair;
  simulation.link.isDown = true;
  toGateway.timers.handshakeInterval = 250;
  client.initiate(toGateway);
  simulation.run(2000);
  const quick = sent.length;
  assert(quick >= 4 && quick <= 8, `${quick}`);
  toGateway.timers.handshakeInterval = 5000;
  simulation.run(60_000);
  const slow = sent.length - quick;
  assert(slow >= 10 && slow <= 13, `${slow}`);
  assert(toGateway.timers.handshakeAttempts < MAX_HANDSHAKE_ATTEMPTS + 1);
});

Deno.test("events that nobody takes do not pile up, and a peer that moves hides no other's", () => {
  const pair = connectedPair();
  const { client, gateway, simulation, toClient } = pair;
  simulation.link.isDown = true;
  client.send(...Array.from({ length: 2000 }, () => upward("moving")));
  sentBy(pair, client).forEach(({ bytes }, i) => {
    gateway.memory.bytes.set(bytes, 0);
    const path = gateway.sendQueue.paths.intern(1 + i, 1, 0, Carrier.udp);
    gateway.device.receive(0, bytes.length, path, simulation.now);
  });
  const kinds = () => gateway.device.events.map(({ kind }) => kind);
  assertEquals(kinds(), ["endpoint-changed"]);
  // An hour later, the keys are gone.
  gateway.device.poll(simulation.now + 3_600_000);
  assert(kinds().includes("keys-zeroed"));
  assertEquals(gateway.device.events.every(({ peer }) => peer === toClient), true);
});

Deno.test("receive() returns whose packet it was and how long, minus the drop reason, or 0 for neither", () => {
  const pair = tunnelPair();
  const { client, gateway, toClient, toGateway, simulation, sent } = pair;
  /** The result of the last datagram sent to `to`, which the link does not carry. */
  const taken = (to: SimulatedDevice, from: SimulatedDevice) => {
    const { bytes } = sent.pop()!;
    to.memory.bytes.set(bytes, 0);
    const path = to.sendQueue.paths.intern(from.address, from.port, 0, Carrier.udp);
    const result = to.device.receive(0, bytes.length, path, simulation.now);
    return { peer: receivedPeer(result), length: receivedLength(result), result };
  };
  simulation.link.isDown = true;
  client.initiate(toGateway);
  const initiation = taken(gateway, client);
  assertEquals([initiation.peer, initiation.length], [toClient.index, 0]);
  assertEquals(gateway.device.peerAt(initiation.peer), toClient);
  gateway.poll();
  gateway.receive(Uint8Array.of(9, 0, 0, 0), client);
  const response = taken(client, gateway);
  assertEquals(
    [response.peer, response.length],
    [toGateway.index, 0],
    "the response proves the gateway",
  );
  client.send(upward("a packet"));
  const data = taken(gateway, client);
  assertEquals([data.peer, data.length], [toClient.index, 48], "28 + 8 bytes, padded");
  gateway.memory.bytes.set(Uint8Array.of(7, 0, 0, 0), 0);
  assertEquals(gateway.device.receive(0, 4, NO_PATH, simulation.now), -DropReason.unknownMessage);
  assertEquals(gateway.dropped(DropReason.unknownMessage), 2, "a result is counted by then");
});

Deno.test("peerAt() finds a peer by the index that results carry, and nobody once it is removed", () => {
  const { client, gateway, toClient } = tunnelPair();
  assertEquals(gateway.device.peerAt(toClient.index), toClient);
  assertEquals(gateway.device.peerAt(0), null);
  gateway.device.removePeer(toClient);
  assertEquals(gateway.device.peerAt(toClient.index), null);
  assertNotEquals(gateway.addPeer(client, []).index, toClient.index);
});
