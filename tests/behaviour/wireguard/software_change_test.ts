/** Tests of a peer whose program changes while its key and its address stay, and of handshakes that cross. */
import type { WatchOptions } from "../../../lib/core/wireguard/liveness/liveness.ts";
import { Software } from "../../../lib/core/wireguard/liveness/recognition.ts";
import { MIN_MTU } from "../../../lib/core/wireguard/path/path_mtu.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { ipv4, type SimulatedDevice } from "../../support/packets/simulated_device.ts";
import {
  connectedPair,
  downward,
  GATEWAY_INNER,
  INITIATION,
  receivedTexts,
  sentBy,
  type TunnelPair,
  tunnelPair,
  upward,
} from "../../support/packets/tunnel_pair.ts";

const TIMES = { peerTimeout: 6_000, releaseAfter: 180_000 };
const clientWatch: WatchOptions = { role: "client", ...TIMES };
const gatewayWatch: WatchOptions = { role: "server", ...TIMES };

function reported({ events }: SimulatedDevice): string[] {
  return events.map(({ kind }) => kind).filter((kind) => ["down", "up", "released"].includes(kind));
}

/** The gateway is replaced by another program with its key, at its address. */
function replaceGateway(pair: TunnelPair, watch?: WatchOptions): SimulatedDevice {
  const { simulation, client, gateway } = pair;
  const { address, port, identity } = simulation.devices.at(-1)!;
  simulation.devices.at(-1)!.address = address + 1;
  gateway.device.removePeer(pair.toClient);
  const other = simulation.addDevice({
    name: "other",
    address: "198.51.100.1",
    port,
    tunnelAddress: `${GATEWAY_INNER}/24`,
    isGateway: true,
    identity,
    ...(watch && { watch }),
  });
  other.addPeer(client, ["10.66.77.2/32"]);
  return other;
}

Deno.test("a server that becomes another program is taken for stock with one handshake to spare, no error there, and is never missed", () => {
  for (const roundTrip of [20, 700, 2_000]) {
    const pair = connectedPair({ clientWatch, gatewayWatch });
    const { simulation, client, toGateway } = pair;
    simulation.link.conditions = { ...simulation.link.conditions, latency: roundTrip / 2 };
    simulation.run(20_000);
    const stock = replaceGateway(pair);
    pair.sent.length = 0;
    // The path is looked at after each handshake, and now and then.
    for (let second = 0; second < 110; second++) {
      simulation.run(1_000);
      client.device.sendProbe(toGateway, MIN_MTU, simulation.now);
      client.poll();
    }
    assertEquals(toGateway.watch!.recognition.software, Software.stock, `at ${roundTrip} ms`);
    // Beside what came under a session that it does not know, or is only a router's to answer.
    assertEquals(stock.dropReport().replace(/(unknown_index|bad_tag|replayed) \d+(, )?/g, ""), "");
    assert(sentBy(pair, client, INITIATION).length <= 3, `at ${roundTrip} ms`);
    assertEquals(reported(client), []);
    client.send(upward("up"));
    simulation.run(roundTrip);
    stock.send(downward("down"));
    simulation.run(roundTrip);
    assertEquals([receivedTexts(stock), receivedTexts(client)], [["up"], ["down"]]);
  }
});

Deno.test("a server that becomes ours again is known as such one round trip after the next handshake", () => {
  const pair = connectedPair({ clientWatch, gatewayWatch });
  const { simulation, client, toGateway } = pair;
  simulation.run(10_000);
  replaceGateway(pair);
  simulation.run(60_000);
  replaceGateway(pair, gatewayWatch);
  client.send(upward("is anybody there?"));
  simulation.run(17_000);
  assertEquals(toGateway.watch!.recognition.software, Software.ours);
  assertEquals(reported(client), []);
});

Deno.test("ends whose handshakes cross recognize each other, miss each other and receive each other's goodbye", () => {
  for (const lead of [0, 3, 9]) {
    for (const end of ["killed", "goodbye"] as const) {
      const pair = tunnelPair({ clientWatch, gatewayWatch });
      const { simulation, client, gateway, toGateway, toClient } = pair;
      toClient.configureEndpoint({ address: client.address, port: client.port });
      client.initiate(toGateway);
      simulation.run(lead);
      gateway.initiate(toClient);
      simulation.run(10_000);
      // Each sends in the session that it began.
      assert(toGateway.current!.isInitiator && toClient.current!.isInitiator);
      for (const { watch } of [toGateway, toClient]) {
        assertEquals(watch!.recognition.software, Software.ours);
        assert(watch!.recognition.hello !== null);
      }
      if (end === "killed") simulation.onDatagram = () => false;
      else gateway.device.sayGoodbye(simulation.now);
      gateway.poll();
      simulation.run(end === "killed" ? 6_050 : 20);
      assertEquals(reported(client)[0], "down", `${end}, ${lead} ms apart`);
    }
  }
});

Deno.test("a client whose handshakes cross with its server's before each move is one host", () => {
  const pair = connectedPair();
  const { simulation, client, gateway, toGateway, toClient } = pair;
  const places = [client.address, ipv4("203.0.113.7")];
  for (let move = 1; move <= 8; move++) {
    toGateway.initiationSentAt = toClient.initiationSentAt = -Infinity;
    client.initiate(toGateway);
    gateway.initiate(toClient);
    for (let second = 0; second < 20; second++) {
      if (second === 10) client.address = places[move % 2]!;
      client.send(upward("on the way"));
      simulation.run(1_000);
    }
  }
  assertEquals(gateway.events.filter(({ kind }) => kind === "key-shared"), []);
});
