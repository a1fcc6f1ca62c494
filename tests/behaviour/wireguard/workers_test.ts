/**
 * Tests of packet workers (lib/core/wireguard/workers): several threads open and seal the packets of one device's
 * sessions, and nobody outside can tell.
 */
import { createBuiltinAead } from "../../../lib/core/noise/aead_builtin.ts";
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import type { PeerOptions } from "../../../lib/core/wireguard/peer.ts";
import { assert, assertEquals, fail } from "../../support/assert.ts";
import { KeyLedger } from "../../support/packets/key_ledger.ts";
import { buildUdp, type Bytes } from "../../support/packets/packet_builder.ts";
import type { SimulatedDevice } from "../../support/packets/simulated_device.ts";
import { Simulation } from "../../support/packets/simulation.ts";
import {
  CLIENT_INNER,
  connectedPair,
  deliver,
  downward,
  GATEWAY_INNER,
  INITIATION,
  KEEPALIVE_SIZE,
  receivedTexts,
  RESPONSE,
  sealed,
  sentBy,
  TRANSPORT,
  upward,
} from "../../support/packets/tunnel_pair.ts";

const SECOND = 1_000;
const WORKERS = { gatewayWorkers: 3, clientWorkers: 2 };
/** Inner networks behind the client: packets to their addresses are sealed by all of the gateway's workers. */
const NETWORKS = [`${CLIENT_INNER}/32`, "10.9.0.0/24"];

interface Site {
  readonly simulation: Simulation;
  readonly ledger: KeyLedger;
  readonly client: SimulatedDevice;
  readonly gateway: SimulatedDevice;
}

/** A client and its gateway, each with packet workers, whose every key is watched. */
function site(toClient: Partial<PeerOptions> = {}): Site {
  const simulation = new Simulation();
  const ledger = new KeyLedger(simulation.clock);
  const [client, gateway] = (["client", "gateway"] as const).map((name, i) =>
    simulation.addDevice({
      name,
      address: `192.0.2.${i + 1}`,
      tunnelAddress: i === 0 ? `${CLIENT_INNER}/24` : `${GATEWAY_INNER}/24`,
      isGateway: name === "gateway",
      workers: 3 - i,
      aead: (memory) => ledger.wrap(createBuiltinAead(memory), name),
    })
  ) as [SimulatedDevice, SimulatedDevice];
  const { address, port } = gateway;
  client.addPeer(gateway, [`${GATEWAY_INNER}/32`], { endpoint: { address, port } });
  gateway.addPeer(client, NETWORKS, toClient);
  return { simulation, ledger, client, gateway };
}

/** A packet of the gateway's for an address behind the client, with a number. */
function numbered(number: number): Bytes {
  return buildUdp({
    source: GATEWAY_INNER,
    destination: `10.9.0.${number % 16}`,
    payload: new TextEncoder().encode(`${number}`),
  });
}

Deno.test("an hour of packets sealed by all workers for one peer: none lost, none twice, no nonce twice", () => {
  const { simulation, client, gateway, ledger } = site();
  client.send(upward("first"));
  simulation.run(SECOND);
  const count = 3_600 * 4;
  for (let i = 0; i < count; i++) {
    gateway.send(numbered(i));
    if (i % 7 === 0) client.send(upward(`${i}`));
    simulation.run(SECOND / 4);
  }
  const numbers = receivedTexts(client).map(Number);
  assertEquals(numbers.length, count);
  assertEquals(new Set(numbers).size, count);
  assertEquals(receivedTexts(gateway).length, 1 + Math.ceil(count / 7));
  assert(client.events.filter(({ kind }) => kind === "handshake-completed").length > 20);
  assertEquals([client.dropReport(), gateway.dropReport()], ["", ""]);
  assert(ledger.sealed > count, "the ledger has seen them");
  const sealers = gateway.workers!.all.filter(({ device }) => device.figures.sentMessages > 100);
  assertEquals(sealers.length, 2);
});

Deno.test("packets of one flow leave and arrive in their order, by whatever worker", () => {
  const pair = connectedPair({ ...WORKERS });
  for (let i = 0; i < 300; i++) {
    pair.client.send(upward(`${i}`));
    pair.gateway.send(downward(`${i}`));
    if (i % 50 === 0) pair.simulation.run(1);
  }
  pair.simulation.run(100);
  const inOrder = Array.from({ length: 300 }, (_, i) => `${i}`);
  assertEquals(receivedTexts(pair.gateway), inOrder);
  assertEquals(receivedTexts(pair.client), inOrder);
});

Deno.test("a client that moves is asked for proof where it is now, and goes on there after one round trip", () => {
  const pair = connectedPair({ ...WORKERS });
  pair.client.port = 40_001;
  pair.sent.length = 0;
  pair.client.send(upward("moved"));
  pair.simulation.run(10);
  // Longer than what may be sent there before the proof.
  const download = "waits".repeat(100);
  pair.gateway.send(downward(download));
  assertEquals(sentBy(pair, pair.gateway, TRANSPORT), []);
  assertEquals(sentBy(pair, pair.gateway, INITIATION).map((it) => it.destinationPort), [40_001]);
  pair.simulation.run(100);
  assertEquals([receivedTexts(pair.gateway), receivedTexts(pair.client)], [["moved"], [download]]);
});

Deno.test("what answers a client's first packets from elsewhere does not go where it was", () => {
  const { simulation, client, gateway } = site();
  client.send(upward("hello"));
  simulation.run(SECOND);
  client.port = 40_001;
  const ports: number[] = [];
  simulation.onDatagram = ({ bytes, destinationPort }, sender) => {
    if (sender === gateway && bytes[0] === TRANSPORT) ports.push(destinationPort);
  };
  // The worker has both packets in one turn, before the device has heard of either.
  const { workers } = gateway;
  const { settle } = workers!;
  workers!.settle = () => {};
  client.send(upward("from elsewhere"));
  simulation.run(10);
  const answer = buildUdp({
    source: GATEWAY_INNER,
    destination: CLIENT_INNER,
    payload: new Uint8Array(300),
  });
  gateway.send(answer);
  workers!.settle = settle;
  gateway.poll();
  simulation.run(100);
  assertEquals(client.tun.written.length, 1);
  assert(ports.every((port) => port === 40_001), `${ports}`);
});

Deno.test("what answers the first packet under a new key is sealed under it: the other end may have no other", () => {
  const pair = connectedPair({ clientWorkers: 2 });
  const { client, gateway, simulation, toClient } = pair;
  gateway.device.removePeer(toClient);
  gateway.addPeer(client, [`${CLIENT_INNER}/32`], {
    endpoint: { address: client.address, port: client.port },
  });
  gateway.send(downward("asks"));
  simulation.run(20);
  // The worker has the packet and its answer before the device has heard of the packet.
  const workers = client.workers!;
  const { settle } = workers;
  workers.settle = () => {};
  simulation.run(10);
  client.send(upward("answers"));
  workers.settle = settle;
  client.poll();
  simulation.run(20);
  assertEquals([receivedTexts(client), receivedTexts(gateway)], [["asks"], ["answers"]]);
});

Deno.test("messages that the kernel merged behind one of another kind reach the thread that they are for", () => {
  const pair = connectedPair({ ...WORKERS });
  pair.simulation.run(6 * SECOND);
  const data = sealed(pair, "x".repeat(200));
  pair.simulation.link.isDown = true;
  pair.client.initiate(pair.toGateway);
  const initiation = sentBy(pair, pair.client, INITIATION)[0]!.bytes;
  const from = { address: pair.client.address, port: pair.client.port };
  pair.sent.length = 0;
  pair.gateway.receive(Uint8Array.of(...data, ...initiation), {
    ...from,
    segmentSize: data.length,
  });
  assertEquals(sentBy(pair, pair.gateway, RESPONSE).length, 1);
  const short = sealed(pair, "short");
  assert(short.length < initiation.length);
  pair.gateway.receive(Uint8Array.of(...initiation, ...short), {
    ...from,
    segmentSize: initiation.length,
  });
  assertEquals(receivedTexts(pair.gateway), ["x".repeat(200), "short"]);
});

Deno.test("a client that moves is found where it is though its messages, several at once, come by way of other threads", () => {
  const pair = connectedPair({ ...WORKERS });
  pair.simulation.run(6 * SECOND);
  const messages = ["one", "two", "six"].map((text) => sealed(pair, text));
  const [{ length: segmentSize }] = messages as [Uint8Array];
  const worker = messages[0]![4]! & 15;
  const first = new Uint8Array(segmentSize).fill(0x5a);
  first.set([TRANSPORT, 0, 0, 0, 0x50 | (worker + 1) % WORKERS.gatewayWorkers]);
  pair.client.port = 40_001;
  pair.gateway.receive(Uint8Array.of(...[first, ...messages].flatMap((it) => [...it])), {
    address: pair.client.address,
    port: pair.client.port,
    segmentSize,
  });
  assertEquals(receivedTexts(pair.gateway), ["one", "two", "six"]);
  assertEquals(pair.toClient.endpoint.port, 40_001);
});

Deno.test("the first packet under a new key is taken though the worker has not been woken for it", () => {
  const { simulation, client, gateway } = site();
  client.send(upward("one"));
  // The response is on its way; a worker looks for the key when the packet is there.
  const { workers } = gateway;
  const learn = workers!.all.map(({ device }) => device.learn.bind(device));
  for (const { device } of workers!.all) device.learn = () => false;
  simulation.run(100);
  workers!.all.forEach(({ device }, i) => device.learn = learn[i]!);
  assertEquals(receivedTexts(gateway), ["one"]);
  assertEquals(gateway.dropped(DropReason.unknownIndex), 0);
});

Deno.test("a removed peer's keys are gone in all threads, and nothing is sent it", () => {
  const { simulation, client, gateway, ledger } = site();
  client.send(upward("hello"));
  simulation.run(SECOND);
  assert(ledger.live("gateway") > 3);
  const [peer] = gateway.device.peers;
  gateway.device.removePeer(peer!);
  gateway.poll();
  assertEquals(ledger.live("gateway"), 0);
  let sent = 0;
  simulation.onDatagram = () => void sent++;
  for (let i = 0; i < 16; i++) gateway.send(numbered(i));
  simulation.run(SECOND);
  assertEquals([sent, gateway.dropped(DropReason.noRoute)], [0, 16]);
});

Deno.test("keys are gone in all threads when they are past all use", () => {
  const { simulation, client, ledger } = site();
  client.send(upward("hello"));
  simulation.run(540 * SECOND + SECOND);
  assertEquals([ledger.live("client"), ledger.live("gateway")], [0, 0]);
});

Deno.test("a rate limit is one limit, however many workers seal", () => {
  const { simulation, client, gateway } = site({ rateLimit: 1e6 });
  client.send(upward("hello"));
  simulation.run(SECOND);
  const packet = (i: number) =>
    buildUdp({
      source: GATEWAY_INNER,
      destination: `10.9.0.${i % 16}`,
      payload: new Uint8Array(1_200),
    });
  for (let i = 0; i < 12_000; i++) {
    gateway.send(packet(i));
    if (i % 3 === 0) simulation.run(1);
  }
  const bytes = client.tun.written.reduce((sum, { length }) => sum + length, 0);
  // Four seconds at the rate, but for what is under way.
  assert(bytes > 495_000 && bytes < 505_000, `${bytes} bytes`);
  simulation.run(5 * SECOND);
  const [peer] = gateway.device.peers;
  assertEquals(peer!.rateLimited, 12_000 - client.tun.written.length);
});

Deno.test("data that is not answered is acknowledged by a keepalive, and silence after data by a handshake", () => {
  const pair = connectedPair({ ...WORKERS });
  pair.simulation.run(SECOND);
  pair.sent.length = 0;
  pair.client.send(upward("unanswered"));
  pair.simulation.run(11 * SECOND);
  assertEquals(
    sentBy(pair, pair.gateway, TRANSPORT).map(({ bytes }) => bytes.length),
    [KEEPALIVE_SIZE],
  );
  pair.simulation.link.isDown = true;
  pair.sent.length = 0;
  pair.gateway.send(downward("into the void"));
  pair.simulation.run(16 * SECOND);
  assertEquals(sentBy(pair, pair.gateway, INITIATION).length, 1);
});

Deno.test("ends of ours know each other, and one that falls silent is found missing", () => {
  const watch = { peerTimeout: 6_000, releaseAfter: 180_000 };
  const pair = connectedPair({
    ...WORKERS,
    clientWatch: { role: "client", ...watch },
    gatewayWatch: { role: "server", ...watch },
  });
  pair.simulation.run(60 * SECOND);
  assert(pair.toClient.watch!.isOurs && pair.toGateway.watch!.isOurs);
  const kinds = () => pair.gateway.events.map(({ kind }) => kind);
  assert(!kinds().includes("down"));
  pair.simulation.link.isDown = true;
  pair.simulation.run(20 * SECOND);
  assert(kinds().includes("down"));
  pair.simulation.link.isDown = false;
  pair.client.send(upward("back"));
  pair.simulation.run(10 * SECOND);
  assertEquals(kinds().at(-1) === "down", false);
  assertEquals(pair.toClient.watch!.isDown, false);
});

Deno.test("a capture sees the packets that workers have, whole where they are short", () => {
  const pair = connectedPair({ gatewayWorkers: 3 });
  const seen: string[] = [];
  pair.gateway.device.tap = {
    take: (_, direction, offset, length) => {
      const { bytes } = pair.gateway.memory;
      seen.push(
        `${direction} ${new TextDecoder().decode(bytes.slice(offset + 28, offset + length))}`,
      );
    },
    missed: () => fail(),
  };
  pair.gateway.workers!.board.watch(200);
  pair.gateway.poll();
  pair.client.send(upward("up"));
  pair.simulation.run(20);
  pair.gateway.send(downward("down"));
  assertEquals(seen, ["1 up", "2 down"]);
  pair.gateway.workers!.board.watch(0);
  pair.gateway.poll();
  pair.gateway.send(downward("unseen"));
  assertEquals(seen.length, 2);
});

Deno.test("a replayed message is refused, whichever thread has it", () => {
  const pair = connectedPair({ ...WORKERS });
  const message = sealed(pair, "once");
  for (let i = 0; i < 3; i++) deliver(pair.gateway, message);
  pair.simulation.run(SECOND);
  assertEquals(receivedTexts(pair.gateway), ["once"]);
  assertEquals(pair.gateway.dropped(DropReason.replayed), 2);
});

Deno.test("an expired key takes nothing, whichever thread has it, before any timer has run", () => {
  const pair = connectedPair({ ...WORKERS });
  const { createdAt } = pair.toClient.current!;
  const messages = ["in time", "too late"].map((text) => sealed(pair, text));
  for (const [i, age] of [180 * SECOND - 1, 180 * SECOND].entries()) {
    pair.simulation.clock.advanceTo(createdAt + age);
    deliver(pair.gateway, messages[i]!);
  }
  assertEquals(receivedTexts(pair.gateway), ["in time"]);
  pair.simulation.run(SECOND);
  assertEquals(pair.gateway.dropped(DropReason.expiredKey), 1);
});
