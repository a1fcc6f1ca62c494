/** Tests of the last word of an end that closes. */
import { isGoodbye, writeGoodbye } from "../../../../../lib/core/wireguard/liveness/goodbye.ts";
import { createMemory } from "../../../../../lib/core/wire/memory.ts";
import { isProbe } from "../../../../../lib/core/wireguard/path/path_mtu.ts";
import type { WatchOptions } from "../../../../../lib/core/wireguard/liveness/liveness.ts";
import { Transport } from "../../../../../lib/core/transport/transport.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import {
  connectedPair,
  downward,
  INITIATION,
  sentBy,
  type TunnelPair,
  upward,
} from "../../../../support/packets/tunnel_pair.ts";

Deno.test("isGoodbye() knows what writeGoodbye() wrote, and nothing that differs from it", () => {
  const memory = createMemory(64);
  const length = writeGoodbye(memory, 8);
  assertEquals(Array.from(memory.bytes.subarray(8, 16)), [0, 0, 0, 0, 0x65, 0x6e, 0x64, 0]);
  assert(isGoodbye(memory.view, 8, length));
  assertEquals(isGoodbye(memory.view, 8, length - 1), false);
  assertEquals(isGoodbye(memory.view, 8, length + 1), false);
  for (let i = 8; i < 16; i++) {
    memory.bytes[i]! ^= 1;
    assertEquals(isGoodbye(memory.view, 8, length), false, `byte ${i}`);
    memory.bytes[i]! ^= 1;
  }
  assertEquals(isProbe(memory.view, 8, length), false);
});

const TIMES = { peerTimeout: 6_000, releaseAfter: 10_000 };
const clientWatch: WatchOptions = { role: "client", ...TIMES };
const gatewayWatch: WatchOptions = { role: "server", ...TIMES };

/** Has one end say goodbye, and keeps the datagram back. */
function goodbyeOf({ simulation, sent }: TunnelPair, end: TunnelPair["client"]): Uint8Array {
  sent.length = 0;
  const { onDatagram } = simulation;
  simulation.onDatagram = (datagram, sender) => {
    onDatagram!(datagram, sender);
    return false;
  };
  end.device.sayGoodbye(simulation.now);
  end.poll();
  simulation.onDatagram = onDatagram;
  return sent.find(({ sender, type }) => sender === end && type === 4)!.bytes;
}

/** Completes a handshake, whatever the last handshake's age. */
function renew({ simulation, client, toGateway }: TunnelPair): void {
  client.wallClockOffset += 1_000;
  toGateway.initiationSentAt = -Infinity;
  client.initiate(toGateway);
  simulation.run(100);
}

Deno.test("a goodbye that is late ends the session it was said in, not the one after it, at either end", () => {
  for (const end of ["client", "gateway"] as const) {
    const pair = connectedPair({ clientWatch, gatewayWatch });
    const [from, to] = end === "client" ? [pair.client, pair.gateway] : [pair.gateway, pair.client];
    const late = goodbyeOf(pair, from);
    renew(pair);
    const session = [pair.toClient.current, pair.toGateway.current];
    to.receive(late, from);
    assertEquals([pair.toClient.current, pair.toGateway.current], session);
    assertEquals(to.events.filter(({ kind }) => kind === "released" || kind === "down"), []);
  }
});

Deno.test("a goodbye of the old session counts for nothing once a new one was asked for, confirmed or not", () => {
  const pair = connectedPair({ clientWatch, gatewayWatch });
  const late = goodbyeOf(pair, pair.client);
  const { simulation, gateway, client, toClient } = pair;
  // The response is lost: the gateway waits for the first packet under the new key.
  simulation.onDatagram = (_, sender) => sender !== gateway;
  renew(pair);
  assert(toClient.next !== null);
  gateway.receive(late, client);
  assert(toClient.next !== null && toClient.current !== null);
  assertEquals(gateway.events.filter(({ kind }) => kind === "released"), []);
});

Deno.test("no goodbye is said in a session of which nothing has come yet: another program may have taken the place", () => {
  const pair = connectedPair({ clientWatch, gatewayWatch });
  const { simulation, client, gateway, sent } = pair;
  const onDatagram = simulation.onDatagram!;
  // The handshake passes, and nothing in the session of the gateway's.
  simulation.onDatagram = (datagram, sender) => {
    onDatagram(datagram, sender);
    return !(sender === gateway && datagram.bytes[0] === 4);
  };
  renew(pair);
  assert(pair.toGateway.current!.isInitiator && !pair.toGateway.watch!.recognition.hasReceived);
  sent.length = 0;
  client.device.sayGoodbye(simulation.now);
  client.poll();
  assertEquals(sentBy(pair, client, 4), []);
});

Deno.test("a goodbye, or silence, leaves a peer where the configuration says that it is", () => {
  for (const how of ["goodbye", "silence"]) {
    const configured = { address: 0xcb007109, port: 1234 };
    const pair = connectedPair({ clientWatch, gatewayWatch, toClient: { endpoint: configured } });
    const { simulation, gateway, client, toClient } = pair;
    if (how === "goodbye") client.device.sayGoodbye(simulation.now);
    else simulation.run(10_000);
    client.poll();
    simulation.run(100);
    if (how === "silence") {
      simulation.link.isDown = true;
      simulation.run(20_000);
    }
    assertEquals(gateway.events.some(({ kind }) => kind === "released"), true, how);
    assertEquals({ address: toClient.endpoint.address, port: toClient.endpoint.port }, configured);
    // So the gateway can look for it there.
    pair.sent.length = 0;
    gateway.send(downward("where are you?"));
    simulation.run(10);
    const [initiation] = sentBy(pair, gateway, INITIATION);
    assertEquals(initiation?.destinationPort, configured.port);
  }
});

Deno.test("a gateway looks by UDP for a configured client that has said goodbye by fake TCP", () => {
  const configured = { address: 0xcb007109, port: 1234 };
  const pair = connectedPair({ clientWatch, gatewayWatch, toClient: { endpoint: configured } });
  const { simulation, gateway, client, toGateway, toClient } = pair;
  client.device.setTransport(toGateway, Transport.fakeTcp);
  client.send(upward("by fake TCP"));
  simulation.run(100);
  assertEquals(toClient.endpoint.transport, Transport.fakeTcp);
  client.device.sayGoodbye(simulation.now);
  client.poll();
  simulation.run(100);
  pair.sent.length = 0;
  gateway.send(downward("where are you?"));
  simulation.run(10);
  const [initiation] = sentBy(pair, gateway, INITIATION);
  assertEquals(initiation?.transport, Transport.udp);
});
