/**
 * Tests of what may be sent to an endpoint that a packet has named, before the peer has shown that it receives there.
 */
import {
  MAX_STAGED_PACKETS,
  OUTER_HEADERS_SIZE,
} from "../../../../../lib/core/wireguard/constants.ts";
import type { WatchOptions } from "../../../../../lib/core/wireguard/liveness/liveness.ts";
import { DropReason } from "../../../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import { ipv4 } from "../../../../support/packets/simulated_device.ts";
import {
  connectedPair,
  downward,
  INITIATION,
  receivedTexts,
  RESPONSE,
  sentBy,
  TRANSPORT,
  type TunnelPair,
  type TunnelPairOptions,
  upward,
} from "../../../../support/packets/tunnel_pair.ts";

const VICTIM = { address: ipv4("203.0.113.66"), port: 5_555 };
const ELSEWHERE = ipv4("203.0.113.7");
const THIRD = ipv4("203.0.113.8");
const BIG = "x".repeat(1_300);

/** A client that writes in the victim's name where it likes: what it sends, and what the gateway sends there. */
class Forger {
  forges = false;
  /** Bytes with their headers. */
  came = 0;
  went = 0;
  readonly pair: TunnelPair;

  constructor(options: TunnelPairOptions = {}) {
    const pair = this.pair = connectedPair(options);
    const { simulation, client, gateway } = pair;
    const { onDatagram } = simulation;
    simulation.onDatagram = (datagram, sender) => {
      onDatagram!(datagram, sender);
      const size = datagram.bytes.length + OUTER_HEADERS_SIZE;
      if (sender === client && this.forges) {
        this.came += size;
        gateway.receive(datagram.bytes, VICTIM);
        return false;
      }
      if (sender === gateway && datagram.destinationAddress === VICTIM.address) this.went += size;
      return true;
    };
  }

  check(what: string): void {
    assert(this.came > 0, `${what}: nothing was forged`);
    assert(this.went <= 3 * this.came, `${what}: ${this.came} bytes came, ${this.went} went`);
  }
}

/** A handshake of the client's, whatever the last one's age. */
function renew({ client, toGateway }: TunnelPair): void {
  client.wallClockOffset += 1_000;
  toGateway.initiationSentAt = -Infinity;
  client.initiate(toGateway);
}

Deno.test("a forged endpoint gets no more than three times what came from it: data, keepalives, probes, initiations", () => {
  const watch = { peerTimeout: 6_000, releaseAfter: 180_000 };
  const clientWatch: WatchOptions = { role: "client", ...watch };
  const gatewayWatch: WatchOptions = { role: "server", ...watch };
  for (const options of [{}, { clientWatch, gatewayWatch }]) {
    const forger = new Forger(options);
    const { simulation, client, gateway, toClient, toGateway } = forger.pair;
    forger.forges = true;
    for (let second = 0; second < 200; second++) {
      if (second % 3 === 0) client.device.sendKeepalive(toGateway, simulation.now);
      if (second % 7 === 0) client.send(upward("a"));
      for (let i = 0; i < 20; i++) gateway.send(downward(BIG));
      gateway.device.sendProbe(toClient, 1_400, simulation.now);
      gateway.device.sendKeepalive(toClient, simulation.now);
      simulation.run(1_000);
      forger.check(`after ${second} s`);
    }
    assert(gateway.dropped(DropReason.endpointUnproven) > 1_000, gateway.dropReport());
    gateway.device.sayGoodbye(simulation.now);
    gateway.poll();
    forger.check("goodbye");
  }
});

Deno.test("a handshake proves the endpoint that it was made with, and not the one that its last message names", () => {
  const forger = new Forger();
  const { simulation, client, gateway, toClient } = forger.pair;
  simulation.run(6_000);
  // The initiation and its response at the client's own address; the first data under the new key, and all that
  // follows, forged.
  simulation.after(15, () => forger.forges = true);
  renew(forger.pair);
  simulation.run(50);
  client.send(upward("forged"));
  assertEquals(toClient.endpoint.address, VICTIM.address);
  assertEquals(toClient.proof.isProven, false);
  for (let i = 0; i < 100; i++) gateway.send(downward(BIG));
  forger.check("data under the new key");

  // And the other way round: an initiation in the victim's name, whose response the forger never sees.
  renew(forger.pair);
  simulation.run(20_000);
  for (let i = 0; i < 100; i++) gateway.send(downward(BIG));
  assertEquals(toClient.proof.isProven, false);
  forger.check("initiation in the victim's name");
});

Deno.test("a stock client that has moved has its download back after one round trip", () => {
  const pair = connectedPair();
  const { simulation, client, gateway, toClient } = pair;
  simulation.run(1_000);
  client.address = ELSEWHERE;
  client.send(upward("an acknowledgment"));
  simulation.run(12);
  assertEquals(toClient.endpoint.address, ELSEWHERE);
  for (let i = 0; i < 10; i++) gateway.send(downward(BIG));
  // It waits for the proof.
  assertEquals(sentBy(pair, gateway, TRANSPORT).length, 0);
  simulation.run(20);
  assertEquals(toClient.proof.isProven, true);
  for (let i = 0; i < 100; i++) gateway.send(downward(BIG));
  simulation.run(100);
  assertEquals(receivedTexts(client).length, 110);
  assertEquals(sentBy(pair, gateway, INITIATION).length, 1);
});

Deno.test("what waited for a proof goes out as well when the client is back where it was", () => {
  const pair = connectedPair();
  const { simulation, client, gateway } = pair;
  const home = client.address;
  simulation.run(1_000);
  client.address = ELSEWHERE;
  client.send(upward("an acknowledgment"));
  simulation.run(12);
  gateway.send(downward(BIG));
  // The question does not arrive, and the next packet comes by the old path.
  client.address = home;
  client.send(upward("an acknowledgment"));
  simulation.run(100);
  assertEquals(receivedTexts(client), [BIG]);
});

Deno.test("data for a client that does not prove its endpoint waits within bounds, and not for long", () => {
  const forger = new Forger();
  const { simulation, client, gateway, toClient, toGateway } = forger.pair;
  forger.forges = true;
  client.device.sendKeepalive(toGateway, simulation.now);
  client.poll();
  for (let i = 0; i < 1_000; i++) gateway.send(downward(BIG));
  assertEquals(toClient.staged.length, MAX_STAGED_PACKETS);
  assertEquals(gateway.dropped(DropReason.endpointUnproven), 1_000 - MAX_STAGED_PACKETS);
  simulation.run(150_000);
  assertEquals(toClient.staged.length, 0);
});

Deno.test("a client that completes a handshake at its present endpoint is asked for nothing more", () => {
  const pair = connectedPair();
  const { simulation, client, gateway, toClient } = pair;
  client.address = ELSEWHERE;
  renew(pair);
  simulation.run(100);
  assertEquals(toClient.proof.isProven, true);
  for (let i = 0; i < 10; i++) gateway.send(downward(BIG));
  simulation.run(100);
  assertEquals(receivedTexts(client).length, 10);
  assertEquals([INITIATION, RESPONSE].map((type) => sentBy(pair, gateway, type).length), [0, 1]);
});

Deno.test("the question is asked again while packets come, until a round trip fits, be it 3 s long", () => {
  for (const latency of [10, 750, 1_500]) {
    const pair = connectedPair();
    const { simulation, client, gateway, toClient } = pair;
    pair.simulation.link.conditions = { ...pair.simulation.link.conditions, latency };
    client.address = ELSEWHERE;
    let lost = 1;
    const { onDatagram } = simulation;
    simulation.onDatagram = (datagram, sender) => {
      onDatagram!(datagram, sender);
      return !(datagram.bytes[0] === INITIATION && sender === gateway && lost-- > 0);
    };
    for (let ms = 0; ms < 15_000; ms += 100) simulation.after(ms, () => client.send(upward("up")));
    simulation.run(latency < 1_000 ? 4_000 + 4 * latency : 12_000);
    assertEquals(toClient.proof.isProven, true, `latency ${latency} ms`);
  }
});

Deno.test("a client on a long path is asked again only when its answer could have come, which a second question would make void", () => {
  const watch = { peerTimeout: 6_000, releaseAfter: 180_000 };
  const pair = connectedPair({
    clientWatch: { role: "client", ...watch },
    gatewayWatch: { role: "server", ...watch },
  });
  const { simulation, client, gateway, sent } = pair;
  simulation.link.conditions = { ...simulation.link.conditions, latency: 1_000 };
  simulation.run(60_000);
  sent.length = 0;
  client.port = 2_000;
  simulation.run(10_000);
  assertEquals(sentBy(pair, gateway, INITIATION).length, 1);
  assertEquals(client.dropReport(), "");
});

Deno.test("a client with two paths goes back and forth between them unasked once both are proven", () => {
  const pair = connectedPair();
  const { simulation, client, gateway, toClient } = pair;
  const home = client.address;
  simulation.run(1_000);
  for (let round = 0; round < 20; round++) {
    client.address = round % 2 === 0 ? ELSEWHERE : home;
    client.send(upward("up"));
    simulation.run(100);
    assertEquals(toClient.proof.isProven, true);
    gateway.send(downward(BIG));
    simulation.run(100);
  }
  assertEquals(receivedTexts(client).length, 20);
  assertEquals(sentBy(pair, gateway, INITIATION).length, 1);
  // A third is asked for.
  client.address = THIRD;
  client.send(upward("up"));
  simulation.run(100);
  assertEquals(sentBy(pair, gateway, INITIATION).length, 2);
});

Deno.test("a client that only downloads has its download back within seconds when the first initiation to where it is now is lost", () => {
  for (const lost of [INITIATION, RESPONSE]) {
    const pair = connectedPair();
    const { simulation, client, gateway, toClient } = pair;
    simulation.run(1_000);
    client.address = ELSEWHERE;
    let left = 1;
    const { onDatagram } = simulation;
    simulation.onDatagram = (datagram, sender) => {
      onDatagram!(datagram, sender);
      return datagram.bytes[0] !== lost || left-- <= 0;
    };
    client.send(upward("an acknowledgment of what came before the network changed"));
    simulation.after(12, () => gateway.send(downward("an answer of no great length")));
    for (let ms = 0; ms < 1_400; ms += 20) simulation.after(ms, () => gateway.send(downward(BIG)));
    simulation.run(1_500);
    assertEquals(left < 0, true);
    assertEquals(toClient.proof.isProven, true);
    assertEquals(sentBy(pair, gateway, INITIATION).length, 2);
  }
});

Deno.test("a client whose address changes twice within a second is asked each time at once", () => {
  const pair = connectedPair();
  const { simulation, client, gateway, toClient } = pair;
  simulation.run(1_000);
  for (const address of [ELSEWHERE, THIRD, ELSEWHERE + 10]) {
    client.address = address;
    client.wallClockOffset += 100;
    client.send(upward("an acknowledgment"));
    simulation.run(200);
    assertEquals(toClient.proof.isProven, true);
  }
  assertEquals(sentBy(pair, gateway, INITIATION).length, 3);
});

Deno.test("packets from ever new ports cost a few handshakes at once and then one a second, and get no more bytes", () => {
  const pair = connectedPair();
  const { simulation, client, gateway, toGateway } = pair;
  let came = 0;
  const { onDatagram } = simulation;
  simulation.onDatagram = (datagram, sender) => {
    onDatagram!(datagram, sender);
    if (sender !== client) return false;
    came += datagram.bytes.length + OUTER_HEADERS_SIZE;
    gateway.receive(datagram.bytes, { address: VICTIM.address, port: 1024 + came % 50_000 });
    return false;
  };
  for (let i = 0; i < 1_000; i++) {
    client.device.sendKeepalive(toGateway, simulation.now);
    client.poll();
    gateway.send(downward(BIG));
    simulation.run(10);
  }
  const initiations = sentBy(pair, gateway, INITIATION);
  assert(initiations.length <= 15, `${initiations.length} initiations in 10 s`);
  const went = sentBy(pair, gateway).reduce((sum, { bytes }) => sum + bytes.length + 28, 0);
  assert(went <= 3 * came, `${came} bytes came, ${went} went`);
});

Deno.test("an endpoint of the configuration needs no proof", () => {
  const pair = connectedPair({
    toClient: { endpoint: { address: ipv4("192.0.2.2"), port: 40_000 } },
  });
  const { gateway, toClient, simulation } = pair;
  assertEquals(toClient.proof.isProven, true);
  pair.client.address = ELSEWHERE;
  pair.client.send(upward("up"));
  simulation.run(11);
  assertEquals(toClient.proof.isProven, false);
  gateway.device.updatePeer(toClient, {
    publicKey: toClient.publicKey,
    allowedIps: [],
    endpoint: { address: THIRD, port: 7 },
  }, simulation.now);
  assertEquals(toClient.proof.isProven, true);
});

Deno.test("bytes to an unproven endpoint are counted with their headers, and never more than came", () => {
  const forger = new Forger();
  const { gateway, client, toGateway, simulation } = forger.pair;
  simulation.run(1_000);
  forger.forges = true;
  client.device.sendKeepalive(toGateway, simulation.now);
  client.poll();
  // An empty keepalive has 60 bytes with its headers: the initiation that asks for proof, of 176, just fits.
  assertEquals(sentBy(forger.pair, gateway, INITIATION).length, 1);
  assertEquals([forger.came, forger.went], [60, 176]);
  gateway.device.sendKeepalive([...gateway.device.peers][0]!, simulation.now);
  gateway.poll();
  assertEquals(sentBy(forger.pair, gateway, TRANSPORT).length, 0);
});
