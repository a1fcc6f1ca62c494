/** Tests of lib/core/wire/ipv6.ts: every check at the boundary with its own reason, and the extension headers. */
import { DROP_REASON_NAMES, DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import * as ipv6 from "../../../../lib/core/wire/ipv6.ts";
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { type Bytes, hex } from "../../../support/packets/packet_builder.ts";
import {
  buildIcmp6,
  buildIpv6,
  buildTcp6,
  buildUdp6,
  type Ipv6Fields,
} from "../../../support/packets/packet_builder6.ts";
import { Random } from "../../../support/random.ts";

const OFFSET = 13;

function place(packet: Uint8Array): DataView {
  const memory = createMemory(OFFSET + packet.length + 64);
  memory.bytes.fill(0xaa);
  memory.bytes.set(packet, OFFSET);
  return memory.view;
}

function verdict(packet: Uint8Array, length = packet.length): string {
  return DROP_REASON_NAMES[ipv6.checkIpv6(place(packet), OFFSET, length)]!;
}

/** Extension headers of eight bytes and more. */
const OPTIONS = [60, [0, 0, 1, 4, 0, 0, 0, 0]] as const;
const LONG_OPTIONS = [60, [0, 1, 1, 12, ...new Array(12).fill(0)]] as const;
const HOP_BY_HOP = [0, [0, 0, 1, 4, 0, 0, 0, 0]] as const;
const AUTHENTICATION = [51, [0, 4, ...new Array(22).fill(7)]] as const;
const routing = (type: number, left: number) => [43, [0, 0, type, left, 0, 0, 0, 0]] as const;
/** @param offset in bytes, a multiple of 8 */
const fragment = (offset: number, more: boolean) =>
  [44, [0, 0, offset >> 8, offset & 0xff | (more ? 1 : 0), 0, 0, 0, 1]] as const;

function withExtensions(
  build: (fields: Ipv6Fields & { payload?: Uint8Array }) => Bytes,
  ...extensions: NonNullable<Ipv6Fields["extensions"]>
): Bytes {
  return build({ extensions, payload: new Uint8Array(24) });
}

const MAPPED = "::ffff:a00:1";
const cases: [expected: keyof typeof DropReason, what: string, packet: Uint8Array][] = [
  ["short", "one byte", hex("60")],
  ["short", "39 bytes", buildIpv6().subarray(0, 39)],
  ["badTotalLength", "one byte too few", buildIpv6({ payloadLength: 1 })],
  ["badTotalLength", "a cut-off packet", buildUdp6().subarray(0, 47)],
  ["none", "a header alone", buildIpv6({ protocol: 59 })],

  ["badDestination", "the unspecified address", buildUdp6({ destination: "::" })],
  ["badDestination", "loopback", buildUdp6({ destination: "::1" })],
  ["badDestination", "IPv4 as it was compatible", buildUdp6({ destination: "::a00:1" })],
  ["badDestination", "IPv4 that is mapped", buildUdp6({ destination: MAPPED })],
  ["badDestination", "link-local", buildUdp6({ destination: "fe80::1" })],
  ["badDestination", "the last of link-local", buildUdp6({ destination: "febf:ffff::1" })],
  ["badDestination", "multicast", buildUdp6({ destination: "ff0e::1" })],
  ["badDestination", "all nodes", buildUdp6({ destination: "ff02::1" })],
  ["none", "behind link-local", buildUdp6({ destination: "fec0::1" })],
  ["none", "in front of multicast", buildUdp6({ destination: "feff::1" })],
  ["none", "the IPv4 prefix of NAT64", buildUdp6({ destination: "64:ff9b::a00:1" })],
  ["none", "zeros that end before the last word", buildUdp6({ destination: "0:0:0:1::1" })],
  ["badSource", "the unspecified address", buildUdp6({ source: "::" })],
  ["badSource", "link-local", buildUdp6({ source: "fe80::2" })],
  ["badSource", "multicast", buildUdp6({ source: "ff02::2" })],
  ["badSource", "IPv4 that is mapped", buildUdp6({ source: MAPPED })],
  [
    "sourceEqualsDestination",
    "one address",
    buildUdp6({ source: "fd00::1", destination: "fd00::1" }),
  ],

  ["badExtensionHeader", "hop-by-hop options", withExtensions(buildUdp6, HOP_BY_HOP)],
  [
    "badExtensionHeader",
    "a jumbogram",
    buildIpv6({
      extensions: [[0, [0, 0, 0xc2, 4, 0, 1, 0, 0]]],
      protocol: 17,
      payloadLength: 0,
      payload: new Uint8Array(64),
    }),
  ],
  [
    "badExtensionHeader",
    "hop-by-hop behind another",
    withExtensions(buildUdp6, OPTIONS, HOP_BY_HOP),
  ],
  ["sourceRoute", "routing type 0", withExtensions(buildUdp6, routing(0, 1))],
  ["sourceRoute", "routing type 0 without a stop left", withExtensions(buildUdp6, routing(0, 0))],
  ["sourceRoute", "segments that are left", withExtensions(buildUdp6, routing(4, 1))],
  [
    "sourceRoute",
    "a source route behind options",
    withExtensions(buildUdp6, OPTIONS, routing(0, 1)),
  ],
  ["none", "a routing header that is done", withExtensions(buildUdp6, routing(2, 0))],
  ["none", "options", withExtensions(buildTcp6, OPTIONS, LONG_OPTIONS)],
  ["none", "authentication", withExtensions(buildIcmp6, AUTHENTICATION)],
  ["none", "eight headers", withExtensions(buildUdp6, ...new Array(8).fill(OPTIONS))],
  ["badExtensionHeader", "nine headers", withExtensions(buildUdp6, ...new Array(9).fill(OPTIONS))],
  ["badExtensionHeader", "one that is not there", buildIpv6({ protocol: 60 })],
  [
    "badExtensionHeader",
    "one that ends behind the packet",
    buildIpv6({ extensions: [[60, [0, 1, 1, 4, 0, 0, 0, 0]]], protocol: 59 }),
  ],
  ["none", "one up to the last byte", buildIpv6({ extensions: [LONG_OPTIONS], protocol: 59 })],

  ["none", "a fragment that stands alone", withExtensions(buildUdp6, fragment(0, false))],
  ["none", "a first fragment", withExtensions(buildUdp6, fragment(0, true))],
  ["none", "a later fragment", withExtensions(buildIpv6, fragment(64, true))],
  ["none", "the last fragment", withExtensions(buildIpv6, fragment(64, false))],
  [
    "badExtensionHeader",
    "one in another",
    withExtensions(buildUdp6, fragment(0, true), fragment(0, true)),
  ],
  [
    "badExtensionHeader",
    "one in one that stands alone",
    withExtensions(buildUdp6, fragment(0, false), fragment(8, false)),
  ],
  [
    "badExtensionHeader",
    "one of 23 bytes that is not the last",
    buildIpv6({ extensions: [fragment(64, true)], payload: new Uint8Array(23) }),
  ],
  [
    "none",
    "a last one of 23 bytes",
    buildIpv6({ extensions: [fragment(64, false)], payload: new Uint8Array(23) }),
  ],
  [
    "badExtensionHeader",
    "one past the longest packet",
    withExtensions(buildIpv6, fragment(0xfff0, false)),
  ],
  [
    "tinyFragment",
    "a first fragment without all of TCP's header",
    buildIpv6({ extensions: [fragment(0, true)], protocol: 6, payload: new Uint8Array(16) }),
  ],
  [
    "tinyFragment",
    "a first fragment that ends within its extension headers",
    buildIpv6({ extensions: [fragment(0, true)], protocol: 60 }),
  ],
  [
    "tcpFragmentOffset",
    "a fragment over the first's TCP header",
    buildIpv6({ extensions: [fragment(16, false)], protocol: 6, payload: new Uint8Array(24) }),
  ],
  [
    "none",
    "a fragment behind it",
    buildIpv6({ extensions: [fragment(24, false)], protocol: 6, payload: new Uint8Array(24) }),
  ],

  [
    "shortTransportHeader",
    "19 bytes of TCP",
    buildIpv6({ protocol: 6, payload: new Uint8Array(19).fill(0x50) }),
  ],
  [
    "shortTransportHeader",
    "7 bytes of UDP",
    buildIpv6({ protocol: 17, payload: new Uint8Array(7) }),
  ],
  ["shortTransportHeader", "UDP that is longer than its packet", buildUdp6({ length: 9 })],
  [
    "shortTransportHeader",
    "7 bytes of ICMPv6",
    buildIpv6({ protocol: 58, payload: new Uint8Array(7) }),
  ],
  ["none", "another protocol", buildIpv6({ protocol: 132 })],

  ["none", "an echo", buildIcmp6()],
  ["none", "an error", buildIcmp6({ type: 1 })],
  ["linkOnly", "a router solicitation", buildIcmp6({ type: 133 })],
  ["linkOnly", "a router advertisement", buildIcmp6({ type: 134 })],
  ["linkOnly", "a neighbour solicitation", buildIcmp6({ type: 135 })],
  ["linkOnly", "a neighbour advertisement", buildIcmp6({ type: 136 })],
  ["linkOnly", "a redirect", buildIcmp6({ type: 137 })],
  ["linkOnly", "a listener report", buildIcmp6({ type: 143 })],
  [
    "linkOnly",
    "one behind options",
    withExtensions((f) => buildIcmp6({ ...f, type: 134 }), OPTIONS),
  ],
];

for (const [expected, what, packet] of cases) {
  const name = DROP_REASON_NAMES[DropReason[expected]]!;
  Deno.test(`checkIpv6() says ${name} of ${what}`, () => assertEquals(verdict(packet), name));
}

Deno.test("checkIpv6() lets packets with padding behind them pass", () => {
  const packet = new Uint8Array(100);
  packet.set(buildUdp6({ payload: new Uint8Array(20) }));
  assertEquals(verdict(packet), "none");
});

Deno.test("upperLayer() says where the payload begins, of which protocol, and of which kind of fragment", () => {
  const of = (packet: Uint8Array) => {
    const upper = ipv6.upperLayer(place(packet), OFFSET);
    return [
      ipv6.headersSizeOf(upper),
      ipv6.protocolOf(upper),
      ipv6.isFragment(upper),
      ipv6.isLaterFragment(upper),
    ];
  };
  assertEquals(of(buildTcp6()), [40, 6, false, false]);
  assertEquals(of(withExtensions(buildUdp6, OPTIONS, LONG_OPTIONS)), [64, 17, false, false]);
  assertEquals(of(withExtensions(buildTcp6, AUTHENTICATION)), [64, 6, false, false]);
  assertEquals(of(withExtensions(buildTcp6, fragment(0, false), OPTIONS)), [56, 6, false, false]);
  assertEquals(of(withExtensions(buildUdp6, OPTIONS, fragment(0, true))), [56, 17, true, false]);
  assertEquals(of(withExtensions(buildUdp6, fragment(64, true))), [48, 17, true, true]);
});

Deno.test("checkIpv6() reads nothing behind the packet, whatever its bytes are", () => {
  const random = new Random(20);
  const seeds = cases.map(([, , packet]) => packet).filter((packet) => packet.length >= 40);
  const reasons = new Set<number>();
  for (let i = 0; i < 20_000; i++) {
    const packet = Uint8Array.from(seeds[random.below(seeds.length)]!);
    for (let edits = random.below(4); edits > 0; edits--) {
      packet[random.chance(0.7) ? 4 + random.below(4) : random.below(packet.length)] =
        random.chance(0.3) ? [0, 6, 17, 43, 44, 51, 58, 60][random.below(8)]! : random.below(256);
    }
    const length = random.chance(0.2) ? random.below(packet.length + 1) : packet.length;
    // The memory ends with what was received: one byte more would throw.
    const view = new DataView(packet.slice(0, length).buffer);
    if (length === 0) continue;
    const reason = ipv6.checkIpv6(view, 0, length);
    reasons.add(reason);
    if (reason !== DropReason.none) continue;
    assert(ipv6.totalLength(view, 0) <= length);
    const upper = ipv6.upperLayer(view, 0);
    assert(upper > 0 && ipv6.headersSizeOf(upper) <= ipv6.totalLength(view, 0));
  }
  assert(reasons.size >= 10, `${reasons.size} reasons`);
});
