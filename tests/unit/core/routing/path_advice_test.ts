/**
 * Tests of lib/core/routing/path_advice.ts, in the pipeline: what senders inside are told of a path to a peer that is
 * narrower than the tunnel.
 */
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { assertEquals } from "../../../support/assert.ts";
import { reassemble } from "../../../support/nat/world.ts";
import {
  buildIcmp,
  buildTcp,
  buildUdp,
  type Bytes,
  referenceChecksum,
} from "../../../support/packets/packet_builder.ts";
import { Simulation } from "../../../support/packets/simulation.ts";
import {
  CLIENT_INNER,
  connectedPair,
  GATEWAY_INNER,
  sentBy,
  TRANSPORT,
  type TunnelPair,
} from "../../../support/packets/tunnel_pair.ts";

const MTU = 1220;

/** A pair whose gateway knows of a narrow path to the client. */
function narrowPair(): TunnelPair {
  const pair = connectedPair();
  pair.toClient.mtu = MTU;
  return pair;
}

/** A packet of the gateway's host for the client, `length` bytes in all. */
function toClient(length: number, fields = {}): Bytes {
  return buildUdp({
    source: GATEWAY_INNER,
    destination: CLIENT_INNER,
    dontFragment: true,
    payload: new Uint8Array(length - 28),
    ...fields,
  });
}

/**
 * What an ICMP error says: its addresses, type, code, next-hop MTU and what it quotes. Fails where a checksum is wrong.
 */
function readError(packet: Bytes): unknown {
  assertEquals(referenceChecksum(packet.subarray(0, 20)), 0);
  assertEquals(referenceChecksum(packet.subarray(20)), 0);
  return {
    source: packet.subarray(12, 16).join("."),
    destination: packet.subarray(16, 20).join("."),
    protocol: packet[9],
    type: packet[20],
    code: packet[21],
    mtu: packet[26]! * 256 + packet[27]!,
    quoted: packet.slice(28),
  };
}

Deno.test("the host's packet with DF that the path does not take is refused in its destination's name", () => {
  const { gateway, client, simulation } = narrowPair();
  const packet = toClient(MTU + 1);
  gateway.send(packet);
  simulation.run(20);
  assertEquals(gateway.tun.written.map(readError), [{
    // Were it the host's own address, the kernel would take it for a martian.
    source: CLIENT_INNER,
    destination: GATEWAY_INNER,
    protocol: 1,
    type: 3,
    code: 4,
    mtu: MTU,
    quoted: packet.slice(0, 576 - 28),
  }]);
  assertEquals(client.tun.written, []);
  assertEquals(gateway.dropped(DropReason.fragmentationNeeded), 1);
});

Deno.test("what fits the path passes, and nobody is told of what may be divided", () => {
  const { gateway, client, simulation } = narrowPair();
  const packets = [toClient(MTU), toClient(1420, { dontFragment: false })] as const;
  gateway.send(...packets);
  simulation.run(20);
  const [first, ...others] = client.tun.written;
  assertEquals([first, reassemble(others)], packets);
  assertEquals(gateway.tun.written, []);
});

Deno.test("a sender is told once a second for each destination, and loses no other packet", () => {
  const { gateway, client, simulation } = narrowPair();
  for (let second = 0; second < 3; second++) {
    for (let i = 0; i < 10; i++) gateway.send(toClient(1400));
    simulation.run(1000);
    assertEquals(gateway.tun.written.length, second + 1);
  }
  gateway.send(toClient(1400), toClient(1400, { source: "10.66.77.100" }));
  simulation.run(20);
  assertEquals(gateway.tun.written.length, 5);
  assertEquals(client.tun.written.length, 27);
});

Deno.test("there is no error about an error", () => {
  const { gateway, client, simulation } = narrowPair();
  const error = { source: GATEWAY_INNER, destination: CLIENT_INNER, type: 3, dontFragment: true };
  gateway.send(buildIcmp({ ...error, payload: new Uint8Array(1300) }));
  simulation.run(20);
  assertEquals([gateway.tun.written.length, client.tun.written.length], [0, 1]);
});

Deno.test("a super-packet of segments that are too long is refused as one, then passed", () => {
  const pair = narrowPair();
  const { gateway, client, simulation } = pair;
  // struct virtio_net_hdr: checksum partial, TCPv4, headers of 40 bytes, segments of 1,380, checksum 16 bytes from 20.
  const header = Uint8Array.of(1, 1, 40, 0, 1380 & 0xff, 1380 >> 8, 20, 0, 16, 0);
  const addresses = { source: GATEWAY_INNER, destination: CLIENT_INNER, dontFragment: true };
  const packet = buildTcp({ ...addresses, payload: new Uint8Array(13_800) });
  gateway.tun.send(packet, header);
  gateway.tun.send(packet, header);
  gateway.readTun();
  simulation.run(20);
  assertEquals(gateway.tun.written.length, 1);
  assertEquals(gateway.dropped(DropReason.fragmentationNeeded), 1);
  assertEquals(client.tun.written.map(({ length }) => length), new Array(10).fill(1420));
  assertEquals(sentBy(pair, gateway, TRANSPORT).length, 10);
});

Deno.test("one client is told through its tunnel of the narrow path to another, which is none of its own", () => {
  const simulation = new Simulation();
  const gateway = simulation.addDevice({
    name: "gateway",
    address: "198.51.100.1",
    tunnelAddress: "10.66.77.1/24",
    isGateway: true,
  });
  const [alice, bob] = ["10.66.77.2", "10.66.77.3"].map((inner, i) => {
    const tunnelAddress = `${inner}/24`;
    const client = simulation.addDevice({
      name: inner,
      address: `192.0.2.${i + 2}`,
      tunnelAddress,
    });
    client.initiate(client.addPeer(gateway, ["10.66.77.0/24"], { endpoint: gateway }));
    return { client, peer: gateway.addPeer(client, [`${inner}/32`]) };
  });
  simulation.run(100);
  bob!.peer.mtu = MTU;
  const fields = { dontFragment: true, payload: new Uint8Array(1300) };
  const toBob = buildUdp({ source: "10.66.77.2", destination: "10.66.77.3", ...fields });
  const toAlice = buildUdp({ source: "10.66.77.3", destination: "10.66.77.2", ...fields });
  alice!.client.send(toBob);
  bob!.client.send(toAlice);
  simulation.run(20);
  const [error, arrived] = alice!.client.tun.written;
  assertEquals(readError(error!), {
    source: "10.66.77.3",
    destination: "10.66.77.2",
    protocol: 1,
    type: 3,
    code: 4,
    mtu: MTU,
    quoted: toBob.slice(0, 576 - 28),
  });
  assertEquals(arrived, toAlice);
  assertEquals(bob!.client.tun.written, []);
});
