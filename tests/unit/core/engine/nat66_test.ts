/** Tests of IPv6's way outside in the pipeline: from a client through the NAT, and back from what is captured there. */
import type { Mapping } from "../../../../lib/core/nat/records.ts";
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { assertEquals } from "../../../support/assert.ts";
import { buildUdp, type Bytes } from "../../../support/packets/packet_builder.ts";
import { buildIcmp6, buildTcp6, buildUdp6 } from "../../../support/packets/packet_builder6.ts";
import type { FakeCapture } from "../../../support/packets/fake_ports.ts";
import type { SimulatedDevice } from "../../../support/packets/simulated_device.ts";
import { Simulation } from "../../../support/packets/simulation.ts";
import { EXTERNAL6, GATEWAY6, read6, REMOTE6 } from "../../../support/nat/world6.ts";

const ALICE = "fd00:77:0:0:0:0:0:2";
const BOB = "fd00:77:0:0:0:0:0:3";
/** One of the gateway's own services. */
const OTHER_PORT = 22;

interface World {
  readonly simulation: Simulation;
  readonly gateway: SimulatedDevice;
  readonly alice: SimulatedDevice;
  readonly bob: SimulatedDevice;
  /** What the gateway has sent outside. */
  readonly outside: Bytes[];
}

function world(): World {
  const simulation = new Simulation();
  const gateway = simulation.addDevice({
    name: "gateway",
    address: "198.51.100.1",
    tunnelAddress: "10.66.77.1/24",
    tunnelAddress6: "fd00:77::1/64",
    isGateway: true,
    external: "203.0.113.1",
    external6: "2001:db8:1::1",
  });
  const [alice, bob] = [ALICE, BOB].map((inner, i) => {
    const client = simulation.addDevice({
      name: inner,
      address: `192.0.2.${i + 2}`,
      tunnelAddress: `10.66.77.${i + 2}/24`,
      tunnelAddress6: `fd00:77::${i + 2}/64`,
    });
    const { address, port } = gateway;
    const networks = ["0.0.0.0/0", "::/0"];
    client.initiate(client.addPeer(gateway, networks, { endpoint: { address, port } }));
    gateway.addPeer(client, [`10.66.77.${i + 2}/32`, `fd00:77::${i + 2}/128`]);
    return client;
  }) as [SimulatedDevice, SimulatedDevice];
  simulation.run(100);
  const outside: Bytes[] = [];
  const { capture, nat: { outside: queue } } = gateway.outside6!;
  capture.onFlush = () => {
    for (let i = 0; i < queue.length; i++) {
      const at = queue.offsets[i]!;
      outside.push(gateway.memory.bytes.slice(at, at + queue.lengths[i]!));
    }
    queue.clear();
  };
  return { simulation, gateway, alice, bob, outside };
}

/** What a device's host gets for what is captured at the gateway. */
function captured(
  { simulation, gateway }: World,
  to: SimulatedDevice,
  ...all: Parameters<
    FakeCapture["arrive"]
  >
): Bytes[] {
  const before = to.tun.written.length;
  gateway.outside6!.capture.arrive(...all);
  gateway.engine.readCapture(simulation.now, true);
  simulation.run(100);
  return to.tun.written.slice(before) as Bytes[];
}

const OUT = { source: ALICE, destination: REMOTE6, sourcePort: 4000, destinationPort: 80 };

Deno.test("a client's packet leaves with the gateway's address, and its answer comes back, split where it was merged", () => {
  const the = world();
  the.alice.send(buildTcp6({ ...OUT, flags: 2 }));
  the.simulation.run(100);
  assertEquals(the.outside.length, 1, the.gateway.dropReport());
  const sent = read6(the.outside[0]!);
  assertEquals([sent.source, sent.destination, sent.hopLimit], [EXTERNAL6, REMOTE6, 63]);
  const back = { source: REMOTE6, destination: EXTERNAL6, sourcePort: 80 };
  const destinationPort = sent.sourcePort;
  const [answer] = captured(the, the.alice, buildTcp6({ ...back, destinationPort, flags: 0x12 }));
  assertEquals(read6(answer!).destinationPort, 4000);
  const payload = Uint8Array.from({ length: 3000 }, (_, i) => i);
  const merged = buildTcp6({ ...back, destinationPort, flags: 0x18, payload });
  // As the kernel has it: TCP of IPv6, in segments of 1,000 bytes.
  const header = Uint8Array.of(1, 4, 60, 0, 0xe8, 3, 40, 0, 16, 0);
  const parts = captured(the, the.alice, merged, header).map((part) => read6(part));
  assertEquals(parts.map(({ transport }) => transport.length - 20), [1000, 1000, 1000]);
  assertEquals(parts.flatMap(({ transport }) => [...transport.slice(20)]), [...payload]);
});

Deno.test("what comes from outside with an address of the inside is dropped", () => {
  const the = world();
  the.alice.send(buildUdp6(OUT));
  the.simulation.run(100);
  const destinationPort = read6(the.outside[0]!).sourcePort;
  for (const source of [BOB, GATEWAY6]) {
    const forged = buildUdp6({ source, destination: EXTERNAL6, destinationPort });
    assertEquals(captured(the, the.alice, forged), []);
  }
  assertEquals(the.gateway.dropped(DropReason.spoofedSource), 2);
});

Deno.test("the gateway's address outside leads to other clients by the NAT, and to nothing of the gateway's own", () => {
  const the = world();
  the.bob.send(buildUdp6({ ...OUT, source: BOB }));
  the.simulation.run(100);
  const destinationPort = read6(the.outside[0]!).sourcePort;
  the.alice.send(buildUdp6({ ...OUT, destination: EXTERNAL6, destinationPort }));
  the.simulation.run(100);
  const got = read6(the.bob.tun.written.at(-1)! as Bytes);
  assertEquals([got.source, got.destination, got.destinationPort], [EXTERNAL6, BOB, 4000]);
  const before = the.gateway.tun.written.length;
  for (
    const packet of [
      buildTcp6({ ...OUT, destination: EXTERNAL6, destinationPort: OTHER_PORT, flags: 2 }),
      buildIcmp6({ source: ALICE, destination: EXTERNAL6 }),
    ]
  ) {
    the.alice.send(packet);
    the.simulation.run(100);
    const error = read6(the.alice.tun.written.at(-1)! as Bytes);
    assertEquals([error.source, error.type, error.code], [GATEWAY6, 1, 1]);
  }
  assertEquals(the.gateway.tun.written.length, before);
  assertEquals(the.gateway.dropped(DropReason.privateDestination), 2);
});

Deno.test("a client that is gone holds nothing of the NAT", () => {
  const the = world();
  the.alice.send(buildUdp6(OUT));
  the.bob.send(buildUdp6({ ...OUT, source: BOB }));
  the.simulation.run(100);
  const { device, outside6 } = the.gateway;
  const { nat } = outside6!;
  const [first] = device.peers;
  assertEquals([nat.mappingCount, nat.usageOf(first).ports], [2, 1]);
  nat.releaseClient(first, the.simulation.now);
  assertEquals(nat.mappingCount, 1);
});

Deno.test("a peer keeps what its last flow to outside asked for, so that it is loaded with the peer", () => {
  const the = world();
  const alice = the.gateway.device.peerAt(1)!;
  const send = (packet: Bytes) => {
    the.alice.send(packet);
    the.simulation.run(100);
    return alice.flow;
  };
  assertEquals(alice.flow, null);
  const first = send(buildUdp6(OUT));
  assertEquals((first as Mapping).innerPort, OUT.sourcePort);
  assertEquals(send(buildUdp6(OUT)) === first, true);
  assertEquals((send(buildUdp6({ ...OUT, sourcePort: 4001 })) as Mapping).innerPort, 4001);
  const v4 = { source: "10.66.77.2", destination: "198.51.100.9", sourcePort: 4002 };
  assertEquals((send(buildUdp({ ...v4, destinationPort: 53 })) as Mapping).innerPort, 4002);
  // What asks for nothing leaves it as it is.
  assertEquals(
    (send(buildIcmp6({ source: ALICE, destination: REMOTE6 })) as Mapping).innerPort,
    4002,
  );
  the.gateway.device.removePeer(alice);
  assertEquals(alice.flow, null);
});
