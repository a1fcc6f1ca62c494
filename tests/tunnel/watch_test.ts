/** Tests of two devices that watch each other: what passes between them, what they report, what they release. */
import type { WatchOptions } from "../../lib/tunnel/liveness.ts";
import { assert, assertEquals } from "../support/assert.ts";
import type { SimulatedDevice } from "../support/simulated_device.ts";
import {
  connectedPair,
  deliver,
  downward,
  INITIATION,
  KEEPALIVE_SIZE,
  receivedTexts,
  sentBy,
  TRANSPORT,
  type TunnelPair,
  upward,
} from "../support/tunnel_pair.ts";

const TIMES = { peerTimeout: 6_000, releaseAfter: 10_000 };
const clientWatch: WatchOptions = { role: "client", ...TIMES };
const gatewayWatch: WatchOptions = { role: "server", ...TIMES };
/** Of datagrams that are lost. */
const LOSS = 0.05;

function reported({ events }: SimulatedDevice): string[] {
  return events.map(({ kind }) => kind).filter((kind) => ["down", "up", "released"].includes(kind));
}

/** From now on nothing arrives. */
function cut({ simulation }: TunnelPair): void {
  simulation.onDatagram = () => false;
}

Deno.test("an idle tunnel of ours costs a beat and its answer every two seconds, and no handshakes but rekeys", () => {
  const pair = connectedPair({ clientWatch, gatewayWatch });
  pair.simulation.run(600_000);
  assertEquals([reported(pair.client), reported(pair.gateway)], [[], []]);
  const beats = sentBy(pair, pair.client, TRANSPORT);
  const answers = sentBy(pair, pair.gateway, TRANSPORT);
  assert(beats.every(({ bytes }) => bytes.length === KEEPALIVE_SIZE));
  assert(beats.length > 290 && beats.length < 320, `${beats.length} beats`);
  assert(Math.abs(answers.length - beats.length) < 15, `${answers.length} answers`);
  // At 120, 240, 360 and 480 s.
  assertEquals(sentBy(pair, pair.client, INITIATION).length, 4);
});

Deno.test("both ends report a cut link after PeerTimeout, and the gateway releases what the client held", () => {
  const pair = connectedPair({ clientWatch, gatewayWatch });
  pair.simulation.run(10_000);
  const start = pair.simulation.now;
  cut(pair);
  pair.simulation.run(6_000);
  assertEquals([reported(pair.client), reported(pair.gateway)], [["down"], ["down"]]);
  assert(pair.simulation.now - start <= 6_000);
  pair.simulation.run(4_000);
  assertEquals(reported(pair.gateway), ["down", "released"]);
  assertEquals([pair.toClient.current, pair.toClient.endpoint.port], [null, 0]);
});

Deno.test("junk after the link was cut defers nothing", () => {
  const pair = connectedPair({ clientWatch, gatewayWatch });
  pair.simulation.run(10_000);
  const old = pair.sent.find(({ sender }) => sender === pair.gateway)!;
  cut(pair);
  for (let round = 0; round < 70; round++) {
    pair.simulation.run(100);
    // Another's, and a genuine one again.
    deliver(pair.client, new Uint8Array(KEEPALIVE_SIZE).fill(round));
    deliver(pair.client, old.bytes.slice(), "198.51.100.1:51820");
  }
  assertEquals(reported(pair.client), ["down"]);
});

Deno.test("a client that shakes hands again is up, though it was released", () => {
  const pair = connectedPair({ clientWatch, gatewayWatch });
  pair.simulation.run(10_000);
  const { onDatagram } = pair.simulation;
  cut(pair);
  pair.simulation.run(20_000);
  pair.simulation.onDatagram = onDatagram;
  // The protocol's own repetition of the handshake that asked.
  pair.simulation.run(6_000);
  pair.client.send(upward("here again"));
  pair.simulation.run(100);
  assertEquals(receivedTexts(pair.gateway), ["here again"]);
  assertEquals(reported(pair.gateway), ["down", "released", "up"]);
  assertEquals(reported(pair.client), ["down", "up"]);
});

Deno.test("a stock client of ours is never missed, a stock gateway only when it leaves data unanswered", () => {
  const stockClient = connectedPair({ gatewayWatch });
  cut(stockClient);
  stockClient.simulation.run(600_000);
  assertEquals(reported(stockClient.gateway), []);

  const stockGateway = connectedPair({ clientWatch });
  stockGateway.simulation.run(60_000);
  assertEquals(reported(stockGateway.client), []);
  stockGateway.client.send(upward("one way only"));
  stockGateway.simulation.run(20_000);
  assertEquals(reported(stockGateway.client), []);
  cut(stockGateway);
  stockGateway.client.send(upward("into the void"));
  stockGateway.simulation.run(6_100);
  assertEquals(reported(stockGateway.client), ["down"]);
});

Deno.test("a gateway that was started anew has the client back before it counts as missing", () => {
  const pair = connectedPair({ clientWatch, gatewayWatch });
  pair.simulation.run(10_000);
  // All that a process forgets.
  const { client, toClient, gateway } = pair;
  gateway.device.removePeer(toClient);
  gateway.addPeer(client, ["10.66.77.2/32"]);
  const start = pair.simulation.now;
  pair.simulation.run(5_000);
  client.send(upward("back"));
  pair.simulation.run(100);
  assertEquals(receivedTexts(gateway), ["back"]);
  assert(pair.simulation.now - start < 5_500);
  assertEquals(reported(client), []);
});

Deno.test("a goodbye frees what a client held, tells a client to look for its server, and is nothing to others", () => {
  const pair = connectedPair({ clientWatch, gatewayWatch });
  pair.client.device.sayGoodbye(pair.simulation.now);
  pair.client.poll();
  pair.simulation.run(100);
  assertEquals(reported(pair.gateway), ["released"]);
  assertEquals(pair.toClient.current, null);

  const other = connectedPair({ clientWatch, gatewayWatch });
  other.gateway.device.sayGoodbye(other.simulation.now);
  other.gateway.poll();
  other.simulation.run(100);
  assertEquals(reported(other.client), ["down"]);

  const stock = connectedPair();
  stock.gateway.device.sayGoodbye(stock.simulation.now);
  stock.gateway.poll();
  stock.simulation.run(100);
  assertEquals([receivedTexts(stock.client), stock.client.events.length], [[], 1]);
  stock.gateway.send(downward("still there"));
  stock.simulation.run(100);
  assertEquals(receivedTexts(stock.client), ["still there"]);
});

Deno.test("a lossy link is no reason to find anybody missing", () => {
  for (const seed of [1, 2, 3]) {
    const pair = connectedPair({ seed, clientWatch, gatewayWatch });
    const drop = pair.simulation.random;
    pair.simulation.onDatagram = () => !drop.chance(LOSS);
    pair.simulation.run(600_000);
    assertEquals([reported(pair.client), reported(pair.gateway)], [[], []], `seed ${seed}`);
  }
});

Deno.test("two servers that face each other answer no answers, whatever the round trip", () => {
  for (const roundTrip of [20, 1_500, 3_000]) {
    const pair = connectedPair({ clientWatch: gatewayWatch, gatewayWatch });
    const { simulation, client, gateway, toGateway, toClient } = pair;
    simulation.link.conditions = { ...simulation.link.conditions, latency: roundTrip / 2 };
    simulation.run(5_000);
    pair.sent.length = 0;
    // Under either parity of the next counter, from either end, and from both at once.
    for (let round = 0; round < 4; round++) {
      client.device.sendKeepalive(toGateway, simulation.now);
      client.poll();
      simulation.run(20_000 - (round % 2) * 20_000);
      gateway.device.sendKeepalive(toClient, simulation.now);
      gateway.poll();
      client.send(upward("data, which has a keepalive follow after 10 s"));
      simulation.run(20_000);
    }
    const keepalives = pair.sent.filter(({ bytes }) => bytes.length === KEEPALIVE_SIZE);
    // Eight of these, each with an answer at most, and those that follow on data.
    assert(keepalives.length <= 8 * 2 + 4 * 2, `${keepalives.length} at ${roundTrip} ms`);
  }
});

Deno.test("a client that beats is answered under whatever counter it has", () => {
  const pair = connectedPair({ clientWatch, gatewayWatch });
  const { simulation, client } = pair;
  for (let second = 0; second < 60; second++) {
    if (second % 6 === 0) client.send(upward("one"));
    simulation.run(1_000);
  }
  assertEquals(pair.toGateway.watch!.isKnown, true);
  assertEquals(pair.toClient.watch!.isKnown, true);
  assertEquals(reported(client), []);
});
