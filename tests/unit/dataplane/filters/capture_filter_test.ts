/** Tests of the capture filter: its program is run, instruction by instruction, over packets. */
import { ETH_P_IP, ETH_P_IPV6 } from "../../../../ffi/socket_constants.ts";
import type { BpfInstruction } from "../../../../ffi/sockets/packet_filter.ts";
import {
  type CapturedPorts,
  captureFilter,
  captureFilter6,
} from "../../../../lib/dataplane/filters/capture_filter.ts";
import { assert, assertEquals, assertThrows } from "../../../support/assert.ts";
import { runBpf } from "../../../support/packets/bpf.ts";
import {
  buildIcmp,
  buildIpv4,
  buildTcp,
  buildUdp,
  type Bytes,
  fragment,
} from "../../../support/packets/packet_builder.ts";
import {
  buildIcmp6,
  buildIpv6,
  buildTcp6,
  buildUdp6,
} from "../../../support/packets/packet_builder6.ts";
import { Random } from "../../../support/random.ts";
import { fragment6 } from "../../../support/nat/world6.ts";

const ETHERNET_HEADER_SIZE = 14;
const EXTERNAL = "203.0.113.1";
const ADDRESS = 0xcb007101;

/** The program for packets without a link-layer header. */
function filterFor(address: number, ports: CapturedPorts): BpfInstruction[] {
  return captureFilter(address, ports, 0);
}

/** What the program says of a packet: the same without a link-layer header and behind one. */
function accepts(ports: CapturedPorts, packet: Bytes, etherType = ETH_P_IP): boolean {
  const result = runBpf(filterFor(ADDRESS, ports), packet, { etherType });
  assert(result === 0 || result === 0xffff_ffff);
  const framed = new Uint8Array([...new Uint8Array(ETHERNET_HEADER_SIZE).fill(0x45), ...packet]);
  const program = captureFilter(ADDRESS, ports, ETHERNET_HEADER_SIZE);
  assertEquals(runBpf(program, framed, { etherType }), result);
  return result !== 0;
}

const PORTS: CapturedPorts = {
  tcp: [{ first: 30_000, last: 39_999 }, { first: 8080, last: 8080 }],
  udp: [{ first: 30_000, last: 39_999 }, { first: 53, last: 53 }],
};

Deno.test("captureFilter() lets through TCP and UDP to the ports of their ranges, both ends included", () => {
  for (const [build, single, other] of [[buildTcp, 8080, 53], [buildUdp, 53, 8080]] as const) {
    const to = (destinationPort: number) =>
      accepts(PORTS, build({ destination: EXTERNAL, destinationPort, sourcePort: 30_005 }));
    for (const port of [30_000, 30_001, 39_998, 39_999, single]) assert(to(port), `${port}`);
    for (const port of [0, 1, 29_999, 40_000, 65_535, single - 1, single + 1, other]) {
      assert(!to(port), `${port}`);
    }
  }
});

Deno.test("captureFilter() lets through ICMP of any kind, and no other protocol", () => {
  for (let protocol = 0; protocol < 256; protocol++) {
    if (protocol === 6 || protocol === 17) continue;
    const payload = new Uint8Array(8);
    const packet = buildIpv4({ destination: EXTERNAL, protocol, payload });
    assertEquals(accepts(PORTS, packet), protocol === 1, `protocol ${protocol}`);
  }
  for (const type of [0, 3, 8, 11]) {
    assert(accepts(PORTS, buildIcmp({ destination: EXTERNAL, type })));
  }
});

Deno.test("captureFilter() drops what is for another address, or is not IPv4", () => {
  const packet = buildUdp({ destination: EXTERNAL, destinationPort: 53 });
  assert(accepts(PORTS, packet));
  for (const etherType of [0x86dd, 0x0806, 0x8100, 0, 0x0801]) {
    assert(!accepts(PORTS, packet, etherType));
  }
  for (const destination of ["203.0.113.2", "75.0.113.1", "255.255.255.255"]) {
    assert(!accepts(PORTS, buildUdp({ destination, destinationPort: 53 })));
    assert(!accepts(PORTS, buildIcmp({ destination })));
  }
});

Deno.test("captureFilter() finds the port behind IP options", () => {
  for (const size of [1, 4, 8, 39, 40]) {
    const options = new Uint8Array(size).fill(1);
    const to = (destinationPort: number) =>
      accepts(PORTS, buildTcp({ destination: EXTERNAL, destinationPort, options }));
    assert(to(8080) && to(30_000) && !to(8081) && !to(257));
  }
});

Deno.test("captureFilter() lets through all later fragments, and first ones by their port", () => {
  for (const [destinationPort, expected] of [[53, true], [54, false]] as const) {
    const packet = buildUdp({
      destination: EXTERNAL,
      destinationPort,
      payload: new Uint8Array(3000),
    });
    const [first, second, third] = fragment(packet, 1400);
    assertEquals(accepts(PORTS, first), expected);
    assert(accepts(PORTS, second) && accepts(PORTS, third));
  }
  // DF and the reserved bit stand beside the offset.
  const plain = { destination: EXTERNAL, destinationPort: 54, dontFragment: true };
  assert(!accepts(PORTS, buildUdp(plain)));
});

Deno.test("captureFilter() drops packets that are cut off", () => {
  const packet = buildUdp({ destination: EXTERNAL, destinationPort: 53 });
  for (let length = 0; length < 24; length++) assert(!accepts(PORTS, packet.slice(0, length)));
  assert(accepts(PORTS, packet.slice(0, 24)));
});

Deno.test("captureFilter() lets through all of IPv4 to addresses that are services' own, hundreds of them", () => {
  const virtual = Array.from({ length: 300 }, (_, i) => 0xcb007200 + i);
  const program = captureFilter(ADDRESS, PORTS, 0, virtual);
  const last = "203.0.115.43";
  const packets = [
    buildTcp({ destination: last, destinationPort: 1 }),
    buildUdp({ destination: "203.0.114.0", destinationPort: 1 }),
    buildIpv4({ destination: last, protocol: 47, payload: new Uint8Array(8) }),
    buildTcp({ destination: EXTERNAL, destinationPort: 8080 }),
  ];
  for (const packet of packets) assert(runBpf(program, packet, { etherType: ETH_P_IP }) !== 0);
  const other = buildTcp({ destination: "203.0.115.44", destinationPort: 8080 });
  assertEquals(runBpf(program, other, { etherType: ETH_P_IP }), 0);
  assertEquals(runBpf(program, packets[0], { etherType: 0x86dd }), 0);
});

Deno.test("captureFilter() takes hundreds of forwards", () => {
  const ports = (count: number, first: number) =>
    Array.from({ length: count }, (_, i) => ({ first: first + 3 * i, last: first + 3 * i + 1 }));
  const many: CapturedPorts = { tcp: ports(700, 1000), udp: ports(600, 40_000) };
  for (const [build, first, count] of [[buildTcp, 1000, 700], [buildUdp, 40_000, 600]] as const) {
    for (let port = first - 2; port < first + 3 * count + 2; port++) {
      const expected = port >= first && port < first + 3 * count && (port - first) % 3 !== 2;
      const packet = build({ destination: EXTERNAL, destinationPort: port });
      assertEquals(runBpf(filterFor(ADDRESS, many), packet) !== 0, expected);
      if (port % 7 !== 0) port += 5;
    }
  }
  assertThrows(
    () => filterFor(ADDRESS, { tcp: ports(700, 1), udp: ports(700, 1) }),
    RangeError,
    "so many forwarded ports",
  );
});

Deno.test("captureFilter() agrees with a plain reading of random packets", () => {
  const random = new Random(7);
  for (let round = 0; round < 3000; round++) {
    const build = random.pick([buildTcp, buildUdp]);
    const destinationPort = random.pick([53, 8080, 29_999, 30_000, 39_999, 40_000, 7]);
    const packet = random.mutate(
      build({ destination: EXTERNAL, destinationPort, options: random.bytes(4 * random.below(3)) }),
    );
    assertEquals(accepts(PORTS, packet), plainly(packet));
  }
});

function plainly(packet: Bytes): boolean {
  const view = new DataView(packet.buffer);
  if (packet.length < 20 || view.getUint32(16) !== ADDRESS) return false;
  const protocol = packet[9];
  if (protocol === 1) return true;
  if (protocol !== 6 && protocol !== 17) return false;
  if ((view.getUint16(6) & 0x1fff) !== 0) return true;
  const at = (packet[0] & 15) * 4 + 2;
  if (at + 2 > packet.length) return false;
  const port = view.getUint16(at);
  return (protocol === 6 ? PORTS.tcp : PORTS.udp)
    .some(({ first, last }) => port >= first && port <= last);
}

Deno.test("captureFilter() reads behind a link-layer header when there is one", () => {
  const ports = { tcp: [{ first: 80, last: 80 }], udp: [] };
  const program = captureFilter(ADDRESS, ports, 14);
  const accepted = buildTcp({ destination: EXTERNAL, destinationPort: 80 });
  const framed = new Uint8Array(14 + accepted.length);
  framed.set(accepted, 14);
  assert(runBpf(program, framed) > 0);
  framed[14 + 16] ^= 1;
  assertEquals(runBpf(program, framed), 0);
});

const EXTERNAL6 = "2001:db8:1::1";

/** The same of IPv6. */
function accepts6(packet: Bytes, etherType = ETH_P_IPV6): boolean {
  const result = runBpf(captureFilter6(EXTERNAL6, PORTS, 0), packet, { etherType });
  assert(result === 0 || result === 0xffff_ffff);
  const framed = new Uint8Array([...new Uint8Array(ETHERNET_HEADER_SIZE).fill(0x60), ...packet]);
  const program = captureFilter6(EXTERNAL6, PORTS, ETHERNET_HEADER_SIZE);
  assertEquals(runBpf(program, framed, { etherType }), result);
  return result !== 0;
}

Deno.test("captureFilter6() lets through TCP and UDP to the ports of their ranges, also in first fragments", () => {
  for (const [build, single, other] of [[buildTcp6, 8080, 53], [buildUdp6, 53, 8080]] as const) {
    const packet = (destinationPort: number) =>
      build({
        ...{ destination: EXTERNAL6, destinationPort, sourcePort: 30_005 },
        payload: new Uint8Array(2000),
      });
    for (const port of [30_000, 30_001, 39_998, 39_999, single]) {
      assert(accepts6(packet(port)), `${port}`);
      for (const part of fragment6(packet(port), 1280, 1)) assert(accepts6(part), `${port}`);
    }
    for (const port of [0, 1, 29_999, 40_000, 65_535, single - 1, single + 1, other]) {
      assert(!accepts6(packet(port)), `${port}`);
      const [first, later] = fragment6(packet(port), 1280, 1);
      // Of a later one, nobody knows whose it is.
      assertEquals([accepts6(first!), accepts6(later!)], [false, true], `${port}`);
    }
  }
});

Deno.test("captureFilter6() lets through ICMPv6's errors and echo replies, and no other protocol", () => {
  for (const type of [1, 2, 3, 4, 127, 129]) {
    assert(accepts6(buildIcmp6({ destination: EXTERNAL6, type })), `${type}`);
  }
  // Neighbours and routers talk to the host.
  for (const type of [128, 130, 133, 134, 135, 136, 137, 143]) {
    assert(!accepts6(buildIcmp6({ destination: EXTERNAL6, type })), `${type}`);
  }
  for (const protocol of [0, 1, 4, 41, 47, 50, 51, 59, 132, 253]) {
    const payload = new Uint8Array(40);
    assert(!accepts6(buildIpv6({ destination: EXTERNAL6, protocol, payload })), `${protocol}`);
  }
});

Deno.test("captureFilter6() leaves what has options or a routing header to the NAT to look at", () => {
  for (const type of [43, 60]) {
    const extensions = [[type, [0, 0, 1, 4, 0, 0, 0, 0]]] as const;
    assert(accepts6(buildUdp6({ destination: EXTERNAL6, destinationPort: 30_000, extensions })));
  }
});

Deno.test("captureFilter6() drops what is for another address, or is not IPv6", () => {
  const packet = buildUdp6({ destination: EXTERNAL6, destinationPort: 53 });
  assert(accepts6(packet));
  for (const etherType of [ETH_P_IP, 0x0806, 0x8100, 0]) assert(!accepts6(packet, etherType));
  for (let at = 24; at < 40; at++) {
    const other = packet.slice();
    other[at]! ^= 1;
    assert(!accepts6(other), `${at}`);
  }
  for (let size = 0; size < 44; size++) assert(!accepts6(packet.slice(0, size)), `${size}`);
});

Deno.test("captureFilter6() refuses more ports than a program can name", () => {
  const tcp = Array.from({ length: 2000 }, (_, i) => ({ first: 2 * i, last: 2 * i }));
  assertThrows(() => captureFilter6(EXTERNAL6, { tcp, udp: [] }, 14), RangeError, "Forward6");
});
