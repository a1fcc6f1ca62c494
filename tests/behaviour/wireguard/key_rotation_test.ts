/**
 * Behaviour of a peer that is given another key: both are its own until the first packet under the new one, and one
 * host with either loses nothing by the other's attempts.
 */
import { keyPair } from "../../../lib/core/noise/x25519.ts";
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import type { Peer, PeerOptions } from "../../../lib/core/wireguard/peer.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { ipv4, type SimulatedDevice } from "../../support/packets/simulated_device.ts";
import {
  CLIENT_INNER,
  connectedPair,
  downward,
  GATEWAY_INNER,
  receivedTexts,
  RESPONSE,
  sentBy,
  type TunnelPair,
  type TunnelPairOptions,
  upward,
} from "../../support/packets/tunnel_pair.ts";
import { Random } from "../../support/random.ts";

const PRESHARED = new Uint8Array(32).fill(5);
const NEXT = keyPair(new Random(77).bytes(32));

interface Rotation extends TunnelPair {
  /** The same client as it is set up again, elsewhere, with its new key. */
  readonly renewed: SimulatedDevice;
  readonly fromRenewed: Peer;
}

/** A client that is connected, and is then given another key. */
function rotation(options: TunnelPairOptions = {}): Rotation {
  const pair = connectedPair(options);
  const { simulation, gateway } = pair;
  const renewed = simulation.addDevice({
    name: "renewed",
    address: "192.0.2.77",
    tunnelAddress: `${CLIENT_INNER}/24`,
    identity: NEXT,
  });
  const fromRenewed = renewed.addPeer(gateway, [`${GATEWAY_INNER}/24`], {
    endpoint: { address: gateway.address, port: gateway.port },
    presharedKey: PRESHARED,
  });
  gateway.device.updatePeer(pair.toClient, settings(pair), simulation.now);
  return { ...pair, renewed, fromRenewed };
}

/** As the gateway's configuration has the client. */
function settings(
  { client }: Pick<TunnelPair, "client">,
  change: Partial<PeerOptions> = {},
): PeerOptions {
  return {
    publicKey: client.identity.public,
    allowedIps: [{ address: ipv4(CLIENT_INNER), prefixLength: 32 }],
    nextKey: { publicKey: NEXT.public, presharedKey: PRESHARED },
    name: "laptop",
    ...change,
  };
}

for (const gatewayWorkers of [0, 2]) {
  const where = gatewayWorkers === 0 ? "" : ", with packet workers";

  Deno.test(`the first packet under the next key makes it the peer's, and ends the old one${where}`, () => {
    const pair = rotation({ gatewayWorkers });
    const { simulation, client, gateway, renewed, toClient } = pair;
    client.send(upward("old"));
    simulation.run(200);
    const { receivedBytes } = toClient;
    gateway.events.length = 0;
    renewed.send(upward("new"));
    simulation.run(200);
    assertEquals(receivedTexts(gateway).slice(-2), ["old", "new"]);
    assertEquals(toClient.publicKey, NEXT.public);
    assert(toClient.receivedBytes > receivedBytes, "what it has used is counted on");
    const kinds = gateway.events.map(({ kind }) => kind);
    assert(kinds.indexOf("key-replaced") < kinds.indexOf("handshake-completed"), kinds.join(" "));
    gateway.send(downward("answer"));
    client.send(upward("from the old host"));
    simulation.run(200);
    assertEquals(receivedTexts(renewed), ["answer"]);
    assertEquals(receivedTexts(gateway).at(-1), "new");
    client.initiate(pair.toGateway);
    simulation.run(20_000);
    assertEquals(receivedTexts(gateway).at(-1), "new", "nor by another handshake");
    assert(gateway.dropped(DropReason.unknownPeer) > 0);
  });
}

Deno.test("a handshake with the next key alone leaves the sessions and the place of the old one", () => {
  const pair = rotation();
  const { simulation, client, gateway, renewed, toClient } = pair;
  const { current } = toClient;
  const { address } = toClient.endpoint;
  // What it would send under the session never leaves.
  simulation.onDatagram = ({ bytes }, sender) => sender !== renewed || bytes[0] === 1;
  for (let round = 0; round < 20; round++) {
    renewed.send(upward("lost"));
    gateway.send(downward(`down ${round}`));
    client.send(upward(`up ${round}`));
    simulation.run(6_000);
  }
  assertEquals(receivedTexts(gateway), Array.from({ length: 20 }, (_, round) => `up ${round}`));
  assertEquals(receivedTexts(client).length, 20);
  assertEquals(toClient.publicKey, client.identity.public);
  assertEquals(toClient.endpoint.address, address);
  assert(current !== null && toClient.successor?.session !== null);
});

Deno.test("each key has its own clock: one that is behind the other's takes over all the same", () => {
  const pair = rotation();
  pair.renewed.wallClockOffset = -86_400_000;
  pair.renewed.send(upward("from yesterday"));
  pair.simulation.run(200);
  assertEquals(receivedTexts(pair.gateway), ["from yesterday"]);
});

Deno.test("a recorded initiation of the next key is answered once, and takes nothing over", () => {
  const pair = rotation();
  const { simulation, gateway, renewed, fromRenewed, toClient } = pair;
  let recorded: Uint8Array | null = null;
  simulation.onDatagram = (datagram, sender) => {
    if (sender === renewed) recorded = datagram.bytes.slice();
    return sender !== renewed;
  };
  renewed.initiate(fromRenewed);
  const replay = () => {
    pair.sent.length = 0;
    gateway.receive(recorded!, { address: ipv4("203.0.113.9"), port: 9 });
    simulation.run(50);
    return gateway.dropped(DropReason.staleTimestamp);
  };
  assertEquals([replay(), replay(), replay()], [0, 1, 2]);
  assertEquals(sentBy(pair, gateway, RESPONSE), []);
  assertEquals(toClient.publicKey, pair.client.identity.public);
});

Deno.test("a next key that is taken back, or is another by then, ends with its session", () => {
  for (const nextKey of [null, { publicKey: keyPair(new Random(5).bytes(32)).public }]) {
    const pair = rotation();
    const { simulation, client, gateway, renewed, toClient } = pair;
    simulation.onDatagram = (_, sender) => sender !== renewed || _.bytes[0] === 1;
    renewed.send(upward("lost"));
    simulation.run(200);
    const { session } = toClient.successor!;
    assert(session !== null);
    gateway.device.updatePeer(toClient, settings(pair, { nextKey }), simulation.now);
    assertEquals(session.sending.seal(0, 0, 0, 0, 9), false, "destroyed");
    simulation.onDatagram = () => true;
    renewed.send(upward("nor now"));
    client.send(upward("as ever"));
    simulation.run(20_000);
    assertEquals(receivedTexts(gateway), ["as ever"]);
  }
});

Deno.test("settings of before the next key took over are the peer's all the same", () => {
  const pair = rotation();
  const { simulation, client, gateway, renewed, toClient } = pair;
  renewed.send(upward("new"));
  simulation.run(200);
  assertEquals(gateway.device.peer(client.identity.public), toClient, "by its former key");
  gateway.device.updatePeer(toClient, settings(pair, { name: "tablet" }), simulation.now);
  renewed.send(upward("still"));
  simulation.run(200);
  assertEquals([receivedTexts(gateway).at(-1), toClient.name], ["still", "tablet"]);
  assertEquals(toClient.presharedKey, PRESHARED);
  const known = { publicKey: NEXT.public, presharedKey: PRESHARED, nextKey: null };
  gateway.device.updatePeer(toClient, settings(pair, known), simulation.now);
  assertEquals(gateway.device.peer(client.identity.public), undefined);
  renewed.send(upward("and on"));
  simulation.run(200);
  assertEquals(receivedTexts(gateway).at(-1), "and on");
});

Deno.test("a peer that is to have another key than it has by now loses its sessions for it", () => {
  const pair = rotation();
  const { simulation, client, gateway, renewed, toClient } = pair;
  renewed.send(upward("new"));
  simulation.run(200);
  gateway.device.updatePeer(toClient, settings(pair, { nextKey: null }), simulation.now);
  renewed.send(upward("revoked"));
  simulation.run(20_000);
  client.initiate(pair.toGateway);
  simulation.run(10_000);
  client.send(upward("old again"));
  simulation.run(200);
  assertEquals(receivedTexts(gateway), ["new", "old again"]);
});

Deno.test("the next key counts alone when it is time, though nobody has used it", () => {
  const pair = rotation();
  const { simulation, client, gateway, renewed, toClient } = pair;
  const known = { publicKey: NEXT.public, presharedKey: PRESHARED, nextKey: null };
  assertEquals(gateway.device.addPeer(settings(pair, known), simulation.now), toClient);
  client.send(upward("too late"));
  simulation.run(20_000);
  renewed.send(upward("new"));
  simulation.run(200);
  assertEquals(receivedTexts(gateway), ["new"]);
});

Deno.test("a peer that is removed is neither of its keys' any more", () => {
  const pair = rotation();
  const { simulation, client, gateway, renewed, toClient } = pair;
  gateway.device.removePeer(toClient);
  client.send(upward("one"));
  renewed.send(upward("other"));
  simulation.run(10_000);
  assertEquals(receivedTexts(gateway), []);
});
