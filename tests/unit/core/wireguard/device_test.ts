/** Tests of lib/core/wireguard/device.ts: its peers, its results, its events, its time. */
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { NO_PATH } from "../../../../lib/core/transport/paths.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
import { receivedLength, receivedPeer } from "../../../../lib/core/wireguard/received.ts";
import { assert, assertEquals, assertNotEquals, assertThrows } from "../../../support/assert.ts";
import { ipv4, type SimulatedDevice } from "../../../support/packets/simulated_device.ts";
import {
  connectedPair,
  downward,
  receivedTexts,
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

Deno.test("events that nobody takes do not pile up, and a peer that moves hides no other's", () => {
  const pair = connectedPair();
  const { client, gateway, simulation, toClient } = pair;
  simulation.link.isDown = true;
  client.send(...Array.from({ length: 2000 }, () => upward("moving")));
  sentBy(pair, client).forEach(({ bytes }, i) => {
    gateway.memory.bytes.set(bytes, 0);
    const path = gateway.sendQueue.paths.intern(1 + i, 1, 0, Transport.udp);
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
    const path = to.sendQueue.paths.intern(from.address, from.port, 0, Transport.udp);
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
