/**
 * By which transport peers are reached: a server goes where its clients are, a client decides, and a probe only asks.
 */
import { Transport } from "../../../lib/core/transport/transport.ts";
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

const { udp, fakeTcp } = Transport;

/** How the last datagram of each end travelled, after both have sent a packet. */
function transportsOf(
  pair: TunnelPair,
): [client: Transport | undefined, gateway: Transport | undefined] {
  const { client, gateway, simulation } = pair;
  client.send(upward("up"));
  simulation.run(20);
  gateway.send(downward("down"));
  simulation.run(20);
  return [sentBy(pair, client).at(-1)!.transport, sentBy(pair, gateway).at(-1)!.transport];
}

Deno.test("a server follows a client to another transport, and back, as it follows its address", () => {
  const pair = connectedPair();
  assertEquals(transportsOf(pair), [udp, udp]);
  for (const transport of [fakeTcp, udp]) {
    pair.client.device.setTransport(pair.toGateway, transport);
    assertEquals(transportsOf(pair), [transport, transport]);
    assertEquals(pair.gateway.events.at(-1)!.kind, "endpoint-changed");
  }
});

Deno.test("a client takes what comes by another transport, and stays with its own", () => {
  const pair = connectedPair();
  const { client, gateway, toGateway, toClient, simulation } = pair;
  client.device.setTransport(toGateway, fakeTcp);
  // What the server had sent by UDP before it knew.
  gateway.send(downward("late"));
  simulation.run(20);
  assertEquals(receivedTexts(client), ["late"]);
  assertEquals([toGateway.endpoint.transport, toClient.endpoint.transport], [fakeTcp, udp]);
  assertEquals(transportsOf(pair), [fakeTcp, fakeTcp]);
});

Deno.test("a handshake goes by the transport in use, and so does its answer", () => {
  const pair = connectedPair();
  const { client, gateway, toGateway, simulation } = pair;
  client.device.setTransport(toGateway, fakeTcp);
  // Whatever was sent by the other transport a moment ago.
  client.initiate(toGateway);
  simulation.run(20);
  assertEquals(sentBy(pair, client, 1).map(({ transport }) => transport), [fakeTcp]);
  assertEquals(sentBy(pair, gateway, 2).map(({ transport }) => transport), [fakeTcp]);
});

Deno.test("a probe by another transport is answered there, moves nobody, and the answer is reported", () => {
  const pair = connectedPair();
  const { client, gateway, toGateway, toClient, simulation } = pair;
  client.device.setTransport(toGateway, fakeTcp);
  transportsOf(pair);
  pair.sent.length = 0;
  client.events.length = 0;
  client.device.sendProbe(toGateway, MIN_MTU, simulation.now, udp);
  client.poll();
  simulation.run(20);
  assertEquals(pair.sent.map(({ transport }) => transport), [udp, udp]);
  assertEquals([toGateway.endpoint.transport, toClient.endpoint.transport], [fakeTcp, fakeTcp]);
  assertEquals(client.events.map(({ kind }) => kind), ["transport-works"]);
  // It says nothing of the path by the transport in use.
  assertEquals(toGateway.provenMtu, 0);
  assertEquals(gateway.events.filter(({ kind }) => kind === "transport-works"), []);
});

Deno.test("a response by UDP that comes after the client has gone on to fake TCP shows that UDP works", () => {
  const pair = tunnelPair();
  const { client, gateway, toGateway, simulation } = pair;
  client.initiate(toGateway);
  simulation.run(15);
  client.device.setTransport(toGateway, fakeTcp);
  simulation.run(15);
  assertEquals(client.events.map(({ kind }) => kind), ["transport-works", "handshake-completed"]);
  assertEquals(toGateway.endpoint.transport, fakeTcp);
  assertEquals(gateway.events.filter(({ kind }) => kind === "transport-works"), []);
});
