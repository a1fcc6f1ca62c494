/** Tests of what the NAT does to the bytes of packets: headers, checksums, sizes, and what it says about them. */
import { ICMP_ERRORS_PER_SECOND } from "../../lib/nat/constants.ts";
import { DropReason } from "../../lib/wire/drop_reason.ts";
import { assert, assertEquals, assertThrows } from "../support/assert.ts";
import {
  buildIcmp,
  buildIpv4,
  buildTcp,
  buildUdp,
  type Bytes,
  fragment,
  referenceChecksum,
} from "../support/packet_builder.ts";
import { connect } from "./connection.ts";
import {
  ACK,
  addressText,
  assertSilent,
  CLIENT,
  CLIENT_2,
  EXTERNAL,
  GATEWAY,
  only,
  quotedBy,
  read,
  reassemble,
  REMOTE,
  REMOTE_2,
  SECOND,
  type Sent,
  SYN,
  World,
} from "./world.ts";

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

Deno.test("what the NAT does not understand is dropped", () => {
  const world = new World();
  for (const protocol of [0, 2, 41, 47, 50, 132, 255]) {
    const payload = new Uint8Array(40);
    assertSilent(
      world.outbound(buildIpv4({ source: CLIENT, destination: REMOTE, protocol, payload })),
    );
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

Deno.test("a too long packet with IP options and without DF is dropped", () => {
  const world = new World({ externalMtu: 600 });
  const packet = buildUdp({
    source: CLIENT,
    destination: REMOTE,
    options: [7, 3, 4],
    payload: new Uint8Array(900),
  });
  assertSilent(world.outbound(packet));
  assertEquals(world.dropped(DropReason.tooBig), 1);
});

Deno.test("a super-packet is let through by the size of its segments and translated in its headers", () => {
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
  const dropped = world.inboundMerged(merged(false), 1421);
  assertEquals([dropped.merged, dropped.sent.outside.length], [null, 0]);
  assertEquals(world.dropped(DropReason.tooBig), 1);
  const stray = buildTcp({ source: REMOTE, destination: EXTERNAL, destinationPort: 7 });
  assertEquals(world.inboundMerged(stray, 1420).merged, null);
});

// Time to live, and errors of our own.

function expiring(source = CLIENT, fields = {}): Bytes {
  return buildUdp({
    source,
    destination: REMOTE,
    timeToLive: 1,
    payload: Uint8Array.of(9),
    ...fields,
  });
}

Deno.test("a client's packet whose time to live ends is answered from the gateway's inner address", () => {
  const world = new World();
  for (const timeToLive of [0, 1]) {
    const packet = expiring(CLIENT, { timeToLive });
    const error = only(world.outbound(packet), "inside");
    const fields = read(error);
    assertEquals(
      [fields.source, fields.destination, fields.type, fields.code],
      [GATEWAY, CLIENT, 11, 0],
    );
    assertEquals(quotedBy(error), packet);
    assertEquals(world.nat.mappingCount, 0);
  }
  const alive = world.outbound(expiring(CLIENT, { timeToLive: 2 }));
  assertEquals(read(only(alive, "outside")).timeToLive, 1);
});

Deno.test("an inbound packet whose time to live ends is answered from the external address", () => {
  const world = new World();
  const { externalPort } = connect(world);
  const fields = { destination: EXTERNAL, timeToLive: 1 };
  const error = only(
    world.inbound(buildTcp({ source: REMOTE, destinationPort: externalPort, ...fields })),
    "outside",
  );
  const { source, destination, type, code } = read(error);
  assertEquals([source, destination, type, code], [EXTERNAL, REMOTE, 11, 0]);
  // To nobody's port, there is silence as before.
  assertSilent(world.inbound(buildTcp({ source: REMOTE, destinationPort: 7, ...fields })));
});

Deno.test("errors are sent ten times a second to each client", () => {
  const world = new World();
  const count = (source: string, packets: number) => {
    let errors = 0;
    for (let i = 0; i < packets; i++) errors += world.outbound(expiring(source)).inside.length;
    return errors;
  };
  assertEquals(ICMP_ERRORS_PER_SECOND, 10);
  assertEquals([count(CLIENT, 50), count(CLIENT_2, 50)], [10, 10]);
  world.advance(999);
  assertEquals(count(CLIENT, 50), 0);
  world.advance(1);
  assertEquals(count(CLIENT, 50), 10);
  assertEquals(world.dropped(DropReason.ttlExceeded), 200);
});

Deno.test("errors to strangers are limited in all, and do not use up those to clients", () => {
  const world = new World();
  const { externalPort } = connect(world);
  let errors = 0;
  for (let last = 0; last < 5000; last++) {
    const source = `198.51.${last >>> 8}.${last & 0xff}`;
    const packet = { source, destination: EXTERNAL, destinationPort: externalPort, timeToLive: 1 };
    errors += world.inbound(buildTcp(packet)).outside.length;
  }
  assertEquals(errors, 128);
  only(world.outbound(expiring()), "inside");
});

Deno.test("there are no errors about errors, nor about later fragments", () => {
  const world = new World();
  const payload = buildUdp({ source: REMOTE, destination: CLIENT });
  for (const type of [3, 4, 5, 11, 12]) {
    assertSilent(
      world.outbound(
        buildIcmp({ source: CLIENT, destination: REMOTE, type, timeToLive: 1, payload }),
      ),
    );
  }
  const parts = fragment(expiring(CLIENT, { payload: new Uint8Array(100) }), 68);
  only(world.outbound(parts[0]), "inside");
  assertSilent(world.outbound(parts[1]));
  only(world.outbound(buildIcmp({ source: CLIENT, destination: REMOTE, timeToLive: 1 })), "inside");
});

Deno.test("an ICMP error's time to live is counted down too, and its end is silent", () => {
  const world = new World();
  const out = only(world.outbound(buildUdp({ source: CLIENT, destination: REMOTE })), "outside");
  const error = { source: REMOTE_2, destination: EXTERNAL, type: 11, payload: out };
  assertEquals(
    read(only(world.inbound(buildIcmp({ ...error, timeToLive: 2 })), "inside")).timeToLive,
    1,
  );
  assertSilent(world.inbound(buildIcmp({ ...error, timeToLive: 1 })));
  assertEquals(world.dropped(DropReason.ttlExceeded), 1);
});

Deno.test("broken ICMP errors are dropped", () => {
  const world = new World();
  const out = only(world.outbound(buildUdp({ source: CLIENT, destination: REMOTE })), "outside");
  const echo = only(world.outbound(buildIcmp({ source: CLIENT, destination: REMOTE })), "outside");
  const reheaded = (change: (packet: Bytes) => void, packet = out) => {
    const changed = packet.slice();
    change(changed);
    changed.set([0, 0], 10);
    const checksum = referenceChecksum(changed.subarray(0, 20));
    changed.set([checksum >>> 8, checksum & 0xff], 10);
    return changed;
  };
  const payloads = {
    "nothing": new Uint8Array(),
    "a header alone": out.slice(0, 20),
    "seven bytes of the transport header": out.slice(0, 27),
    "version 6": reheaded((packet) => packet[0] = 0x65),
    "a short header": reheaded((packet) => packet[0] = 0x44),
    "a header beyond the end": reheaded((packet) => packet[0] = 0x4f),
    "a later fragment": reheaded((packet) => packet[7] = 5),
    "another protocol": reheaded((packet) => packet[9] = 47),
    "an error about an error": reheaded((packet) => packet[20] = 3, echo),
    "an echo reply": reheaded((packet) => packet[20] = 0, echo),
  };
  for (const [name, payload] of Object.entries(payloads)) {
    const error = { source: REMOTE, destination: EXTERNAL, type: 3, code: 1, payload };
    const before = world.dropped(DropReason.natBadIcmp);
    assertSilent(world.inbound(buildIcmp(error)));
    assertEquals(world.dropped(DropReason.natBadIcmp), before + 1, name);
  }
});

Deno.test("a client cannot send an error about another's connection, nor to where the quoted packet did not come from", () => {
  const world = new World();
  connect(world);
  const payload = buildTcp({
    source: REMOTE,
    destination: CLIENT,
    sourcePort: 80,
    destinationPort: 40_000,
  });
  const send = (source: string, destination: string) =>
    world.outbound(buildIcmp({ source, destination, type: 3, code: 1, payload }));
  only(send(CLIENT, REMOTE), "outside");
  assertSilent(send(CLIENT_2, REMOTE));
  assertSilent(send(CLIENT, REMOTE_2));
});

// Forwards, the external address.

const FORWARDS = [
  { protocol: "tcp", externalPort: 8080, address: 0x0a424d02, port: 80 },
  { protocol: "udp", externalPort: 30_005, address: 0x0a424d03, port: 53 },
] as const;

Deno.test("a forwarded port leads to its service for ever, whoever asks, even with address filtering", () => {
  const world = new World({
    forwards: FORWARDS,
    filtering: "address",
    ports: { first: 30_000, last: 30_009 },
  });
  world.advance(10_000_000);
  const syn = buildTcp({
    source: REMOTE,
    destination: EXTERNAL,
    destinationPort: 8080,
    flags: SYN,
  });
  const received = read(only(world.inbound(syn), "inside"));
  assertEquals([received.destination, received.destinationPort], [CLIENT, 80]);
  const question = buildUdp({ source: REMOTE, destination: EXTERNAL, destinationPort: 30_005 });
  const asked = read(only(world.inbound(question), "inside"));
  assertEquals([asked.destination, asked.destinationPort], [CLIENT_2, 53]);
  // TCP's is not UDP's.
  assertSilent(
    world.inbound(buildUdp({ source: REMOTE, destination: EXTERNAL, destinationPort: 8080 })),
  );
  const answer = buildUdp({ source: CLIENT_2, destination: REMOTE, sourcePort: 53 });
  assertEquals(read(only(world.outbound(answer), "outside")).sourcePort, 30_005);
  assertEquals(world.nat.mappingCount, 2);
  world.advance(10_000_000);
  assertEquals(world.nat.pollAt(), Infinity);
});

Deno.test("a forwarded port of the range is given to nobody else", () => {
  const world = new World({ forwards: FORWARDS, ports: { first: 30_004, last: 30_006 } });
  const ports = [1, 2].map((sourcePort) => {
    const packet = buildUdp({ source: CLIENT, destination: REMOTE, sourcePort });
    return read(only(world.outbound(packet), "outside")).sourcePort;
  });
  assertEquals(ports.sort(), [30_004, 30_006]);
});

Deno.test("new Nat() throws RangeError when two forwards take one port, or one service two ports", () => {
  const [first] = FORWARDS;
  for (const second of [{ ...first, port: 81 }, { ...first, externalPort: 8081 }]) {
    assertThrows(() => new World({ forwards: [first, second] }), RangeError, "Cannot forward port");
  }
});

Deno.test("mappings keep their ports when the external address changes", () => {
  const world = new World();
  const { externalPort } = connect(world);
  world.nat.externalAddress = 0xc6336401;
  assertEquals(world.nat.externalAddress, 0xc6336401);
  const packet = buildTcp({ source: CLIENT, destination: REMOTE });
  const out = read(only(world.outbound(packet), "outside"));
  assertEquals([out.source, out.sourcePort], ["198.51.100.1", externalPort]);
  const answer = (destination: string) =>
    world.inbound(
      buildTcp({ source: REMOTE, destination, sourcePort: 80, destinationPort: externalPort }),
    );
  only(answer("198.51.100.1"), "inside");
  assertSilent(answer(EXTERNAL));
});

Deno.test("later fragments of a packet begun before do not leave with the old address", () => {
  const world = new World();
  const parts = fragment(
    buildUdp({ source: CLIENT, destination: REMOTE, payload: new Uint8Array(2000) }),
    1420,
  );
  only(world.outbound(parts[0]), "outside");
  world.nat.externalAddress = 0xc6336401;
  assertSilent(world.outbound(parts[1]));
});

Deno.test("ownsExternal() tells what is the NAT's from what is the host's", () => {
  const world = new World({ ports: { first: 30_000, last: 30_009 }, forwards: FORWARDS });
  const to = (build: typeof buildUdp, destinationPort: number) =>
    world.ownsExternal(build({ source: CLIENT_2, destination: EXTERNAL, destinationPort }));
  assert(
    to(buildUdp, 30_000) && to(buildUdp, 30_009) && to(buildTcp, 30_000) && to(buildTcp, 8080),
  );
  assert(
    !to(buildUdp, 29_999) && !to(buildUdp, 30_010) && !to(buildUdp, 8080) && !to(buildTcp, 22),
  );
  assert(!world.ownsExternal(buildIpv4({ source: CLIENT, destination: EXTERNAL, protocol: 47 })));
});

Deno.test("ownsExternal() gives the fragments of a packet to whom the first one went", () => {
  const world = new World({ ports: { first: 30_000, last: 30_009 } });
  const parts = (destinationPort: number) =>
    fragment(
      buildUdp({
        source: CLIENT,
        destination: EXTERNAL,
        destinationPort,
        identification: destinationPort,
        payload: new Uint8Array(3000),
      }),
      1420,
    );
  assertEquals(parts(53).map((part) => world.ownsExternal(part)), [false, false, false]);
  assertEquals(parts(30_000).map((part) => world.ownsExternal(part)), [true, true, true]);
});

Deno.test("an error about a packet of the host's own is the host's", () => {
  const world = new World();
  const payload = buildUdp({ source: EXTERNAL, destination: CLIENT, sourcePort: 100 });
  const error = buildIcmp({ source: CLIENT, destination: EXTERNAL, type: 3, code: 3, payload });
  assert(!world.ownsExternal(error));
});

// Time.

Deno.test("pollAt() is infinite while there is nothing to expire, and at most a second away otherwise", () => {
  const world = new World();
  assertEquals(world.nat.pollAt(), Infinity);
  const sent: Sent = world.outbound(buildUdp({ source: CLIENT, destination: REMOTE }));
  only(sent, "outside");
  world.nat.poll(world.clock.now);
  assertEquals(world.nat.pollAt(), world.clock.now + SECOND);
  world.advance(301 * SECOND);
  assertEquals([world.nat.pollAt(), world.nat.mappingCount], [Infinity, 0]);
});
