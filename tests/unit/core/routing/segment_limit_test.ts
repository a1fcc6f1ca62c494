/** Tests of lib/core/routing/segment_limit.ts, in the pipeline: the MSS that TCP's ends hear of over a narrow path. */
import { assertEquals } from "../../../support/assert.ts";
import * as reference from "../../../support/offload/reference.ts";
import {
  buildIpv4,
  buildTcp,
  type Bytes,
  tcpSegment,
} from "../../../support/packets/packet_builder.ts";
import { buildTcp6, bytes6, transportChecksum6 } from "../../../support/packets/packet_builder6.ts";
import type { SimulatedDevice } from "../../../support/packets/simulated_device.ts";
import { Simulation } from "../../../support/packets/simulation.ts";
import type { Peer } from "../../../../lib/core/wireguard/peer.ts";

const SYN = 0x02;
const ACK = 0x10;
const MTU = 1216;

interface World {
  readonly simulation: Simulation;
  readonly gateway: SimulatedDevice;
  readonly clients: readonly { readonly client: SimulatedDevice; readonly peer: Peer }[];
}

/** A gateway and two clients of it, with both families inside. */
function world(): World {
  const simulation = new Simulation();
  const gateway = simulation.addDevice({
    name: "gateway",
    address: "198.51.100.1",
    tunnelAddress: "10.66.77.1/24",
    tunnelAddress6: "fd00:77::1/64",
    isGateway: true,
  });
  const clients = [2, 3].map((number) => {
    const client = simulation.addDevice({
      name: `client ${number}`,
      address: `192.0.2.${number}`,
      tunnelAddress: `10.66.77.${number}/24`,
      tunnelAddress6: `fd00:77::${number}/64`,
    });
    const networks = ["10.66.77.0/24", "fd00:77::/64"];
    client.initiate(client.addPeer(gateway, networks, { endpoint: gateway }));
    const peer = gateway.addPeer(client, [`10.66.77.${number}/32`, `fd00:77::${number}/128`]);
    return { client, peer };
  });
  simulation.run(100);
  return { simulation, gateway, clients };
}

const mssOption = (mss: number) => [2, 4, mss >> 8, mss & 0xff];

/** Families: how a segment from one number to another is made, and what a packet says of the MSS. */
const FAMILIES = {
  "IPv4": {
    overhead: 40,
    segment: (from: number, to: number, fields: object) =>
      buildTcp({ source: `10.66.77.${from}`, destination: `10.66.77.${to}`, ...fields }),
    mssOf: (packet: Bytes) => {
      assertEquals(reference.withRightChecksums(packet), packet, "a checksum is wrong");
      return packet[42]! * 256 + packet[43]!;
    },
  },
  "IPv6": {
    overhead: 60,
    segment: (from: number, to: number, fields: object) =>
      buildTcp6({ source: `fd00:77::${from}`, destination: `fd00:77::${to}`, ...fields }),
    mssOf: (packet: Bytes) => {
      const names = ["fd00:77::1", "fd00:77::2", "fd00:77::3"];
      const nameAt = (at: number) =>
        names.find((each) => bytes6(each).join() === packet.slice(at, at + 16).join())!;
      const segment = packet.slice(40);
      const checksum = segment[16]! * 256 + segment[17]!;
      segment.fill(0, 16, 18);
      const ends = { source: nameAt(8), destination: nameAt(24) };
      assertEquals(transportChecksum6(ends, 6, segment), checksum, "the checksum is wrong");
      return packet[62]! * 256 + packet[63]!;
    },
  },
} as const;

for (const [family, { overhead, segment, mssOf }] of Object.entries(FAMILIES)) {
  Deno.test(`who opens a connection over a narrow path, and who takes it, hear what that takes, ${family}`, () => {
    for (const flags of [SYN, SYN | ACK]) {
      const { simulation, gateway, clients: [one, other] } = world();
      one!.peer.mtu = MTU;
      other!.peer.mtu = 1300;
      /** The MSS with which what is announced as `mss` arrives. */
      const hear = (sender: SimulatedDevice, receiver: SimulatedDevice, packet: Bytes) => {
        receiver.tun.written.length = 0;
        sender.send(packet);
        simulation.run(20);
        assertEquals(receiver.tun.written.length, 1);
        return mssOf(receiver.tun.written[0]!);
      };
      const from = (source: number, to: number, mss = 1380) =>
        segment(source, to, { flags, tcpOptions: [...mssOption(mss), 1, 3, 3, 7] });
      const most = MTU - overhead;
      const { client } = one!;
      assertEquals(hear(gateway, client, from(1, 2)), most);
      assertEquals(hear(gateway, client, from(1, 2, most + 1)), most);
      assertEquals(hear(gateway, client, from(1, 2, most - 1)), most - 1);
      assertEquals(hear(gateway, other!.client, from(1, 3)), 1300 - overhead);
      assertEquals(hear(client, gateway, from(2, 1)), most);
      assertEquals(hear(client, other!.client, from(2, 3)), most);
      assertEquals(hear(other!.client, client, from(3, 2)), most);
    }
  });
}

Deno.test("what is no SYN passes as it is, options or not, and so does a later fragment that looks like one", () => {
  const { simulation, gateway, clients } = world();
  const { client, peer } = clients[0]!;
  peer.mtu = MTU;
  const tcpOptions = mssOption(1380);
  const addresses = { source: "10.66.77.1", destination: "10.66.77.2" };
  const packets = [
    buildTcp({ ...addresses, flags: ACK, tcpOptions }),
    buildIpv4({
      ...addresses,
      protocol: 6,
      fragmentOffset: 100,
      payload: tcpSegment({ flags: SYN, tcpOptions }, () => 0),
    }),
    buildIpv4({
      ...addresses,
      protocol: 17,
      fragmentOffset: 100,
      payload: tcpSegment({ flags: SYN, tcpOptions }, () => 0),
    }),
    FAMILIES.IPv6.segment(1, 2, { flags: ACK, tcpOptions }),
  ];
  gateway.send(...packets);
  simulation.run(20);
  assertEquals(client.tun.written, packets);
});

Deno.test("a SYN that its ends authenticate passes as it is: changed, it would be dropped by whom it is for", () => {
  const { simulation, gateway, clients } = world();
  const { client, peer } = clients[0]!;
  peer.mtu = MTU;
  const value = Array.from({ length: 12 }, (_, i) => i);
  // RFC 5925: the kind, the length, the ids of keys, a code of 12 bytes.
  const tcpOptions = [...mssOption(1380), 29, 16, 1, 1, ...value];
  // RFC 4302: its length in words less two, an index of four bytes, a number of four, a code of 12.
  const authentication = [0, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, ...value];
  const packets = [
    FAMILIES.IPv4.segment(1, 2, { flags: SYN, tcpOptions }),
    FAMILIES.IPv6.segment(1, 2, { flags: SYN | ACK, tcpOptions }),
    FAMILIES.IPv6.segment(1, 2, {
      flags: SYN,
      tcpOptions: mssOption(1380),
      extensions: [[51, authentication]],
    }),
  ];
  gateway.send(...packets);
  simulation.run(20);
  assertEquals(client.tun.written, packets);
});
