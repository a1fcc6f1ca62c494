/** Tests of lib/core/engine/inner_ipv6.ts, in the pipeline: IPv6 between a gateway, its host and two clients. */
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { Ecn } from "../../../../lib/core/wire/ecn.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { buildUdp, type Bytes } from "../../../support/packets/packet_builder.ts";
import {
  buildIcmp6,
  buildTcp6,
  buildUdp6,
  bytes6,
  transportChecksum6,
} from "../../../support/packets/packet_builder6.ts";
import * as reference from "../../../support/offload/reference.ts";
import type { SimulatedDevice } from "../../../support/packets/simulated_device.ts";
import { Simulation } from "../../../support/packets/simulation.ts";

const GATEWAY = "fd00:77::1";
const ALICE = "fd00:77::2";
const BOB = "fd00:77::3";

interface World {
  readonly simulation: Simulation;
  readonly gateway: SimulatedDevice;
  readonly alice: SimulatedDevice;
  readonly bob: SimulatedDevice;
}

/** A gateway and two clients of it, all connected, with both families inside unless told otherwise. */
function world(
  workers: number | undefined,
  { clientToClient = true, hasIpv6 = true, rateLimit = null as number | null } = {},
): World {
  const simulation = new Simulation();
  const six = (address: string) => hasIpv6 ? { tunnelAddress6: `${address}/64` } : {};
  const gateway = simulation.addDevice({
    name: "gateway",
    address: "198.51.100.1",
    tunnelAddress: "10.66.77.1/24",
    ...six(GATEWAY),
    isGateway: true,
    clientToClient,
    ...(workers !== undefined && { workers }),
  });
  const [alice, bob] = [ALICE, BOB].map((inner, i) => {
    const client = simulation.addDevice({
      name: inner,
      address: `192.0.2.${i + 2}`,
      tunnelAddress: `10.66.77.${i + 2}/24`,
      ...six(inner),
    });
    const { address, port } = gateway;
    const networks = ["10.66.77.0/24", "::/0"];
    client.initiate(client.addPeer(gateway, networks, { endpoint: { address, port } }));
    gateway.addPeer(client, [`10.66.77.${i + 2}/32`, `${inner}/128`], { rateLimit });
    return client;
  }) as [SimulatedDevice, SimulatedDevice];
  simulation.run(100);
  return { simulation, gateway, alice, bob };
}

const toGateway = (fields = {}) => buildUdp6({ source: ALICE, destination: GATEWAY, ...fields });
const toBob = (fields = {}) => buildUdp6({ source: ALICE, destination: BOB, ...fields });

/** What an ICMPv6 error says; fails where its checksum is wrong. */
function readError(packet: Bytes): unknown {
  const [source, destination] = [packet.slice(8, 24), packet.slice(24, 40)];
  const message = packet.slice(40);
  const text = (bytes: Bytes) =>
    [GATEWAY, ALICE, BOB, "2001:db8::1"].find((each) => bytes6(each).join() === bytes.join()) ?? "";
  const fields = { source: text(source), destination: text(destination) };
  const checksum = message[2]! * 256 + message[3]!;
  message.fill(0, 2, 4);
  assertEquals(transportChecksum6(fields, 58, message), checksum);
  assertEquals([packet[0], packet[6], packet[4]! * 256 + packet[5]!], [0x6c, 58, message.length]);
  const mtu = new DataView(message.buffer).getUint32(4);
  return { ...fields, type: message[0], code: message[1], mtu, quoted: message.slice(8) };
}

for (const workers of [undefined, 2]) {
  const how = workers === undefined ? "by one thread" : `by ${workers} packet workers`;

  Deno.test(`packets of IPv6 reach the gateway's host, and its answers the client: ${how}`, () => {
    const { simulation, gateway, alice } = world(workers);
    const up = toGateway({ payload: Uint8Array.of(1, 2, 3) });
    const down = buildUdp6({ source: GATEWAY, destination: ALICE });
    alice.send(up);
    gateway.send(down);
    simulation.run(200);
    assertEquals(gateway.tun.written, [up]);
    assertEquals(alice.tun.written, [down]);
  });

  Deno.test(`from one client to another a packet goes one hop: ${how}`, () => {
    const { simulation, gateway, alice, bob } = world(workers);
    alice.send(toBob({ hopLimit: 64 }), toBob({ hopLimit: 2 }));
    simulation.run(200);
    assertEquals(bob.tun.written, [toBob({ hopLimit: 63 }), toBob({ hopLimit: 1 })]);
    assertEquals(gateway.tun.written, []);
  });

  Deno.test(`a packet whose hops are used up is answered: time exceeded: ${how}`, () => {
    const { simulation, gateway, alice, bob } = world(workers);
    const packet = toBob({ hopLimit: 1 });
    alice.send(packet);
    simulation.run(200);
    assertEquals(bob.tun.written, []);
    assertEquals(gateway.dropped(DropReason.ttlExceeded), 1);
    const [error] = alice.tun.written;
    const said = { source: GATEWAY, destination: ALICE, type: 3, code: 0, mtu: 0, quoted: packet };
    assertEquals(readError(error!), said);
  });

  Deno.test(`a packet whose source is not its sender's is dropped: ${how}`, () => {
    const { simulation, gateway, alice } = world(workers);
    for (const source of [BOB, GATEWAY, "fd00:77::9", "2001:db8::1"]) {
      alice.send(buildUdp6({ source, destination: source === GATEWAY ? BOB : GATEWAY }));
    }
    simulation.run(200);
    assertEquals(gateway.dropped(DropReason.spoofedSource), 4);
    assertEquals(gateway.tun.written, []);
  });

  Deno.test(`an ICMPv6 error passes if it is about what was on its way to its sender, and else is dropped: ${how}`, () => {
    const { simulation, gateway, alice, bob } = world(workers);
    const error = (destination: string, quoted: { source: string; destination: string }) =>
      buildIcmp6({ source: ALICE, destination, type: 2, payload: buildUdp6(quoted) });
    const own = error(GATEWAY, { source: GATEWAY, destination: ALICE });
    alice.send(
      own,
      error(BOB, { source: BOB, destination: ALICE }),
      error(GATEWAY, { source: GATEWAY, destination: BOB }),
      error(GATEWAY, { source: BOB, destination: GATEWAY }),
      error(BOB, { source: BOB, destination: "2001:db8::1" }),
      buildIcmp6({ source: ALICE, destination: GATEWAY, type: 2 }),
    );
    simulation.run(200);
    assertEquals(gateway.dropped(DropReason.foreignIcmpError), 4);
    assertEquals(gateway.tun.written, [own]);
    assertEquals(bob.tun.written.length, 1);
  });

  Deno.test(`what goes nowhere is answered: no route to outside, nor to an address inside that is nobody's: ${how}`, () => {
    const { simulation, gateway, alice } = world(workers);
    const outside = buildUdp6({ source: ALICE, destination: "2001:db8::1" });
    alice.send(outside, buildUdp6({ source: ALICE, destination: "fd00:77::9" }));
    simulation.run(200);
    assertEquals(gateway.dropped(DropReason.noEgress), 1);
    assertEquals(gateway.dropped(DropReason.noRoute), 1);
    assertEquals(alice.tun.written.map((error) => error.slice(40, 42)), [
      Uint8Array.of(1, 0),
      Uint8Array.of(1, 0),
    ]);
    const said = { source: GATEWAY, destination: ALICE, type: 1, code: 0, mtu: 0 };
    assertEquals(readError(alice.tun.written[0]!), { ...said, quoted: outside });
  });

  Deno.test(`where one client may not reach another, it is told so: prohibited: ${how}`, () => {
    const { simulation, gateway, alice, bob } = world(workers, { clientToClient: false });
    const packet = toBob();
    alice.send(packet);
    simulation.run(200);
    assertEquals(bob.tun.written, []);
    assertEquals(gateway.dropped(DropReason.clientToClientOff), 1);
    const said = { source: GATEWAY, destination: ALICE, type: 1, code: 1, mtu: 0, quoted: packet };
    assertEquals(readError(alice.tun.written[0]!), said);
  });

  Deno.test(`errors are never answered, nor are later fragments, and a peer gets ten a second: ${how}`, () => {
    const { simulation, gateway, alice } = world(workers);
    const outside = { source: ALICE, destination: "2001:db8::1" };
    const payload = buildUdp6({ source: "2001:db8::1", destination: ALICE });
    alice.send(buildIcmp6({ ...outside, type: 1, payload }));
    alice.send(buildIcmp6({ ...outside, type: 3, payload }));
    const later = [[44, [0, 0, 0, 64, 0, 0, 0, 1]]] as const;
    alice.send(buildUdp6({ ...outside, extensions: later }));
    simulation.run(200);
    assertEquals(alice.tun.written, []);
    assertEquals(gateway.dropped(DropReason.noEgress), 3);
    for (let i = 0; i < 20; i++) alice.send(buildIcmp6(outside));
    simulation.run(200);
    assertEquals(alice.tun.written.length, 10);
  });

  Deno.test(`a packet longer than the path to a peer is refused once a second, and goes on otherwise: ${how}`, () => {
    const { simulation, gateway, alice } = world(workers);
    const narrow = [...gateway.device.peers][0]!;
    narrow.mtu = 1300;
    const long = buildUdp6({ source: GATEWAY, destination: ALICE, payload: new Uint8Array(1300) });
    gateway.send(long, long);
    simulation.run(200);
    const said = { source: ALICE, destination: GATEWAY, type: 2, code: 0, mtu: 1300 };
    const quoted = long.slice(0, 1280 - 48);
    assertEquals(gateway.tun.written.map(readError), [{ ...said, quoted }]);
    assertEquals(alice.tun.written, [long]);
  });

  Deno.test(`no path takes less than 1280 bytes, as every link of IPv6 has to: ${how}`, () => {
    const { simulation, gateway, alice } = world(workers);
    for (const peer of gateway.device.peers) peer.mtu = 1000;
    const sized = (length: number) =>
      buildUdp6({ source: GATEWAY, destination: ALICE, payload: new Uint8Array(length - 48) });
    gateway.send(sized(1280), sized(1281));
    simulation.run(200);
    assertEquals(alice.tun.written, [sized(1280)]);
    const [error] = gateway.tun.written;
    assertEquals((readError(error!) as { mtu: number }).mtu, 1280);
  });

  Deno.test(`a super-packet of the host's leaves as packets: ${how}`, () => {
    const { simulation, gateway, alice } = world(workers);
    const fields = { source: GATEWAY, destination: ALICE };
    const payload = new Uint8Array(2500).map((_, i) => i);
    const header = reference.virtioHeader({ type: 4, segmentSize: 1000 });
    gateway.tun.send(buildTcp6({ ...fields, payload }), header);
    gateway.readTun();
    simulation.run(200);
    const parts = [0, 1000, 2000].map((at) =>
      buildTcp6({ ...fields, sequenceNumber: 1 + at, payload: payload.subarray(at, at + 1000) })
    );
    assertEquals(alice.tun.written, parts);
  });

  Deno.test(`what the host sends to nobody's address is answered to it, in the name of that address: ${how}`, () => {
    const { simulation, gateway } = world(workers);
    const packet = buildUdp6({ source: GATEWAY, destination: "2001:db8::1" });
    gateway.send(packet);
    simulation.run(200);
    assertEquals(gateway.dropped(DropReason.noRoute), 1);
    const said = { source: "2001:db8::1", destination: GATEWAY, type: 1, code: 0, mtu: 0 };
    assertEquals(readError(gateway.tun.written[0]!), { ...said, quoted: packet });
  });

  Deno.test(`ECN is taken over from outside, and a mark that nobody answers to drops the packet: ${how}`, () => {
    const { simulation, gateway, alice } = world(workers);
    simulation.onDatagram = (datagram, sender) => {
      if (sender !== alice) return true;
      const { address, port } = alice;
      gateway.receive(datagram.bytes, { address, port, ecn: Ecn.ce });
      return false;
    };
    alice.send(toGateway({ trafficClass: Ecn.ect0 }), toGateway());
    simulation.run(200);
    assertEquals(gateway.tun.written, [toGateway({ trafficClass: Ecn.ce })]);
    assertEquals(gateway.dropped(DropReason.congestionMark), 1);
  });

  Deno.test(`a packet over its peer's rate that answers to marks is marked in place of being dropped, and nothing else of it changes: ${how}`, () => {
    for (const ecn of [Ecn.ect0, Ecn.notEct]) {
      const { simulation, gateway, alice } = world(workers, { rateLimit: 1e6 });
      // Marked by CoDel: a queue that stays longer than an interval.
      const packet = (trafficClass: number) =>
        buildUdp6({
          source: GATEWAY,
          destination: ALICE,
          trafficClass: 0xb8 | trafficClass,
          flowLabel: 0xfffff,
          payload: new Uint8Array(1_000),
        });
      for (let i = 0; i < 300; i++) {
        gateway.send(packet(ecn));
        simulation.run(i < 40 ? 0 : 9);
      }
      simulation.run(1_000);
      const { written } = alice.tun;
      const marked = written.filter((bytes) => bytes.join() === packet(Ecn.ce).join()).length;
      const lost = gateway.dropped(DropReason.rateLimited);
      assertEquals([marked > 0, lost > 0], ecn === Ecn.ect0 ? [true, false] : [false, true]);
      const whole = written.filter((bytes) => bytes.join() === packet(ecn).join()).length;
      assertEquals(whole + marked + lost, 300);
    }
  });

  Deno.test(`the datagram that carries a packet has its ECN bits: ${how}`, () => {
    const { simulation, alice } = world(workers);
    const marks: number[] = [];
    const { onSent } = alice.udp;
    alice.udp.onSent = (queue, index) => {
      marks.push(queue.ecns[index]!);
      onSent?.(queue, index);
    };
    alice.send(toGateway({ trafficClass: 0xb8 | Ecn.ect0, flowLabel: 0x30000 }), toGateway());
    simulation.run(200);
    assertEquals(marks, [Ecn.ect0, Ecn.notEct]);
  });

  Deno.test(`neither end lets neighbour discovery or multicast through: ${how}`, () => {
    const { simulation, gateway, alice } = world(workers);
    alice.send(buildIcmp6({ source: ALICE, destination: GATEWAY, type: 134 }));
    alice.send(buildUdp6({ source: ALICE, destination: "ff02::fb" }));
    alice.send(buildIcmp6({ source: "fe80::2", destination: "ff02::2", type: 133 }));
    simulation.run(200);
    assertEquals(alice.dropped(DropReason.linkOnly), 1);
    assertEquals(alice.dropped(DropReason.badDestination), 2);
    assertEquals(gateway.tun.written, []);
  });

  Deno.test(`a peer's limit counts IPv6 as well: ${how}`, () => {
    const { simulation, gateway, alice } = world(workers, { rateLimit: 8000 });
    for (let i = 0; i < 200; i++) alice.send(toGateway({ payload: new Uint8Array(1300) }));
    simulation.run(200);
    assert(gateway.dropped(DropReason.rateLimited) > 50);
  });

  Deno.test(`without an IPv6 address of its own, an end drops IPv6 both ways, and carries IPv4: ${how}`, () => {
    const { simulation, gateway, alice } = world(workers, { hasIpv6: false });
    alice.send(toGateway());
    gateway.send(buildUdp6({ source: GATEWAY, destination: ALICE }));
    alice.send(buildUdp());
    simulation.run(200);
    assertEquals([alice, gateway].map((end) => end.dropped(DropReason.ipv6)), [1, 1]);
    assertEquals(gateway.tun.written, [buildUdp()]);
    assertEquals(alice.tun.written, []);
  });

  Deno.test(`an end without an IPv6 address drops what a peer with one sends: ${how}`, () => {
    const { simulation, alice, bob } = world(workers);
    const plain = simulation.addDevice({
      name: "plain",
      address: "198.51.100.9",
      tunnelAddress: "10.66.77.9/24",
    });
    const { address, port } = plain;
    alice.initiate(alice.addPeer(plain, ["fd00:99::/64"], { endpoint: { address, port } }));
    plain.addPeer(alice, ["10.66.77.2/32", `${ALICE}/128`]);
    simulation.run(200);
    alice.send(buildUdp6({ source: ALICE, destination: "fd00:99::1" }));
    simulation.run(200);
    assertEquals(plain.dropped(DropReason.ipv6), 1);
    assertEquals([plain.tun.written, bob.tun.written], [[], []]);
  });
}
