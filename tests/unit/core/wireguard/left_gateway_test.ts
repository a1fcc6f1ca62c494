/** Tests of lib/core/wireguard/opened_messages.ts: a gateway that a client has left for another with the same key. */
import { assert, assertEquals } from "../../../support/assert.ts";
import {
  CLIENT_INNER,
  connectedPair,
  downward,
  GATEWAY_INNER,
  receivedTexts,
  type TunnelPairOptions,
  upward,
} from "../../../support/packets/tunnel_pair.ts";

const clientWatch = { role: "client", peerTimeout: 6_000, releaseAfter: 180_000 } as const;
const gatewayWatch = { role: "server", peerTimeout: 6_000, releaseAfter: 180_000 } as const;

/** A client that has gone over to a second gateway; the first still knows it, and is heard again. */
function goneOver(options: TunnelPairOptions = {}) {
  const pair = connectedPair(options);
  const { simulation, client, gateway, toGateway } = pair;
  const second = simulation.addDevice({
    name: "second",
    address: "203.0.113.1",
    tunnelAddress: `${GATEWAY_INNER}/24`,
    identity: gateway.identity,
    isGateway: true,
    mtu: 1420,
    watch: gatewayWatch,
  });
  second.addPeer(client, [`${CLIENT_INNER}/32`]);
  const { address, port } = second;
  toGateway.configureEndpoint({ address, port });
  client.initiate(toGateway);
  simulation.run(100);
  assertEquals(toGateway.endpoint.address, address);
  return { ...pair, second };
}

Deno.test("a gateway that a client has left does not draw it back, and what it had under way still arrives", () => {
  const { simulation, client, gateway, second, toGateway } = goneOver({
    clientWatch,
    gatewayWatch,
  });
  gateway.send(downward("late"));
  simulation.run(100);
  assertEquals(receivedTexts(client), ["late"]);
  assertEquals(toGateway.endpoint.address, second.address);
  client.send(upward("here"));
  simulation.run(100);
  assertEquals([receivedTexts(second), receivedTexts(gateway)], [["here"], []]);
  gateway.device.sayGoodbye(simulation.now);
  gateway.poll();
  simulation.run(100);
  assertEquals(client.events.filter(({ kind }) => kind === "down" || kind === "key-shared"), []);
});

Deno.test("a gateway that a client has left does not pass for the other one, which is gone", () => {
  const { simulation, client, gateway, second } = goneOver({ clientWatch, gatewayWatch });
  simulation.run(1_000);
  simulation.onDatagram = (_datagram, sender) => sender !== second;
  // Later, the first would begin a handshake, and be the one.
  for (let i = 0; i < 8; i++) {
    gateway.send(downward("I was"));
    simulation.run(1_000);
  }
  assert(client.events.some(({ kind }) => kind === "down"));
});

Deno.test("a server that roams is followed, under the session of before as well", () => {
  const { simulation, client, gateway, toGateway } = connectedPair();
  toGateway.initiationSentAt = -Infinity;
  client.initiate(toGateway);
  simulation.run(100);
  gateway.address = simulation.addDevice({
    name: "elsewhere",
    address: "203.0.113.2",
    tunnelAddress: "10.0.0.1/24",
  }).address;
  gateway.send(downward("moved"));
  simulation.run(100);
  assertEquals(toGateway.endpoint.address, gateway.address);
});
