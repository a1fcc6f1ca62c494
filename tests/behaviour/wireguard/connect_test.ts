/** Tests of a client that connects: initiations closer together than a round trip takes, and which of them count. */
import { assert, assertEquals } from "../../support/assert.ts";
import {
  downward,
  INITIATION,
  receivedTexts,
  RESPONSE,
  sentBy,
  tunnelPair,
  upward,
} from "../../support/packets/tunnel_pair.ts";

/** ms between initiations, as lib/commands/client/connection.ts asks for it. */
const CONNECT_INTERVAL = 700;

/** A client that connects, on a path of that round trip. */
function connecting(roundTrip: number, loss: (count: number) => boolean = () => false) {
  const pair = tunnelPair();
  pair.simulation.link.conditions = { ...pair.simulation.link.conditions, latency: roundTrip / 2 };
  const { onDatagram } = pair.simulation;
  let count = 0;
  pair.simulation.onDatagram = (datagram, sender) => {
    onDatagram!(datagram, sender);
    return !loss(count++);
  };
  pair.toGateway.timers.handshakeInterval = CONNECT_INTERVAL;
  pair.client.initiate(pair.toGateway);
  return pair;
}

Deno.test("the response to the first initiation connects, however many have followed it", () => {
  for (const roundTrip of [20, 600, 800, 1_100, 1_350, 1_600, 2_400, 3_000]) {
    const pair = connecting(roundTrip);
    pair.simulation.run(roundTrip);
    assert(pair.toGateway.current !== null, `no session after ${roundTrip} ms`);
    assertEquals(pair.client.dropReport(), "");
  }
});

Deno.test("a handshake counts as completed once what is sent from then on arrives, whatever the round trip", () => {
  for (const roundTrip of [20, 600, 800, 1_100, 1_350, 1_600, 2_400, 3_000]) {
    const pair = connecting(roundTrip);
    const { simulation, client, gateway } = pair;
    const completed = () => client.events.some(({ kind }) => kind === "handshake-completed");
    for (let ms = 0; !completed() && ms < 20_000; ms += 10) simulation.run(10);
    client.send(upward("up"));
    simulation.run(roundTrip);
    assertEquals(receivedTexts(gateway), ["up"], `at ${roundTrip} ms`);
  }
});

Deno.test("where the response to the newest initiation is lost, another is sent", () => {
  const responses: number[] = [];
  const pair = connecting(1_600);
  const { onDatagram, now: start } = pair.simulation;
  pair.simulation.onDatagram = (datagram, sender) => {
    onDatagram!(datagram, sender);
    // A handshake of the gateway's own would do as well.
    if (datagram.bytes[0] === INITIATION) return sender === pair.client;
    if (datagram.bytes[0] !== RESPONSE) return;
    responses.push(pair.simulation.now);
    // The first alone gets through, and the one to the initiation that follows all of this.
    return responses.length === 1 || pair.simulation.now - start > 4_500;
  };
  const completed = () => pair.client.events.some(({ kind }) => kind === "handshake-completed");
  pair.simulation.run(4_500);
  assertEquals(completed(), false);
  pair.simulation.run(10_000);
  assert(completed());
  pair.client.send(upward("up"));
  pair.simulation.run(1_600);
  assertEquals(receivedTexts(pair.gateway), ["up"]);
});

Deno.test("data passes both ways soon after, though the server has answered later initiations as well", () => {
  for (const roundTrip of [20, 600, 800, 1_100, 1_350, 1_600, 2_400, 3_000]) {
    const pair = connecting(roundTrip);
    const { simulation, client, gateway } = pair;
    simulation.run(roundTrip);
    pair.toGateway.timers.handshakeInterval = 5_000;
    // By then all responses that are under way have come.
    simulation.run(2 * roundTrip);
    client.send(upward("up"));
    simulation.run(roundTrip);
    gateway.send(downward("down"));
    simulation.run(roundTrip);
    assertEquals(
      [receivedTexts(gateway), receivedTexts(client)],
      [["up"], ["down"]],
      `at ${roundTrip} ms`,
    );
    const initiations = sentBy(pair, client, INITIATION).length;
    assert(initiations <= 5, `${initiations} initiations at ${roundTrip} ms`);
    // Nothing is left of those that nobody answers.
    assertEquals([pair.toGateway.handshake, pair.toGateway.earlierHandshakes], [null, []]);
  }
});

Deno.test("the response to a later initiation connects where the first is lost", () => {
  const pair = connecting(1_600, (count) => count === 0);
  pair.simulation.run(980 + 340 + 1_600);
  assert(pair.toGateway.current !== null);
});

Deno.test("an initiation that was lost before the client asks to connect is repeated at the client's pace", () => {
  const pair = tunnelPair();
  const { simulation, client, toGateway } = pair;
  // By a keepalive, say, while a block of the host's does not admit it yet.
  simulation.link.isDown = true;
  client.initiate(toGateway);
  simulation.run(50);
  simulation.link.isDown = false;
  client.device.initiate(toGateway, simulation.now, CONNECT_INTERVAL);
  simulation.run(CONNECT_INTERVAL + 340 + 20);
  assert(toGateway.current !== null);
});

Deno.test("intervals grow while a client that connects has no answer, and never beyond the protocol's", () => {
  const pair = connecting(20, () => true);
  pair.simulation.run(40_000);
  const times = sentBy(pair, pair.client, INITIATION).map(({ at }) => at);
  const pauses = times.slice(1).map((at, index) => at - times[index]!);
  const expected = [980, 700, 700, 700, 1_400, 2_800, 5_000, 5_000];
  for (const [index, pause] of expected.entries()) {
    assert(pauses[index]! >= pause && pauses[index]! < pause + 340, `${pauses}`);
  }
});

Deno.test("a server whose endpoint is changed gets a handshake there at once, however young the session is", () => {
  const pair = connecting(20);
  pair.simulation.run(20);
  assert(pair.toGateway.current !== null);
  const { address, port } = pair.toGateway.endpoint;
  pair.toGateway.configureEndpoint({ address, port });
  pair.client.initiate(pair.toGateway);
  assertEquals(sentBy(pair, pair.client, INITIATION).length, 2);
});

Deno.test("few initiations wait for their responses, and none when the peer is removed", () => {
  const pair = connecting(20, () => true);
  const { simulation, toGateway, client } = pair;
  for (let i = 0; i < 40; i++) {
    toGateway.timers.handshakeAttempts = 0;
    simulation.run(1_000);
    assert(toGateway.handshake !== null && toGateway.earlierHandshakes.length <= 5);
  }
  client.device.removePeer(toGateway);
  assertEquals([toGateway.handshake, toGateway.earlierHandshakes], [null, []]);
});
