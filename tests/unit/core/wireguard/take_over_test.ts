/** Tests of lib/core/wireguard/device.ts: peers that are another gateway's, and come to be this one's. */
import { Transport } from "../../../../lib/core/transport/transport.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { ipv4 } from "../../../support/packets/simulated_device.ts";
import {
  connectedPair,
  downward,
  INITIATION,
  receivedTexts,
  sentBy,
  tunnelPair,
} from "../../../support/packets/tunnel_pair.ts";

const VIRTUAL = ipv4("203.0.113.5");

Deno.test("takeOver() begins a handshake from that address, and repeats it from there each second", () => {
  const pair = tunnelPair();
  const { client, gateway, toClient, simulation } = pair;
  gateway.device.lastingSource = VIRTUAL | 0;
  simulation.link.isDown = true;
  const { address, port } = client;
  gateway.device.takeOver(toClient, { address, port, source: VIRTUAL }, simulation.now);
  gateway.poll();
  simulation.run(4_500);
  const asked = sentBy(pair, gateway, INITIATION);
  assertEquals(
    asked.map(({ destinationAddress }) => destinationAddress >>> 0),
    asked.map(() => address),
  );
  assertEquals(asked.length, 4);
  assertEquals(toClient.endpoint.sourceDigest, VIRTUAL | 0);
  // When it gets through, the tunnel is there at once.
  simulation.link.isDown = false;
  simulation.run(1_500);
  assert(toClient.current !== null);
  gateway.send(downward("again"));
  simulation.run(100);
  assertEquals(receivedTexts(client), ["again"]);
});

Deno.test("another address of ours is left to the kernel again when a handshake is repeated", () => {
  const { client, gateway, toClient, simulation } = tunnelPair();
  simulation.link.isDown = true;
  const { address, port } = client;
  gateway.device.takeOver(toClient, { address, port, source: VIRTUAL }, simulation.now);
  gateway.poll();
  assertEquals(toClient.endpoint.sourceDigest, VIRTUAL | 0);
  simulation.run(2_000);
  assertEquals(toClient.endpoint.sourceDigest, 0);
});

Deno.test("disown() ends the sessions with a peer, and nothing is sent to it that could draw it back", () => {
  const pair = connectedPair({ toClient: { persistentKeepalive: 5 } });
  const { gateway, toClient, simulation } = pair;
  gateway.device.disown(toClient);
  assertEquals([toClient.current, toClient.endpoint.port], [null, 0]);
  assertEquals(toClient.endpoint.transport, Transport.udp);
  gateway.send(downward("to whom?"));
  simulation.run(30_000);
  assertEquals(sentBy(pair, gateway), []);
});
