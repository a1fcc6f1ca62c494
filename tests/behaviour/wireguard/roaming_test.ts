/**
 * Tests of where a device sends to: to where the last authentic message of a peer came from, whatever else is received.
 */
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { ipv4, type SimulatedDevice } from "../../support/packets/simulated_device.ts";
import {
  connectedPair,
  deliver,
  downward,
  INITIATION,
  receivedTexts,
  RESPONSE,
  sentBy,
  TRANSPORT,
  tunnelPair,
  upward,
} from "../../support/packets/tunnel_pair.ts";

const ELSEWHERE = ipv4("203.0.113.7");

function moves({ events }: SimulatedDevice): number {
  return events.filter(({ kind }) => kind === "endpoint-changed").length;
}

Deno.test("a gateway learns its client's endpoint from the first handshake", () => {
  const pair = connectedPair();
  const { address, port, sourceDigest: source } = pair.toClient.endpoint;
  assertEquals([address, port], [pair.client.address, pair.client.port]);
  assertEquals(source >>> 0, pair.gateway.address);
  assertEquals(moves(pair.gateway), 1);
  assertEquals(moves(pair.client), 0);
});

Deno.test("answers follow a client that has moved, from its first packet on", () => {
  const pair = connectedPair();
  pair.client.address = ELSEWHERE;
  pair.client.port = 1234;
  pair.client.send(upward("I moved"));
  pair.simulation.run(15);
  pair.gateway.send(downward("I see"));
  pair.simulation.run(15);
  assertEquals(receivedTexts(pair.client), ["I see"]);
  assertEquals(moves(pair.gateway), 2);
});

Deno.test("a change of the port alone is a move, as behind a NAT that forgot", () => {
  const pair = connectedPair();
  pair.client.port = 1025;
  pair.client.send(upward("new mapping"));
  pair.simulation.run(15);
  assertEquals(pair.toClient.endpoint.port, 1025);
  assertEquals(moves(pair.gateway), 2);
});

Deno.test("a keepalive moves the endpoint too", () => {
  const pair = connectedPair({ toGateway: { persistentKeepalive: 5 } });
  pair.client.address = ELSEWHERE;
  pair.simulation.run(6000);
  assertEquals(pair.toClient.endpoint.address, ELSEWHERE);
});

Deno.test("an initiation from elsewhere moves the endpoint, and is answered there", () => {
  const pair = connectedPair();
  pair.simulation.run(6000);
  pair.client.address = ELSEWHERE;
  pair.client.initiate(pair.toGateway);
  pair.simulation.run(15);
  assertEquals(sentBy(pair, pair.gateway, RESPONSE)[0]!.destinationAddress, ELSEWHERE);
  assertEquals(pair.toClient.endpoint.address, ELSEWHERE);
  assertEquals(moves(pair.gateway), 2);
});

Deno.test("a response from elsewhere moves the endpoint", () => {
  const pair = tunnelPair();
  pair.client.initiate(pair.toGateway);
  pair.simulation.run(11);
  deliver(pair.client, sentBy(pair, pair.gateway, RESPONSE)[0]!.bytes, "203.0.113.7:99");
  const { address, port } = pair.toGateway.endpoint;
  assertEquals([address, port], [ELSEWHERE, 99]);
  assertEquals(moves(pair.client), 1);
});

Deno.test("forged messages move nothing", () => {
  const pair = connectedPair();
  pair.simulation.run(6000);
  pair.client.initiate(pair.toGateway);
  pair.client.send(upward("genuine"));
  for (const { type, bytes } of sentBy(pair, pair.client)) {
    // Nobody looks at the second MAC of an initiation, its last 16 bytes, but under load.
    const end = type === INITIATION ? bytes.length - 16 : bytes.length;
    for (let at = 0; at < end; at++) {
      const forged = bytes.slice();
      forged[at]! ^= 0x10;
      deliver(pair.gateway, forged);
    }
  }
  assertEquals(pair.toClient.endpoint.address, pair.client.address);
  assertEquals(moves(pair.gateway), 1);
});

Deno.test("messages that are played again from elsewhere move nothing", () => {
  const pair = connectedPair();
  pair.simulation.run(6000);
  pair.client.initiate(pair.toGateway);
  pair.client.send(upward("genuine"));
  pair.simulation.run(100);
  assertEquals(pair.sent.map(({ type }) => type).includes(INITIATION), true);
  for (const { bytes } of sentBy(pair, pair.client)) deliver(pair.gateway, bytes);
  for (const { bytes } of sentBy(pair, pair.gateway)) deliver(pair.client, bytes);
  assertEquals(pair.toClient.endpoint.address, pair.client.address);
  assertEquals(pair.toGateway.endpoint.address, pair.gateway.address);
  assertEquals([moves(pair.gateway), moves(pair.client)], [1, 0]);
});

Deno.test("a cookie reply moves nothing: it is not authenticated by the peer's key", () => {
  const pair = tunnelPair();
  pair.client.initiate(pair.toGateway);
  const reply = new Uint8Array(64);
  reply[0] = 3;
  reply.set(pair.sent[0]!.bytes.subarray(4, 8), 4);
  deliver(pair.client, reply);
  assertEquals(pair.client.dropped(DropReason.badCookie), 1);
  assertEquals(pair.toGateway.endpoint.address, pair.gateway.address);
});

Deno.test("both ends may move at the same time, if a packet of one of them is received", () => {
  const pair = connectedPair();
  pair.client.address = ELSEWHERE;
  pair.client.send(upward("from elsewhere"));
  pair.simulation.run(15);
  pair.gateway.address = ipv4("198.51.100.2");
  pair.gateway.send(downward("me too"));
  pair.simulation.run(15);
  pair.client.send(upward("found you"));
  pair.simulation.run(15);
  assertEquals(receivedTexts(pair.gateway), ["from elsewhere", "found you"]);
  assertEquals(sentBy(pair, pair.gateway, TRANSPORT).length, 1);
});

Deno.test("answers leave from the address that was written to, until the host no longer has it", () => {
  const pair = connectedPair();
  const { endpoint } = pair.toClient;
  assertEquals(endpoint.sourceDigest >>> 0, pair.gateway.address);
  pair.gateway.device.forgetSource(ELSEWHERE);
  assertEquals(endpoint.sourceDigest >>> 0, pair.gateway.address);
  pair.gateway.device.forgetSource(pair.gateway.address);
  assertEquals(endpoint.sourceDigest, 0);
});

Deno.test("the source address is chosen again once nothing comes back", () => {
  const pair = connectedPair();
  assert(pair.toGateway.endpoint.sourceDigest !== 0);
  pair.simulation.link.isDown = true;
  pair.client.send(upward("anyone?"));
  pair.simulation.run(16_000);
  assertEquals(pair.toGateway.endpoint.sourceDigest, 0);
});
