/** Tests of lib/core/wireguard/handshake/handshake_driver.ts: when initiations are sent. */
import { MAX_HANDSHAKE_ATTEMPTS } from "../../../../../lib/core/wireguard/constants.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import {
  connectedPair,
  INITIATION,
  sentBy,
  tunnelPair,
  upward,
} from "../../../../support/packets/tunnel_pair.ts";

Deno.test("an initiation that finds the send queue full is sent by the timer", () => {
  const pair = connectedPair();
  const { client, toGateway, simulation } = pair;
  simulation.run(6000);
  client.memory.bytes.set(upward("much"), 0);
  for (let i = 0; i < 256; i++) client.device.send(toGateway, 0, 32, simulation.now);
  client.device.initiate(toGateway, simulation.now);
  client.poll();
  assertEquals(sentBy(pair, client, INITIATION).length, 0);
  simulation.run(6000);
  assertEquals(sentBy(pair, client, INITIATION).length, 1);
});

Deno.test("a short handshake interval retries at its own pace, and the usual one comes back", () => {
  const pair = tunnelPair();
  const { client, toGateway, simulation, sent } = pair;
  simulation.link.isDown = true;
  toGateway.timers.handshakeInterval = 250;
  client.initiate(toGateway);
  simulation.run(2000);
  const quick = sent.length;
  assert(quick >= 4 && quick <= 8, `${quick}`);
  toGateway.timers.handshakeInterval = 5000;
  simulation.run(60_000);
  const slow = sent.length - quick;
  assert(slow >= 10 && slow <= 13, `${slow}`);
  assert(toGateway.timers.handshakeAttempts < MAX_HANDSHAKE_ATTEMPTS + 1);
});
