/**
 * Tests of lib/core/engine/pipeline.ts: packets from a socket to the host and to other peers, and from the host to
 * peers.
 */
import { parseIpv4 } from "../../../../lib/core/wire/ipv4_text.ts";
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { Ecn } from "../../../../lib/core/wire/ecn.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import {
  buildIcmp,
  buildIpv4,
  buildTcp,
  buildUdp,
  fragment,
} from "../../../support/packets/packet_builder.ts";
import { ipv4, type SimulatedDevice } from "../../../support/packets/simulated_device.ts";
import { Simulation } from "../../../support/packets/simulation.ts";
import {
  connectedPair,
  downward,
  receivedTexts,
  upward,
} from "../../../support/packets/tunnel_pair.ts";

const ALICE = "10.66.77.2";
const BOB = "10.66.77.3";

/** A gateway and two clients of it, all connected. */
function gatewayWithTwo(clientToClient: boolean): {
  simulation: Simulation;
  gateway: SimulatedDevice;
  alice: SimulatedDevice;
  bob: SimulatedDevice;
} {
  const simulation = new Simulation();
  const gateway = simulation.addDevice({
    name: "gateway",
    address: "198.51.100.1",
    tunnelAddress: "10.66.77.1/24",
    isGateway: true,
    clientToClient,
  });
  const [alice, bob] = [ALICE, BOB].map((inner, i) => {
    const client = simulation.addDevice({
      name: inner,
      address: `192.0.2.${i + 2}`,
      tunnelAddress: `${inner}/24`,
    });
    const { address, port } = gateway;
    client.initiate(client.addPeer(gateway, ["10.66.77.0/24"], { endpoint: { address, port } }));
    gateway.addPeer(client, [`${inner}/32`]);
    return client;
  }) as [SimulatedDevice, SimulatedDevice];
  simulation.run(100);
  return { simulation, gateway, alice, bob };
}

/** Where a device's datagrams come from. */
function from({ address, port }: SimulatedDevice): { address: number; port: number } {
  return { address, port };
}

Deno.test("a packet whose source is not its sender's is dropped", () => {
  const { simulation, gateway, alice, bob } = gatewayWithTwo(true);
  for (const source of [BOB, "10.66.77.1", "10.66.77.9", "8.8.8.8"]) {
    const destination = source === BOB ? "10.66.77.1" : BOB;
    alice.send(buildUdp({ source, destination }));
  }
  simulation.run(100);
  assertEquals(gateway.dropped(DropReason.spoofedSource), 4);
  assertEquals([gateway.tun.written, bob.tun.written], [[], []]);
});

Deno.test("an address that a peer has used is another's as soon as the configuration says so, and the peer's again", () => {
  const { simulation, gateway, alice, bob } = gatewayWithTwo(true);
  const { allowedIps } = gateway.device;
  const [first, second] = [ALICE, BOB].map((inner) => allowedIps.lookup(parseIpv4(inner)!)!);
  const packet = buildUdp({ source: ALICE, destination: "10.66.77.1" });
  const counts = () => {
    simulation.run(100);
    return [gateway.tun.written.length, gateway.dropped(DropReason.spoofedSource)];
  };
  alice.send(packet, packet);
  assertEquals(counts(), [2, 0]);
  allowedIps.insert(parseIpv4(ALICE)!, 32, second!);
  alice.send(packet);
  assertEquals(counts(), [2, 1]);
  bob.send(packet, packet);
  assertEquals(counts(), [4, 1]);
  allowedIps.removeByValue(second!);
  bob.send(packet);
  alice.send(packet);
  assertEquals(counts(), [4, 3]);
  allowedIps.insert(parseIpv4(ALICE)!, 32, first!);
  alice.send(packet, buildUdp({ source: BOB, destination: "10.66.77.1" }), packet);
  assertEquals(counts(), [6, 4]);
});

Deno.test("an ICMP error of a client's passes if it is about what was on its way to that client, and else is dropped", () => {
  const { simulation, gateway, alice, bob } = gatewayWithTwo(true);
  const server = "10.66.77.1";
  const error = (destination: string, quoted: { source: string; destination: string }) =>
    buildIcmp({ source: ALICE, destination, type: 3, payload: buildUdp(quoted) });
  const own = error(server, { source: server, destination: ALICE });
  alice.send(
    own,
    error(BOB, { source: BOB, destination: ALICE }),
    // Of Bob's flows, both ways, to their other end, and as the NAT of the host has them.
    error(server, { source: server, destination: BOB }),
    error(server, { source: BOB, destination: server }),
    error(server, { source: "192.0.2.1", destination: "203.0.113.9" }),
    error(BOB, { source: BOB, destination: server }),
    // What it has sent itself.
    error(server, { source: ALICE, destination: server }),
    buildIcmp({ source: ALICE, destination: server, type: 3 }),
  );
  simulation.run(100);
  assertEquals(gateway.dropped(DropReason.foreignIcmpError), 6);
  assertEquals(gateway.tun.written, [own]);
  assertEquals(bob.tun.written.length, 1);
});

Deno.test("a client takes nothing from its gateway that is not within the allowed IPs", () => {
  const { simulation, gateway, client } = connectedPair();
  gateway.send(buildUdp({ source: "8.8.8.8", destination: ALICE }));
  simulation.run(100);
  assertEquals(client.dropped(DropReason.spoofedSource), 1);
  assertEquals(client.tun.written, []);
});

Deno.test("one client reaches another through the gateway, byte for byte", () => {
  const { simulation, gateway, alice, bob } = gatewayWithTwo(true);
  const packet = buildUdp({ source: ALICE, destination: BOB, payload: new Uint8Array(1001) });
  alice.send(packet);
  simulation.run(100);
  assertEquals(bob.tun.written, [packet]);
  assertEquals(gateway.tun.written, []);
  assertEquals(gateway.drops.total, 0);
});

Deno.test("one client does not reach another where ClientToClient is off", () => {
  const { simulation, gateway, alice, bob } = gatewayWithTwo(false);
  alice.send(buildUdp({ source: ALICE, destination: BOB }));
  alice.send(buildUdp({ source: ALICE, destination: "10.66.77.1" }));
  simulation.run(100);
  assertEquals(gateway.dropped(DropReason.clientToClientOff), 1);
  assertEquals(bob.tun.written, []);
  assertEquals(gateway.tun.written.length, 1);
});

for (
  const [what, destination] of [
    ["a link-local one", "169.254.169.254"],
    ["loopback", "127.0.0.1"],
    ["multicast", "224.0.0.251"],
    ["class E", "240.0.0.1"],
    ["the broadcast address", "255.255.255.255"],
    ["this network", "0.1.2.3"],
  ] as const
) {
  Deno.test(`no address is forwarded to another client, whatever it is allowed: ${what}`, () => {
    const { simulation, gateway, alice, bob } = gatewayWithTwo(true);
    gateway.device.allowedIps.insert(
      ipv4(destination),
      32,
      gateway.device.allowedIps.lookup(ipv4(BOB))!,
    );
    const packet = buildUdp({ source: ALICE, destination });
    // Past the client's own checks: a peer may run anything.
    alice.memory.bytes.set(packet, 0);
    alice.device.send(alice.device.allowedIps.lookup(ipv4(BOB))!, 0, packet.length, simulation.now);
    alice.poll();
    simulation.run(100);
    assertEquals(gateway.dropped(DropReason.badDestination), 1, gateway.dropReport());
    assertEquals(bob.tun.written, []);
  });
}

Deno.test("packets that one client sends another while it is not connected wait for it", () => {
  const { simulation, gateway, alice, bob } = gatewayWithTwo(true);
  simulation.run(200_000);
  alice.send(buildUdp({ source: ALICE, destination: BOB }));
  simulation.run(100);
  assertEquals(bob.tun.written.length, 1);
  assertEquals(gateway.drops.total, 0);
});

Deno.test("padding does not reach the host: a packet is as long as its header says", () => {
  const pair = connectedPair();
  for (let size = 0; size < 20; size++) {
    pair.client.send(buildUdp({ payload: new Uint8Array(size).fill(0xff) }));
  }
  pair.simulation.run(100);
  assertEquals(
    pair.gateway.tun.written.map(({ length }) => length),
    Array.from({ length: 20 }, (_, size) => 28 + size),
  );
});

Deno.test("fragments pass in both directions", () => {
  const pair = connectedPair();
  const whole = buildUdp({ payload: new Uint8Array(3000).fill(7) });
  const fragments = fragment(whole, 1400);
  pair.client.send(...fragments);
  pair.simulation.run(100);
  assertEquals(pair.gateway.tun.written, fragments);
});

Deno.test("a bad packet from the host is dropped by reason, before anything is sent", () => {
  const pair = connectedPair();
  const { client } = pair;
  const cases: [Uint8Array, DropReason][] = [
    [new Uint8Array(0), DropReason.empty],
    [Uint8Array.of(0x60, ...new Array(39).fill(0)), DropReason.ipv6],
    [buildIpv4({ version: 5 }), DropReason.badVersion],
    [buildIpv4({ headerChecksum: 1 }), DropReason.badHeaderChecksum],
    [buildIpv4({ destination: "224.0.0.1" }), DropReason.badDestination],
    [buildUdp({ destination: "8.8.8.8" }), DropReason.noRoute],
  ];
  for (const [packet, reason] of cases) {
    client.send(packet);
    assertEquals(client.dropped(reason), 1, `${reason}`);
  }
  assertEquals(client.drops.total, cases.length);
  assertEquals(pair.sent, []);
});

Deno.test("a bad packet from a peer is dropped by reason, though it was authentic", () => {
  const pair = connectedPair();
  const { client, gateway, toGateway, simulation } = pair;
  const cases: [Uint8Array, DropReason][] = [
    [Uint8Array.of(0x60, ...new Array(39).fill(0)), DropReason.ipv6],
    [Uint8Array.of(0), DropReason.badVersion],
    [buildIpv4({ totalLength: 1000 }), DropReason.badTotalLength],
    [buildIpv4({ headerChecksum: 1 }), DropReason.badHeaderChecksum],
    [buildIpv4({ source: "127.0.0.1" }), DropReason.badSource],
    [buildTcp({ dataOffset: 4 }), DropReason.shortTransportHeader],
  ];
  for (const [packet, reason] of cases) {
    // Past the client's own checks: a peer may run anything.
    client.memory.bytes.set(packet, 0);
    client.device.send(toGateway, 0, packet.length, simulation.now);
    client.poll();
    simulation.run(20);
    assert(gateway.dropped(reason) > 0, `${reason}: ${gateway.dropReport()}`);
  }
  assertEquals(gateway.drops.total, cases.length);
  assertEquals(gateway.tun.written, []);
});

Deno.test("a gateway without egress drops what is for outside", () => {
  const pair = connectedPair();
  pair.client.device.allowedIps.insert(0, 0, pair.toGateway);
  pair.client.send(buildUdp({ destination: "8.8.8.8" }));
  pair.simulation.run(100);
  assertEquals(pair.gateway.dropped(DropReason.noEgress), 1);
});

Deno.test("a read from the TUN that is shorter than its virtio-net header is dropped", () => {
  const { client } = connectedPair();
  client.tun.send(new Uint8Array(0), new Uint8Array(9));
  client.readTun();
  assertEquals(client.dropped(DropReason.badTunRead), 1);
});

Deno.test("a super-packet is sent as packets, all of them though the send queue is smaller", () => {
  const { client, gateway, simulation } = connectedPair();
  const payload = Uint8Array.from({ length: 60_000 }, (_, i) => i * 7);
  // struct virtio_net_hdr: checksum partial, TCPv4, headers of 40 bytes, segments of 100, checksum 16 bytes from 20.
  const header = Uint8Array.of(1, 1, 40, 0, 100, 0, 20, 0, 16, 0);
  client.tun.send(buildTcp({ payload, flags: 0x18 }), header);
  client.readTun();
  simulation.run(100);
  const { written } = gateway.tun;
  assertEquals(written.length, 600);
  const joined = new Uint8Array(60_000);
  written.forEach((packet, i) => joined.set(packet.subarray(40), i * 100));
  assertEquals(joined, payload);
  assertEquals(client.drops.total + gateway.drops.total, 0);
});

Deno.test("what is left of a super-packet goes nowhere when its peer is removed: no initiation, nothing staged, no index", () => {
  const pair = connectedPair();
  const { client, toGateway, simulation } = pair;
  let sent = 0;
  const header = Uint8Array.of(1, 1, 40, 0, 100, 0, 20, 0, 16, 0);
  simulation.onDatagram = () => {
    sent++;
    if (!toGateway.isRemoved) client.device.removePeer(toGateway);
    return false;
  };
  client.tun.send(buildTcp({ payload: new Uint8Array(60_000), flags: 0x18 }), header);
  client.readTun();
  assertEquals([toGateway.handshake, toGateway.current, toGateway.staged.length], [null, null, 0]);
  assertEquals(client.dropped(DropReason.noRoute), 600 - 256);
  // Nor does anything that still knows the peer begin something.
  client.initiate(toGateway);
  client.device.sendKeepalive(toGateway, simulation.now);
  assertEquals(client.device.sendProbe(toGateway, 576, simulation.now), false);
  simulation.run(20_000);
  assertEquals([toGateway.handshake, sent], [null, 256]);
});

Deno.test("packets of both directions in one run keep their order", () => {
  const pair = connectedPair();
  const numbers = Array.from({ length: 100 }, (_, i) => `${i}`);
  for (const number of numbers) {
    pair.client.send(upward(number));
    pair.gateway.send(downward(number));
  }
  pair.simulation.run(100);
  assertEquals(receivedTexts(pair.gateway), numbers);
  assertEquals(receivedTexts(pair.client), numbers);
});

Deno.test("what routers mark on a datagram is taken over by the packet in it, or costs it", () => {
  const { simulation, gateway, alice } = gatewayWithTwo(true);
  let outerEcn: number = Ecn.ce;
  simulation.onDatagram = ({ bytes }) => {
    gateway.receive(bytes, { ...from(alice), ecn: outerEcn });
    return false;
  };
  const send = (ecn: number) => {
    const packet = { source: ALICE, destination: "10.66.77.1", typeOfService: 0xb8 | ecn };
    alice.send(buildUdp(packet));
  };
  send(Ecn.ect0);
  send(Ecn.notEct);
  assertEquals(gateway.tun.written.map((packet) => packet[1]), [0xb8 | Ecn.ce]);
  assertEquals(gateway.dropped(DropReason.congestionMark), 1);
  outerEcn = Ecn.notEct;
  send(Ecn.ect0);
  assertEquals(gateway.tun.written.at(-1)![1], 0xb8 | Ecn.ect0);
});
