/** Tests of lib/core/wire/ipv4.ts: the decode of real packets, and every check at the boundary with its own reason. */
import { DROP_REASON_NAMES, DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import * as ipv4 from "../../../../lib/core/wire/ipv4.ts";
import { formatIpv4 } from "../../../../lib/core/wire/ipv4_text.ts";
import { createMemory, type Memory } from "../../../../lib/core/wire/memory.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import {
  buildIcmp,
  buildIpv4,
  buildTcp,
  buildUdp,
  type Bytes,
  fragment,
  hex,
} from "../../../support/packets/packet_builder.ts";
import { Random } from "../../../support/random.ts";
import {
  ECHO,
  GOOD_PACKETS,
  TCP_SYN,
  UDP,
  UDP_FRAGMENTS,
  UDP_LOOSE_SOURCE_ROUTE,
  UDP_RECORD_ROUTE,
} from "../../../support/wire/real_packets.ts";

/** Not a multiple of anything, and with bytes around the packet that a check must not look at. */
const OFFSET = 13;

function place(packet: Uint8Array, filler = 0xaa): Memory {
  const memory = createMemory(OFFSET + packet.length + 64);
  memory.bytes.fill(filler);
  memory.bytes.set(packet, OFFSET);
  return memory;
}

/** The name of the reason, which says more in a failed assertion than its number. */
function verdict(packet: Uint8Array, length = packet.length): string {
  return DROP_REASON_NAMES[ipv4.checkIpv4(place(packet), OFFSET, length)]!;
}

Deno.test("the accessors decode real packets", () => {
  const decode = (packet: Uint8Array) => {
    const view = place(packet).view;
    return [
      ipv4.version(view, OFFSET),
      ipv4.headerSize(view, OFFSET),
      ipv4.typeOfService(view, OFFSET),
      ipv4.totalLength(view, OFFSET),
      ipv4.identification(view, OFFSET),
      ipv4.dontFragment(view, OFFSET),
      ipv4.moreFragments(view, OFFSET),
      ipv4.fragmentOffset(view, OFFSET),
      ipv4.timeToLive(view, OFFSET),
      ipv4.protocol(view, OFFSET),
      ipv4.headerChecksum(view, OFFSET),
      formatIpv4(ipv4.sourceAddress(view, OFFSET)),
      formatIpv4(ipv4.destinationAddress(view, OFFSET)),
    ];
  };
  const [client, gateway] = ["10.66.77.2", "10.66.77.1"];
  assertEquals(
    decode(UDP),
    [4, 20, 0, 42, 0x01b3, true, false, 0, 64, 17, 0x8a89, client, gateway],
  );
  assertEquals(
    decode(GOOD_PACKETS["PORT_UNREACHABLE"]!),
    [4, 20, 0xc0, 57, 0x6d52, false, false, 0, 64, 1, 0x5e2b, gateway, client],
  );
  assertEquals(
    decode(UDP_RECORD_ROUTE),
    [4, 32, 0, 42, 0x0203, true, false, 0, 64, 17, 0x33d6, client, gateway],
  );
  assertEquals(
    decode(UDP_FRAGMENTS[1]!),
    [4, 20, 0, 76, 0x0272, false, true, 7, 64, 17, 0xa9a1, client, gateway],
  );
  assertEquals(
    decode(UDP_FRAGMENTS[2]!),
    [4, 20, 0, 36, 0x0272, false, false, 14, 64, 17, 0xc9c2, client, gateway],
  );
});

Deno.test("sourceAddress() and destinationAddress() are positive where the top bit is set", () => {
  const view = place(buildIpv4({ source: "192.168.0.1", destination: "223.255.255.255" })).view;
  assertEquals(ipv4.sourceAddress(view, OFFSET), 0xc0a80001);
  assertEquals(ipv4.destinationAddress(view, OFFSET), 0xdfffffff);
});

Deno.test("checkIpv4() lets real packets pass", () => {
  for (const [name, packet] of Object.entries(GOOD_PACKETS)) {
    assertEquals(verdict(packet), "none", name);
  }
});

Deno.test("checkIpv4() lets packets with padding behind them pass", () => {
  for (const packet of Object.values(GOOD_PACKETS)) {
    assertEquals(verdict(packet, packet.length + 15), "none");
  }
});

/** A UDP packet whose length field stands too high by `more`. */
function udpClaiming(more: number): Bytes {
  return buildUdp({ payload: new Uint8Array(10), length: 18 + more });
}

const RECORD_ROUTE = [7, 7, 4, 0, 0, 0, 0];
const cases: [expected: keyof typeof DropReason, what: string, packet: Uint8Array][] = [
  ["empty", "zero bytes", hex("")],
  ["ipv6", "a version 6 header", hex("60000000 0000 3b 40" + "00".repeat(32))],
  ["ipv6", "one byte of version 6", hex("60")],
  ["badVersion", "version 0", hex("05" + "00".repeat(39))],
  ["badVersion", "version 5", buildIpv4({ version: 5 })],
  ["badVersion", "version 15", buildIpv4({ version: 15 })],

  ["short", "one byte of version 4", hex("45")],
  ["short", "19 bytes", UDP.subarray(0, 19)],
  ["badHeaderLength", "an IHL of 4", buildIpv4({ ihl: 4 })],
  ["badHeaderLength", "an IHL of 0", buildIpv4({ ihl: 0 })],
  ["badHeaderLength", "an IHL beyond the total length", buildIpv4({ ihl: 6 })],
  ["badHeaderLength", "a total length of 19", buildIpv4({ totalLength: 19 })],
  ["badHeaderLength", "a total length of 0", buildIpv4({ totalLength: 0 })],
  ["badTotalLength", "one byte too few", buildIpv4({ totalLength: 21 })],
  ["badTotalLength", "a cut-off packet", UDP.subarray(0, UDP.length - 1)],
  ["badTotalLength", "options that are cut off", UDP_RECORD_ROUTE.subarray(0, 30)],
  ["badHeaderChecksum", "a checksum of 0", buildIpv4({ headerChecksum: 0 })],
  ["badHeaderChecksum", "a checksum over 20 bytes of 24", withChecksumOfFirst20()],

  ["sourceRoute", "a real loose source route", UDP_LOOSE_SOURCE_ROUTE],
  ["sourceRoute", "a loose source route", withOptions([131, 7, 4, 8, 8, 8, 8])],
  ["sourceRoute", "a strict source route", withOptions([137, 7, 4, 8, 8, 8, 8])],
  ["sourceRoute", "a source route behind other options", withOptions([1, 148, 4, 0, 0, 131, 3, 4])],
  ["sourceRoute", "a source route without a length", withOptions([1, 1, 1, 131])],
  ["none", "a source route behind the end of options", withOptions([0, 131, 3, 4])],
  ["none", "a source route within another option's data", withOptions([7, 7, 4, 131, 3, 4, 0])],
  ["none", "no-operations only", withOptions([1, 1, 1, 1])],
  ["none", "an option up to the last byte but one", withOptions([...RECORD_ROUTE, 1])],
  ["none", "an option up to the last byte", withOptions([148, 4, 0, 0])],
  ["none", "all forty bytes", withOptions([7, 39, 4, ...new Array(36).fill(0), 0])],
  ["badOption", "an option without a length", withOptions([1, 1, 1, 7])],
  ["badOption", "an option without a length or a payload", buildIpv4({ options: [1, 1, 1, 7] })],
  ["badOption", "an option of length 0", withOptions([7, 0, 0, 0])],
  ["badOption", "an option of length 1", withOptions([7, 1, 0, 0])],
  ["badOption", "an option beyond the header", withOptions([7, 5, 4, 0])],
  ["badOption", "an option that jumps over the end", withOptions([148, 255, 0, 0])],

  ["badDestination", "0.0.0.0", buildUdp({ destination: "0.0.0.0" })],
  ["badDestination", "0/8", buildUdp({ destination: "0.1.2.3" })],
  ["badDestination", "loopback", buildUdp({ destination: "127.0.0.1" })],
  ["badDestination", "the last of loopback", buildUdp({ destination: "127.255.255.255" })],
  ["badDestination", "the first of link-local", buildUdp({ destination: "169.254.0.0" })],
  ["badDestination", "a cloud's metadata service", buildUdp({ destination: "169.254.169.254" })],
  ["badDestination", "the last of link-local", buildUdp({ destination: "169.254.255.255" })],
  ["badDestination", "the first of multicast", buildUdp({ destination: "224.0.0.0" })],
  ["badDestination", "mDNS", buildUdp({ destination: "224.0.0.251" })],
  ["badDestination", "the last of multicast", buildUdp({ destination: "239.255.255.255" })],
  ["badDestination", "class E", buildUdp({ destination: "240.0.0.1" })],
  ["badDestination", "broadcast", buildUdp({ destination: "255.255.255.255" })],
  ["none", "1.0.0.0", buildUdp({ destination: "1.0.0.0" })],
  ["none", "126.255.255.255", buildUdp({ destination: "126.255.255.255" })],
  ["none", "128.0.0.0", buildUdp({ destination: "128.0.0.0" })],
  ["none", "223.255.255.255", buildUdp({ destination: "223.255.255.255" })],
  ["sourceEqualsDestination", "LAND", buildTcp({ source: "10.66.77.1", flags: 2 })],
  ["badSource", "from 0/8", buildUdp({ source: "0.0.0.0" })],
  ["badSource", "from loopback", buildUdp({ source: "127.0.0.1" })],
  ["badSource", "from link-local", buildUdp({ source: "169.254.169.254" })],
  ["badSource", "from multicast", buildUdp({ source: "224.0.0.1" })],
  ["badSource", "from broadcast", buildUdp({ source: "255.255.255.255" })],

  ["shortTransportHeader", "no TCP header at all", buildIpv4({ protocol: 6 })],
  ["shortTransportHeader", "19 bytes of TCP", transport(6, TCP_SYN.subarray(20, 39))],
  ["shortTransportHeader", "TCP options cut off", transport(6, TCP_SYN.subarray(20, 59))],
  ["shortTransportHeader", "a TCP data offset of 4", buildTcp({ dataOffset: 4 })],
  ["shortTransportHeader", "a TCP data offset beyond the packet", buildTcp({ dataOffset: 6 })],
  ["none", "TCP without data", buildTcp()],
  ["shortTransportHeader", "7 bytes of UDP", transport(17, UDP.subarray(20, 27))],
  ["shortTransportHeader", "a UDP length of 7", buildUdp({ length: 7 })],
  ["shortTransportHeader", "a UDP length of 0", buildUdp({ length: 0 })],
  ["shortTransportHeader", "a UDP length beyond the packet", udpClaiming(1)],
  ["none", "UDP without data", buildUdp()],
  ["none", "a UDP length below the packet's", udpClaiming(-1)],
  ["shortTransportHeader", "7 bytes of ICMP", transport(1, ECHO.subarray(20, 27))],
  ["none", "8 bytes of ICMP", buildIcmp()],
  ["none", "another protocol without a payload", buildIpv4({ protocol: 47 })],

  ["tinyFragment", "8 bytes of TCP", firstFragment(6, TCP_SYN.subarray(20, 28))],
  ["tinyFragment", "TCP without its options", firstFragment(6, TCP_SYN.subarray(20, 44))],
  ["none", "TCP with its options", firstFragment(6, TCP_SYN.subarray(20, 60))],
  ["tinyFragment", "no bytes of UDP", firstFragment(17, hex(""))],
  ["tinyFragment", "a UDP length of 7", firstFragment(17, hex("9c40 0035 0007 0000"))],
  ["none", "8 bytes of UDP", firstFragment(17, hex("9c40 0035 0080 0000"))],
  ["tinyFragment", "no bytes of ICMP", firstFragment(1, hex(""))],
  ["none", "8 bytes of ICMP, more to come", firstFragment(1, ECHO.subarray(20, 28))],
  ["tcpFragmentOffset", "TCP at offset 1", laterFragment(6, 1, true)],
  ["tcpFragmentOffset", "TCP at offset 1, the last", laterFragment(6, 1, false)],
  ["none", "TCP at offset 2", laterFragment(6, 2, true)],
  ["none", "UDP at offset 1", laterFragment(17, 1, true)],
  ["none", "ICMP at offset 1, the last", laterFragment(1, 1, false)],
  ["none", "at the highest offset", laterFragment(17, 0x1fff, false)],
];

function withOptions(options: readonly number[]): Bytes {
  return buildUdp({ options });
}

function withChecksumOfFirst20(): Bytes {
  const packet = buildIpv4({ options: [1, 1, 1, 1] });
  const first = new DataView(packet.buffer);
  // The sum of the option words is 0x0202: leaving them out of the checksum adds it.
  first.setUint16(10, first.getUint16(10) + 0x0202);
  return packet;
}

function transport(protocol: number, payload: Uint8Array): Bytes {
  return buildIpv4({ protocol, payload });
}

function firstFragment(protocol: number, payload: Uint8Array): Bytes {
  return buildIpv4({ protocol, payload, moreFragments: true });
}

function laterFragment(protocol: number, fragmentOffset: number, moreFragments: boolean): Bytes {
  return buildIpv4({ protocol, fragmentOffset, moreFragments, payload: new Uint8Array(8) });
}

for (const [expected, what, packet] of cases) {
  Deno.test(`checkIpv4() says ${expected} when given ${what}`, () => {
    const name = DROP_REASON_NAMES[DropReason[expected]]!;
    assertEquals(verdict(packet), name);
    // Where the memory ends with the packet, a read beyond it would throw.
    const alone = { bytes: packet.slice(), view: new DataView(packet.slice().buffer) };
    assertEquals(DROP_REASON_NAMES[ipv4.checkIpv4(alone, 0, packet.length)], name);
    // Elsewhere, what lies behind it must not matter.
    for (const filler of [0x00, 0xff]) {
      assertEquals(
        DROP_REASON_NAMES[ipv4.checkIpv4(place(packet, filler), OFFSET, packet.length)],
        name,
      );
    }
  });
}

Deno.test("the cases reach every reason that checkIpv4() can give", () => {
  const reached = new Set(cases.map(([expected]) => DropReason[expected]));
  const elsewhere: number[] = [DropReason.spoofedSource, DropReason.privateDestination];
  for (let reason = 0; reason <= DropReason.tcpFragmentOffset; reason++) {
    assertEquals(reached.has(reason as DropReason), !elsewhere.includes(reason), `${reason}`);
  }
});

Deno.test("checkIpv4() judges in the order of the specification", () => {
  // Each packet has this fault and every later one; the reason given is that of the first.
  const address = "255.255.255.255";
  const all = { source: address, destination: address, protocol: 6 };
  assertEquals(verdict(buildIpv4({ ...all, version: 6, ihl: 4, headerChecksum: 1 })), "ipv6");
  assertEquals(
    verdict(buildIpv4({ ...all, ihl: 4, totalLength: 99, headerChecksum: 1 })),
    "bad_header_length",
  );
  assertEquals(
    verdict(buildIpv4({ ...all, totalLength: 99, headerChecksum: 1 })),
    "bad_total_length",
  );
  assertEquals(
    verdict(buildIpv4({ ...all, headerChecksum: 1, options: [131, 3, 4] })),
    "bad_header_checksum",
  );
  assertEquals(verdict(buildIpv4({ ...all, options: [131, 3, 4] })), "source_route");
  assertEquals(verdict(buildIpv4(all)), "bad_destination");
  assertEquals(
    verdict(buildIpv4({ ...all, destination: "10.0.0.1", source: "10.0.0.1" })),
    "source_equals_destination",
  );
  assertEquals(verdict(buildIpv4({ ...all, destination: "10.0.0.1" })), "bad_source");
});

Deno.test("checkIpv4() lets the fragments of a UDP datagram pass", () => {
  for (const part of fragment(buildUdp({ payload: new Uint8Array(4000) }), 1420)) {
    assertEquals(verdict(part), "none");
  }
});

Deno.test("checkIpv4() gives a reason and never throws when given random bytes", () => {
  const random = new Random(7);
  const memory = createMemory(128);
  for (let round = 0; round < 100_000; round++) {
    random.fill(memory.bytes);
    if (round % 2 === 0) memory.bytes[0] = 0x40 | random.between(4, 15);
    const reason = ipv4.checkIpv4(memory, random.below(64), random.below(65));
    assert(DROP_REASON_NAMES[reason] !== undefined);
  }
});

Deno.test("checkIpv4() never throws on a mutated packet, even at the end of the memory", () => {
  const random = new Random(8);
  const originals = [...Object.values(GOOD_PACKETS), UDP_LOOSE_SOURCE_ROUTE];
  const seen = new Set<number>();
  for (let round = 0; round < 100_000; round++) {
    const bytes = random.mutate(random.pick(originals));
    // A right checksum lets the mutation through to the checks behind it.
    if (bytes.length >= 20 && random.chance(0.8)) repairChecksum(bytes);
    const memory = { bytes, view: new DataView(bytes.buffer) };
    const reason = ipv4.checkIpv4(memory, 0, bytes.length);
    seen.add(reason);
    if (reason !== DropReason.none) continue;
    const header = ipv4.headerSize(memory.view, 0);
    const total = ipv4.totalLength(memory.view, 0);
    assert(header >= 20 && header <= total && total <= bytes.length);
  }
  assert(seen.size >= 12, `only ${seen.size} reasons were reached`);
});

function repairChecksum(bytes: Bytes): void {
  const size = (bytes[0]! & 15) * 4;
  if (size > bytes.length) return;
  const options = bytes.slice(20, Math.max(20, size));
  const view = new DataView(bytes.buffer);
  const again = buildIpv4({
    version: bytes[0]! >>> 4,
    ihl: bytes[0]! & 15,
    typeOfService: bytes[1]!,
    totalLength: view.getUint16(2),
    identification: view.getUint16(4),
    dontFragment: (bytes[6]! & 0x40) !== 0,
    moreFragments: (bytes[6]! & 0x20) !== 0,
    fragmentOffset: view.getUint16(6) & 0x1fff,
    timeToLive: bytes[8]!,
    protocol: bytes[9]!,
    source: bytes.slice(12, 16).join("."),
    destination: bytes.slice(16, 20).join("."),
    options,
  });
  bytes.set(again.subarray(0, Math.min(again.length, bytes.length)));
}
