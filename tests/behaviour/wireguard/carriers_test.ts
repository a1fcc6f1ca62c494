/** By which carrier peers are reached: a server goes where its clients are, a client decides, and a probe only asks. */
import { Carrier } from "../../../lib/core/transport/endpoint.ts";
import { MIN_MTU } from "../../../lib/core/wireguard/path/path_mtu.ts";
import { assertEquals } from "../../support/assert.ts";
import {
  connectedPair,
  downward,
  receivedTexts,
  sentBy,
  type TunnelPair,
  tunnelPair,
  upward,
} from "../../support/packets/tunnel_pair.ts";

const { udp, fakeTcp } = Carrier;

/** How the last datagram of each end travelled, after both have sent a packet. */
function carriersOf(pair: TunnelPair): [client: Carrier | undefined, gateway: Carrier | undefined] {
  const { client, gateway, simulation } = pair;
  client.send(upward("up"));
  simulation.run(20);
  gateway.send(downward("down"));
  simulation.run(20);
  return [sentBy(pair, client).at(-1)!.carrier, sentBy(pair, gateway).at(-1)!.carrier];
}

Deno.test("a server follows a client to another carrier, and back, as it follows its address", () => {
  const pair = connectedPair();
  assertEquals(carriersOf(pair), [udp, udp]);
  for (const carrier of [fakeTcp, udp]) {
    pair.client.device.setCarrier(pair.toGateway, carrier);
    assertEquals(carriersOf(pair), [carrier, carrier]);
    assertEquals(pair.gateway.events.at(-1)!.kind, "endpoint-changed");
  }
});

Deno.test("a client takes what comes by another carrier, and stays with its own", () => {
  const pair = connectedPair();
  const { client, gateway, toGateway, toClient, simulation } = pair;
  client.device.setCarrier(toGateway, fakeTcp);
  // What the server had sent by UDP before it knew.
  gateway.send(downward("late"));
  simulation.run(20);
  assertEquals(receivedTexts(client), ["late"]);
  assertEquals([toGateway.endpoint.carrier, toClient.endpoint.carrier], [fakeTcp, udp]);
  assertEquals(carriersOf(pair), [fakeTcp, fakeTcp]);
});

Deno.test("a handshake goes by the carrier in use, and so does its answer", () => {
  const pair = connectedPair();
  const { client, gateway, toGateway, simulation } = pair;
  client.device.setCarrier(toGateway, fakeTcp);
  // Whatever was sent by the other carrier a moment ago.
  client.initiate(toGateway);
  simulation.run(20);
  assertEquals(sentBy(pair, client, 1).map(({ carrier }) => carrier), [fakeTcp]);
  assertEquals(sentBy(pair, gateway, 2).map(({ carrier }) => carrier), [fakeTcp]);
});

Deno.test("a probe by another carrier is answered there, moves nobody, and the answer is reported", () => {
  const pair = connectedPair();
  const { client, gateway, toGateway, toClient, simulation } = pair;
  client.device.setCarrier(toGateway, fakeTcp);
  carriersOf(pair);
  pair.sent.length = 0;
  client.events.length = 0;
  client.device.sendProbe(toGateway, MIN_MTU, simulation.now, udp);
  client.poll();
  simulation.run(20);
  assertEquals(pair.sent.map(({ carrier }) => carrier), [udp, udp]);
  assertEquals([toGateway.endpoint.carrier, toClient.endpoint.carrier], [fakeTcp, fakeTcp]);
  assertEquals(client.events.map(({ kind }) => kind), ["carrier-works"]);
  // It says nothing of the path by the carrier in use.
  assertEquals(toGateway.provenMtu, 0);
  assertEquals(gateway.events.filter(({ kind }) => kind === "carrier-works"), []);
});

Deno.test("a response by UDP that comes after the client has gone on to fake TCP shows that UDP works", () => {
  const pair = tunnelPair();
  const { client, gateway, toGateway, simulation } = pair;
  client.initiate(toGateway);
  simulation.run(15);
  client.device.setCarrier(toGateway, fakeTcp);
  simulation.run(15);
  assertEquals(client.events.map(({ kind }) => kind), ["carrier-works", "handshake-completed"]);
  assertEquals(toGateway.endpoint.carrier, fakeTcp);
  assertEquals(gateway.events.filter(({ kind }) => kind === "carrier-works"), []);
});
