/** Tests of what the NAT does to the bytes of packets: headers, checksums, MSS, sizes. */
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { assertEquals } from "../../support/assert.ts";
import { buildIpv4, buildTcp, buildUdp, type Bytes } from "../../support/packets/packet_builder.ts";
import { connect } from "../../support/nat/connection.ts";
import {
  ACK,
  addressText,
  assertSilent,
  CLIENT,
  CLIENT_2,
  EXTERNAL,
  only,
  quotedBy,
  read,
  reassemble,
  REMOTE,
  REMOTE_2,
  SYN,
  World,
} from "../../support/nat/world.ts";

const builders = { TCP: buildTcp, UDP: buildUdp };

for (const [protocol, build] of Object.entries(builders)) {
  Deno.test(`${protocol} is translated both ways with right checksums, whatever the bytes`, () => {
    const world = new World();
    const { random } = world;
    for (let round = 0; round < 2000; round++) {
      const payload = random.bytes(random.below(40));
      const source = `10.66.${random.below(256)}.${random.between(2, 254)}`;
      const destination = `${random.between(1, 126)}.${random.below(256)}.${random.below(256)}.9`;
      const sourcePort = random.below(65_536);
      const destinationPort = random.below(65_536);
      const timeToLive = random.between(2, 255);
      const packet = build({
        source,
        destination,
        sourcePort,
        destinationPort,
        payload,
        timeToLive,
        dontFragment: random.chance(0.5),
        typeOfService: random.below(256),
        options: random.chance(0.2) ? [1, 7, 3, 4] : [],
      });
      const out = read(only(world.outbound(packet), "outside"));
      assertEquals([out.source, out.destination], [EXTERNAL, destination]);
      assertEquals([out.destinationPort, out.timeToLive], [destinationPort, timeToLive - 1]);
      const reply = build({
        source: destination,
        destination: EXTERNAL,
        sourcePort: destinationPort,
        destinationPort: out.sourcePort,
        payload,
      });
      const back = read(only(world.inbound(reply), "inside"));
      assertEquals(
        [back.source, back.sourcePort, back.destination, back.destinationPort],
        [destination, destinationPort, source, sourcePort],
      );
      assertEquals(back.transport.slice(back.transport.length - payload.length), payload);
    }
  });
}

Deno.test("a UDP checksum of 0 stays 0 both ways, and across a hairpin", () => {
  const world = new World();
  const sent = world.outbound(buildUdp({ source: CLIENT, destination: REMOTE, checksum: 0 }));
  const out = read(only(sent, "outside"));
  assertEquals(out.transportChecksum, 0);
  const fields = { destination: EXTERNAL, destinationPort: out.sourcePort, checksum: 0 };
  const back = only(world.inbound(buildUdp({ source: REMOTE, ...fields })), "inside");
  assertEquals(read(back).transportChecksum, 0);
  const hairpin = only(world.outbound(buildUdp({ source: CLIENT_2, ...fields })), "inside");
  assertEquals(read(hairpin).transportChecksum, 0);
});

Deno.test("a UDP checksum that comes out as 0 is sent as 0xffff", () => {
  const world = new World();
  const payload = new Uint8Array(2);
  const packet = () => buildUdp({ source: CLIENT, destination: REMOTE, payload });
  const before = read(only(world.outbound(packet()), "outside")).transportChecksum;
  // The payload's one word takes up what is left of the sum: it becomes 0xffff, and its complement 0.
  new DataView(payload.buffer).setUint16(0, before);
  assertEquals(read(only(world.outbound(packet()), "outside")).transportChecksum, 0xffff);
  new DataView(payload.buffer).setUint16(0, before - 1);
  assertEquals(read(only(world.outbound(packet()), "outside")).transportChecksum, 1);
});

Deno.test("what the NAT does not understand goes nowhere", () => {
  const world = new World();
  for (const protocol of [0, 2, 41, 47, 50, 132, 255]) {
    const payload = new Uint8Array(40);
    const packet = buildIpv4({ source: CLIENT, destination: REMOTE, protocol, payload });
    assertEquals(world.outbound(packet).outside, []);
    assertSilent(
      world.inbound(buildIpv4({ source: REMOTE, destination: EXTERNAL, protocol, payload })),
    );
  }
  assertEquals(world.nat.mappingCount, 0);
});

Deno.test("a packet from outside to another address than the external one is no concern of the NAT", () => {
  const world = new World();
  const { externalPort } = connect(world);
  assertSilent(
    world.inbound(
      buildTcp({ source: REMOTE, destination: REMOTE_2, destinationPort: externalPort }),
    ),
  );
  assertEquals(world.drops.total, 0);
});

// MSS.

/** The MSS option of a segment, looked for byte by byte; -1 when there is none. */
function mssOf(packet: Bytes): number {
  const { transport } = read(packet);
  for (let at = 20; at < (transport[12] >>> 4) * 4;) {
    if (transport[at] === 0) break;
    if (transport[at] === 2) return transport[at + 2] * 256 + transport[at + 3];
    at += transport[at] === 1 ? 1 : transport[at + 1];
  }
  return -1;
}

function mssOption(mss: number): number[] {
  return [2, 4, mss >>> 8, mss & 0xff];
}

for (
  const [where, before] of Object.entries({
    "at the first option": [],
    "at an odd offset": [1],
    "behind other options": [4, 2, 3, 3, 7],
    "behind others at an odd offset": [1, 4, 2, 3, 3, 7, 1, 1],
  })
) {
  Deno.test(`the MSS of a SYN is lowered to the inner MTU less 40, never raised, ${where}`, () => {
    const world = new World({ innerMtu: 1400 });
    for (
      const [mss, expected] of [[1460, 1360], [65_535, 1360], [1361, 1360], [1360, 1360], [
        536,
        536,
      ], [0, 0]]
    ) {
      for (const flags of [SYN, SYN | ACK]) {
        const tcpOptions = [...before, ...mssOption(mss), 1, 3, 3, 7];
        const out = world.outbound(
          buildTcp({ source: CLIENT, destination: REMOTE, flags: SYN, tcpOptions }),
        );
        assertEquals(mssOf(only(out, "outside")), expected);
        const destinationPort = read(out.outside[0]).sourcePort;
        const back = world.inbound(
          buildTcp({ source: REMOTE, destination: EXTERNAL, destinationPort, flags, tcpOptions }),
        );
        assertEquals(mssOf(only(back, "inside")), expected);
      }
    }
  });
}

Deno.test("the MSS is left alone without SYN, and where the options are broken", () => {
  const world = new World();
  const send = (flags: number, tcpOptions: number[]) => {
    const packet = buildTcp({ source: CLIENT, destination: REMOTE, flags, tcpOptions });
    return read(only(world.outbound(packet), "outside")).transport.slice(20);
  };
  assertEquals([...send(ACK, mssOption(9000))], mssOption(9000));
  for (
    const options of [
      [0, 2, 4, 255, 255, 0, 0, 0],
      [2, 0, 255, 255],
      [2, 1, 255, 255],
      [2, 5, 255, 255],
      [1, 1, 1, 2],
      [8, 255, 2, 4],
      [2, 3, 255, 4, 255, 255, 255, 0],
    ]
  ) assertEquals([...send(SYN, options)], options);
});

// Size.

Deno.test("an inbound packet over the inner MTU is refused by ICMP 3/4 to its sender when it has DF", () => {
  const world = new World();
  const { externalPort } = connect(world);
  const packet = (size: number) =>
    buildTcp({
      source: REMOTE,
      destination: EXTERNAL,
      sourcePort: 80,
      destinationPort: externalPort,
      dontFragment: true,
      payload: new Uint8Array(size - 40),
    });
  only(world.inbound(packet(1420)), "inside");
  const error = only(world.inbound(packet(1421)), "outside");
  const fields = read(error);
  assertEquals(
    [fields.source, fields.destination, fields.type, fields.code, fields.mtu],
    [EXTERNAL, REMOTE, 3, 4, 1420],
  );
  assertEquals(quotedBy(error), packet(1421).slice(0, 548));
  assertEquals(error.length, 576);
});

Deno.test("an inbound packet over the inner MTU is fragmented when it has no DF", () => {
  const world = new World();
  const payload = world.random.bytes(1460);
  const out = world.outbound(buildUdp({ source: CLIENT, destination: REMOTE }));
  const { sourcePort } = read(only(out, "outside"));
  const packet = buildUdp({
    source: REMOTE,
    destination: EXTERNAL,
    destinationPort: sourcePort,
    identification: 0x77,
    payload,
  });
  const { inside, outside } = world.inbound(packet);
  assertEquals([inside.length, outside.length], [2, 0]);
  const whole = read(reassemble(inside));
  assertEquals([whole.destination, whole.identification], [CLIENT, 0x77]);
  assertEquals(whole.transport.slice(8), payload);
});

Deno.test("a too long packet with IP options and without DF leaves in fragments, the first one with all of them", () => {
  const world = new World({ externalMtu: 600 });
  const packet = buildUdp({
    source: CLIENT,
    destination: REMOTE,
    // Record route is for the first one alone, a router alert for each (RFC 791 section 3.1, RFC 2113).
    options: [7, 3, 4, 148, 4, 0, 0],
    payload: new Uint8Array(900),
  });
  const [first, second, ...others] = world.outbound(packet).outside;
  assertEquals([...first.subarray(20, 28)], [7, 3, 4, 148, 4, 0, 0, 0]);
  assertEquals([second[0], ...second.subarray(20, 24)], [0x46, 148, 4, 0, 0]);
  assertEquals([first.length - 28 + second.length - 24, others], [908, []]);
});

Deno.test("a super-packet is passed by the size of its segments and translated in its headers", () => {
  const world = new World();
  const { externalPort } = connect(world);
  const merged = (dontFragment: boolean) =>
    buildTcp({
      source: REMOTE,
      destination: EXTERNAL,
      sourcePort: 80,
      destinationPort: externalPort,
      dontFragment,
      payload: new Uint8Array(52_000),
    });
  const result = world.inboundMerged(merged(true), 1420);
  assertSilent(result.sent);
  const view = new DataView(result.merged!.buffer);
  assertEquals(addressText(view.getUint32(16)), CLIENT);
  assertEquals([view.getUint16(22), result.merged![8]], [40_000, 63]);

  const refused = world.inboundMerged(merged(true), 1421);
  assertEquals([refused.merged, read(only(refused.sent, "outside")).mtu], [null, 1420]);
  // Each of its packets is divided for the path when it is split.
  assertSilent(world.inboundMerged(merged(false), 1421).sent);
  assertEquals(world.dropped(DropReason.tooBig), 0);
  const stray = buildTcp({ source: REMOTE, destination: EXTERNAL, destinationPort: 7 });
  assertEquals(world.inboundMerged(stray, 1420).merged, null);
});
