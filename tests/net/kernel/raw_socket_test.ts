/** Tests of `ffi/sockets/raw_socket.ts`: whole IPv4 packets, and what the kernel makes of them. */
import {
  EACCES,
  EAGAIN,
  EINTR,
  EINVAL,
  EMSGSIZE,
  ENOBUFS,
  ENODEV,
  EPERM,
  SystemCallError,
} from "../../../ffi/errno.ts";
import { type Libc, openLibc } from "../../../ffi/libc.ts";
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";
import { heapGrowth } from "../../support/heap_growth.ts";
import { netTest } from "../../support/net.ts";
import {
  buildIcmp,
  buildIpv4,
  buildTcp,
  buildUdp,
  type Bytes,
  referenceChecksum,
} from "../../support/packets/packet_builder.ts";
import { DEVICE, GATEWAY, Injector, layOutskirts, OUTSIDE, Tap, u16 } from "../support/outside.ts";

/** As many as the engine takes to optimise all of the path, also on a busy machine. */
const CALLS = 30_000;
const WITH_PING = { programs: ["ping"] };
/** A protocol that nobody speaks (RFC 3692): no stack answers more than an ICMP error. */
const EXPERIMENTAL = 253;
const ENDS = { source: GATEWAY, destination: OUTSIDE };

/** A packet that its identification tells from others. */
function numbered(identification: number, payloadSize = 8): Bytes {
  return buildIpv4({ ...ENDS, identification, payload: new Uint8Array(payloadSize) });
}

const isNumbered = (packet: Uint8Array) => packet[9] === EXPERIMENTAL;
const numberOf = ({ packet }: { readonly packet: Uint8Array }) => u16(packet, 4);

netTest("RawSocket.send() sends packets of every protocol as they are", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  using injector = new Injector(gateway);
  using tap = new Tap(outside);
  const wrong = { ...ENDS, checksum: 0x1234 };
  const packets = [
    buildTcp({ ...ENDS, options: [0x94, 4, 0, 0] }),
    buildUdp({ ...ENDS, dontFragment: true, timeToLive: 3, typeOfService: 0xb8 }),
    buildIcmp({ ...ENDS, type: 0 }),
    numbered(1),
    // Neither judged nor corrected: the checksums of transport protocols, a source that is not ours.
    buildTcp(wrong),
    buildUdp(wrong),
    buildIpv4({ source: "203.0.113.77", destination: OUTSIDE }),
  ];
  assertEquals(injector.send(...packets), packets.length);
  const arrived = await tap.waitFor(() => true, packets.length);
  assertEquals(arrived.slice(0, packets.length).map(({ packet }) => packet), packets);
  assertEquals([injector.socket.errorCount, injector.socket.blocked], [0, false]);
}, WITH_PING);

netTest(
  "RawSocket.send() leaves total length and header checksum to the kernel",
  async (topology) => {
    const { gateway, outside } = await layOutskirts(topology);
    using injector = new Injector(gateway);
    using tap = new Tap(outside);
    const payload = new Uint8Array(30);
    injector.send(buildIpv4({ ...ENDS, payload, totalLength: 7, headerChecksum: 0xbad }));
    const [arrived] = await tap.waitFor(isNumbered);
    assertEquals(arrived!.packet, buildIpv4({ ...ENDS, payload }));
  },
  WITH_PING,
);

netTest(
  "RawSocket.send() has the kernel choose an id where it is 0 and DF is off",
  async (topology) => {
    const { gateway, outside } = await layOutskirts(topology);
    using injector = new Injector(gateway);
    using tap = new Tap(outside);
    const zero = { ...ENDS, identification: 0 };
    injector.send(
      ...new Array<Bytes>(4).fill(buildIpv4({ ...zero, dontFragment: true })),
      ...new Array<Bytes>(4).fill(buildIpv4(zero)),
    );
    const packets = await tap.waitFor(isNumbered, 8);
    const ids = packets.map(numberOf);
    assertEquals(ids.slice(0, 4), [0, 0, 0, 0]);
    // A chosen one may be 0 as well, but not four of them.
    assert(ids.slice(4).some((id) => id !== 0), `${ids}`);
    for (const { packet } of packets) assertEquals(referenceChecksum(packet.subarray(0, 20)), 0);
  },
  WITH_PING,
);

netTest(
  "RawSocket.send() counts and skips what is over the MTU, and sends the rest",
  async (topology) => {
    const { gateway, outside } = await layOutskirts(topology);
    using injector = new Injector(gateway, { batch: 4 });
    using tap = new Tap(outside);
    // 1,500 bytes fit, 1,501 do not, be they at a batch's start, end or in the middle.
    const sizes = [1481, 1480, 8, 1481, 1481, 1480, 1481, 8, 8, 1481];
    const packets = sizes.map((size, index) => numbered(index + 1, size));
    const tooLong: number[] = [];
    injector.socket.onTooLong = (packet) => tooLong.push(packet);
    assertEquals(injector.send(...packets), packets.length);
    assertEquals(new Set(tooLong).size, 5);
    const fitting = sizes.flatMap((size, index) => size <= 1480 ? [index + 1] : []);
    assertEquals((await tap.waitFor(isNumbered, fitting.length)).map(numberOf), fitting);
    assertEquals([...injector.socket.errors], [[EMSGSIZE, 5]]);
    assertEquals([injector.socket.errorCount, injector.socket.blocked], [5, false]);
  },
  WITH_PING,
);

netTest("RawSocket.send() counts each error by its number", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  using injector = new Injector(gateway);
  using tap = new Tap(outside);
  const packets = [
    // Longer than the packet is.
    buildIpv4({ ...ENDS, ihl: 15 }),
    numbered(1),
    buildIpv4({ source: GATEWAY, destination: "192.0.2.255" }),
    buildIpv4({ source: GATEWAY, destination: "255.255.255.255" }),
    numbered(2),
  ];
  assertEquals(injector.send(...packets), packets.length);
  assertEquals((await tap.waitFor(isNumbered, 2)).map(numberOf), [1, 2]);
  assertEquals([...injector.socket.errors], [[EINVAL, 1], [EACCES, 2]]);
}, WITH_PING);

netTest(
  "RawSocket.send() sends the part of more than a batch that it is told to",
  async (topology) => {
    const { gateway, outside } = await layOutskirts(topology);
    using injector = new Injector(gateway, { batch: 4 });
    using tap = new Tap(outside);
    assertEquals(injector.send(...Array.from({ length: 11 }, (_, i) => numbered(i + 1))), 11);
    assertEquals(
      (await tap.waitFor(isNumbered, 11)).map(numberOf),
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    );
    assertEquals(injector.send(), 0);
  },
  WITH_PING,
);

netTest("RawSocket marks its packets", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  await gateway.output(["nft", "-f", "-"], {
    stdin: "add table ip host\n" +
      "add chain ip host output { type filter hook output priority 0 ; }\n" +
      "add rule ip host output meta mark 0x5650 drop\n",
  });
  using tap = new Tap(outside);
  using marked = new Injector(gateway, { mark: 0x5650 });
  using other = new Injector(gateway, { mark: 0x5651 });
  marked.send(numbered(1));
  other.send(numbered(2));
  assertEquals((await tap.waitFor(isNumbered)).map(numberOf), [2]);
  assertEquals([...marked.socket.errors], [[EPERM, 1]]);
}, { programs: ["ping", "nft"] });

netTest("RawSocket sends by its interface whatever the routes say", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  topology.cable(
    { namespace: gateway, name: "eth1", address: "198.51.100.1/24" },
    { namespace: outside, name: "eth1", address: "198.51.100.9/24" },
  );
  using first = new Tap(outside);
  using second = new Tap(outside, { device: "eth1" });
  using injector = new Injector(gateway);
  await outside.output(["ip", "address", "add", "198.51.100.77/32", "dev", DEVICE]);
  // Were the routes asked, this would leave by eth1.
  injector.send(buildIpv4({ source: GATEWAY, destination: "198.51.100.77" }));
  await first.waitFor(isNumbered);
  assertEquals(second.seen().filter(({ packet }) => isNumbered(packet)), []);
  const error = assertThrows(() => new Injector(gateway, { device: "none0" }), SystemCallError);
  assertEquals(error.errno, ENODEV);
  assertEquals(
    error.message,
    'Cannot bind raw socket to interface "none0": no such device (ENODEV)',
  );
}, { programs: ["ping", "ip"] });

// Errors that a veth pair never gives: a libc in front of the real one fails calls of sendmmsg by a script.

for (const [name, errno] of [["EAGAIN", EAGAIN], ["ENOBUFS", ENOBUFS]] as const) {
  netTest(
    `RawSocket.send() stops and loses nothing when the kernel says ${name}`,
    async (topology) => {
      const { gateway, outside } = await layOutskirts(topology);
      using tap = new Tap(outside);
      const packets = Array.from({ length: 6 }, (_, i) => numbered(i + 1));
      using injector = new Injector(gateway, { batch: 4 }, refusing([0, errno]));
      assertEquals(injector.send(...packets), 4);
      assertEquals([injector.socket.blocked, injector.socket.errorCount], [true, 0]);
      assertEquals(injector.send(...packets.slice(4)), 2);
      assertEquals(injector.socket.blocked, false);
      assertEquals((await tap.waitFor(isNumbered, 6)).map(numberOf), [1, 2, 3, 4, 5, 6]);
    },
    WITH_PING,
  );
}

netTest("RawSocket.send() tries again when a signal came in between", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  using tap = new Tap(outside);
  using injector = new Injector(gateway, {}, refusing([EINTR, EINTR]));
  assertEquals(injector.send(numbered(1)), 1);
  await tap.waitFor(isNumbered);
  assertEquals(injector.socket.errorCount, 0);
}, WITH_PING);

netTest("RawSocket.send() allocates nothing", async (topology) => {
  const { gateway } = await layOutskirts(topology);
  using injector = new Injector(gateway);
  injector.send(numbered(1), numbered(2), numbered(3, 1481));
  const grown = heapGrowth(CALLS, () => injector.sendAgain());
  assert(injector.socket.errorCount > CALLS);
  assert(grown < CALLS * 8, `${grown} bytes`);
}, WITH_PING);

/**
 * A libc whose calls of `sendmmsg` fail with these numbers in turn, 0 for one that goes through, as do all later ones.
 */
function refusing(errors: readonly number[]): Libc {
  const real = openLibc();
  const script = [...errors];
  let errno = 0;
  const sendmmsg: typeof real.symbols.sendmmsg = (...args) => {
    const refusal = script.shift() ?? 0;
    if (refusal === 0) {
      const result = real.symbols.sendmmsg(...args);
      errno = real.errno();
      return result;
    }
    errno = refusal;
    return -1;
  };
  return { symbols: { ...real.symbols, sendmmsg }, errno: () => errno };
}
