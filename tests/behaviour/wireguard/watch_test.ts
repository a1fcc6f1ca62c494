/** Tests of two devices that watch each other: what passes between them, what they report, what they release. */
import type { WatchOptions } from "../../../lib/core/wireguard/liveness/liveness.ts";
import { Software } from "../../../lib/core/wireguard/liveness/recognition.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { createFastAead } from "../../support/packets/fast_aead.ts";
import type { SimulatedDevice } from "../../support/packets/simulated_device.ts";
import {
  connectedPair,
  deliver,
  downward,
  INITIATION,
  KEEPALIVE_SIZE,
  receivedTexts,
  RESPONSE,
  sentBy,
  TRANSPORT,
  type TunnelPair,
  tunnelPair,
  upward,
} from "../../support/packets/tunnel_pair.ts";

const TIMES = { peerTimeout: 6_000, releaseAfter: 10_000 };
const clientWatch: WatchOptions = { role: "client", ...TIMES };
const gatewayWatch: WatchOptions = { role: "server", ...TIMES };
/** Of datagrams that are lost. */
const LOSS = 0.05;
/** Bytes of a transport message with a heartbeat or its answer. */
const HEARTBEAT_SIZE = 48;

function reported({ events }: SimulatedDevice): string[] {
  return events.map(({ kind }) => kind).filter((kind) => ["down", "up", "released"].includes(kind));
}

/** From now on nothing arrives. */
function cut({ simulation }: TunnelPair): void {
  simulation.onDatagram = () => false;
}

Deno.test("an idle tunnel of ours costs a heartbeat and its answer every two seconds, and no handshakes but rekeys", () => {
  const pair = connectedPair({ clientWatch, gatewayWatch });
  pair.simulation.run(600_000);
  assertEquals([reported(pair.client), reported(pair.gateway)], [[], []]);
  const beats = sentBy(pair, pair.client, TRANSPORT)
    .filter(({ bytes }) => bytes.length === HEARTBEAT_SIZE);
  const answers = sentBy(pair, pair.gateway, TRANSPORT);
  assert(beats.length > 290 && beats.length < 320, `${beats.length} beats`);
  assert(Math.abs(answers.length - beats.length) < 15, `${answers.length} answers`);
  // Four hellos of the gateway's are answered, and four keepalives confirm sessions.
  assertEquals(sentBy(pair, pair.client, TRANSPORT).length - beats.length, 8);
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

Deno.test("a client that completes a re-handshake is up, though it was released", () => {
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
  stockGateway.simulation.run(25_900);
  assertEquals(reported(stockGateway.client), []);
  stockGateway.simulation.run(600);
  assertEquals(reported(stockGateway.client), ["down"]);
});

Deno.test("a gateway that was restarted has the client back before it counts as missing", () => {
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
    const { simulation } = pair;
    simulation.link.conditions = { ...simulation.link.conditions, latency: roundTrip / 2 };
    simulation.run(60_000);
    pair.sent.length = 0;
    simulation.run(60_000);
    // Each sends at an interval a quarter longer than a client's, and answers the other's.
    const most = 4 * 60_000 / (roundTrip < 1_000 ? 2_500 : 750);
    const sent = pair.sent.filter(({ type }) => type === TRANSPORT).length;
    assert(sent > 20 && sent <= most, `${sent} messages at ${roundTrip} ms`);
    assertEquals([reported(pair.client), reported(pair.gateway)], [[], []]);
  }
});

Deno.test("a stock peer is sent nothing but packets and keepalives, and is not made to count an error", () => {
  for (const roundTrip of [20, 700, 3_000]) {
    for (const stock of ["client", "gateway"] as const) {
      const pair = connectedPair(stock === "client" ? { gatewayWatch } : { clientWatch });
      const { simulation, client, gateway } = pair;
      simulation.link.conditions = { ...simulation.link.conditions, latency: roundTrip / 2 };
      for (let minute = 0; minute < 30; minute++) {
        client.send(upward("a packet"));
        simulation.run(30_000);
        gateway.send(downward("another"));
        simulation.run(30_000);
      }
      const ours = stock === "client" ? gateway : client;
      ours.device.sayGoodbye(simulation.now);
      ours.poll();
      simulation.run(5_000);
      const watch = (stock === "client" ? pair.toClient : pair.toGateway).watch!;
      assertEquals(watch.recognition.software, Software.stock);
      // What is no packet, it would have dropped as such.
      assertEquals((stock === "client" ? client : gateway).dropReport(), "", `${stock} stock`);
      assertEquals(receivedTexts(gateway).length, 30);
      assertEquals(receivedTexts(client).length, 30);
    }
  }
});

Deno.test("an upload to a stock server costs its keepalive every ten seconds, and no handshakes but rekeys", () => {
  const pair = connectedPair({ clientWatch });
  const { simulation, client } = pair;
  for (let time = 0; time < 600_000; time += 100) {
    client.send(upward("a line of a log"));
    simulation.run(100);
  }
  assertEquals(sentBy(pair, client, INITIATION).length, 4);
  assertEquals(reported(client), []);
});

Deno.test("an upload to a stock server on a long path that loses a tenth seldom has it found missing", () => {
  const pair = connectedPair({ clientWatch, aead: createFastAead });
  const { simulation, client, gateway } = pair;
  simulation.onDatagram = null;
  simulation.link.conditions = { ...simulation.link.conditions, latency: 1_500, loss: 0.1 };
  for (let second = 0; second < 6 * 3_600; second++) {
    client.send(upward("a line of a log"));
    simulation.run(1_000);
    gateway.tun.written.length = 0;
  }
  const downs = reported(client).filter((kind) => kind === "down").length;
  // With time for one attempt less, and none for the round trip, it was 23.
  assert(downs <= 3, `${downs} in 6 hours`);
});

Deno.test("both ends know each other's program, place and round trip from the first round trip on", () => {
  for (const latency of [10, 350, 1_500]) {
    const pair = tunnelPair({ clientWatch, gatewayWatch });
    const { simulation, client, toGateway, toClient } = pair;
    simulation.link.conditions = { ...simulation.link.conditions, latency };
    client.initiate(toGateway);
    // Initiation, response, keepalive, hello, answer.
    simulation.run(5 * latency);
    for (const peer of [toGateway, toClient]) {
      const { recognition, roundTrip } = peer.watch!;
      assertEquals(recognition.software, Software.ours);
      assertEquals(recognition.hello!.version, 1);
      assertEquals(roundTrip.smoothed, 2 * latency);
      assert(Math.abs(recognition.clockOffset) < 1, `${recognition.clockOffset}`);
    }
    assertEquals(toClient.watch!.recognition.hello!.role, "client");
    assertEquals(toGateway.watch!.recognition.hello!.seenAt, {
      address: client.address,
      port: client.port,
    });
  }
});

Deno.test("a server that is killed is missed after PeerTimeout, whenever that is and whatever passed", () => {
  for (const traffic of ["none", "up", "down", "both", "until then"] as const) {
    for (const killedAt of [200, 1_000, 2_000, 9_300, 15_700]) {
      const pair = connectedPair({ clientWatch, gatewayWatch });
      const { simulation, client, gateway } = pair;
      const start = simulation.now;
      while (simulation.now < start + killedAt) {
        const isOver = traffic === "until then" && simulation.now > start + killedAt - 3_000;
        if (["up", "both", "until then"].includes(traffic) && !isOver) client.send(upward("x"));
        if (["down", "both", "until then"].includes(traffic) && !isOver) {
          gateway.send(downward("x"));
        }
        simulation.run(100);
      }
      cut(pair);
      while (simulation.now < start + killedAt + 6_050) {
        if (traffic === "up" || traffic === "both") client.send(upward("x"));
        simulation.run(50);
      }
      assertEquals(reported(client), ["down"], `${traffic}, killed after ${killedAt} ms`);
    }
  }
});

Deno.test("a client that was missing is watched as before once a packet of it is received in the same session", () => {
  const pair = connectedPair({
    clientWatch,
    gatewayWatch: { ...gatewayWatch, releaseAfter: 180_000 },
  });
  const { simulation, client, gateway } = pair;
  simulation.run(10_000);
  const late = sentBy(pair, client, TRANSPORT).length;
  // The client's are held up for 7 s, its handshakes are lost.
  const held: Uint8Array[] = [];
  simulation.onDatagram = ({ bytes }, sender) => {
    if (sender !== client) return true;
    if (bytes[0] === TRANSPORT) held.push(bytes);
    return false;
  };
  simulation.run(7_000);
  assertEquals(reported(gateway), ["down"], `after ${late} messages`);
  gateway.receive(held.at(-1)!, client);
  simulation.run(6_050);
  assertEquals(reported(gateway), ["down", "up", "down"]);
});

Deno.test("an initiation of the server's does not make it up: a session does", () => {
  const pair = connectedPair({ clientWatch, gatewayWatch });
  const { simulation, client, gateway, toClient } = pair;
  const { onDatagram } = simulation;
  cut(pair);
  simulation.run(7_000);
  assertEquals(reported(client), ["down"]);
  // From now on everything arrives but what the client sends.
  simulation.onDatagram = (datagram, sender) => {
    onDatagram!(datagram, sender);
    return sender !== client;
  };
  gateway.wallClockOffset += 60_000;
  toClient.initiationSentAt = -Infinity;
  gateway.initiate(toClient);
  simulation.run(8_000);
  assert(sentBy(pair, client).some(({ type }) => type === RESPONSE), "the client answered none");
  assertEquals(reported(client), ["down"]);
  // Then the handshake gets through.
  simulation.onDatagram = onDatagram;
  simulation.run(20_000);
  assertEquals(reported(client), ["down", "up"]);
});

Deno.test("a session is ours or stock by its own first packet, whatever the one before it was", () => {
  const pair = connectedPair({ clientWatch, gatewayWatch });
  const { simulation, client, toGateway, toClient } = pair;
  simulation.run(1_000);
  assertEquals(toClient.watch!.recognition.software, Software.ours);
  const stock = simulation.addDevice({
    name: "phone",
    address: "192.0.2.9",
    tunnelAddress: "10.66.77.2/24",
    identity: client.identity,
  });
  const { address, port } = pair.gateway;
  const peer = stock.addPeer(pair.gateway, ["10.66.77.1/24"], { endpoint: { address, port } });
  stock.wallClockOffset = 60_000;
  stock.initiate(peer);
  simulation.run(100);
  assertEquals(toClient.watch!.recognition.software, Software.stock);
  simulation.run(1_000);
  assertEquals(stock.dropReport(), "");
  assertEquals(toGateway.watch!.isOurs, true);
});
