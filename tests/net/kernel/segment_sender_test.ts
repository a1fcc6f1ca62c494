/** Tests of `lib/dataplane/egress/segment_sender.ts`: what its frames become on their way, and which way packets go when that changes. */
import { Arena } from "../../../ffi/arena.ts";
import {
  EAGAIN,
  EINVAL,
  EIO,
  EMSGSIZE,
  ENOBUFS,
  ENODEV,
  EOPNOTSUPP,
  errnoName,
} from "../../../ffi/errno.ts";
import { type Libc, openLibc } from "../../../ffi/libc.ts";
import { Tun } from "../../../ffi/tun.ts";
import { SegmentSender } from "../../../lib/dataplane/egress/segment_sender.ts";
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { heapGrowth } from "../../support/heap_growth.ts";
import { netTest, type TestNamespace, type Topology } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { buildIcmp, buildTcp, buildUdp, type Bytes } from "../../support/packets/packet_builder.ts";
import { withoutChecksumOffload } from "../support/traffic/checksum_offload.ts";
import { withoutIpv6Autoconfiguration } from "../support/host_state.ts";
import { type Captured, hasGoodTransportChecksum, Tap } from "../support/outside.ts";

const PROGRAMS = { programs: ["ip", "ping", "sysctl"] };
const CLIENT = "192.0.2.2";
const SERVER = "198.51.100.2";
const ROUTER = "192.0.2.1";
const DEVICE = "eth0";
const ROUTER_DEVICE = "eth1";
const ARENA_SIZE = 8 * 1024 * 1024;
/** What fills an MTU of 1,500. */
const PAYLOAD_SIZE = 1460;
const ACK = 0x10;
const PSH = 0x08;
const SEQUENCE_NUMBER = 0xffff_f000;
/** As many as the engine takes to optimise all of the path, also on a busy machine. */
const CALLS = 30_000;

interface Way {
  readonly client: TestNamespace;
  readonly router: TestNamespace;
  readonly server: TestNamespace;
}

/** Joins a client and a server by a router; each knows its neighbours. */
async function layWay(topology: Topology): Promise<Way> {
  const [client, router, server] = ["client", "router", "server"].map((label) => {
    const namespace = topology.namespace(label);
    withoutIpv6Autoconfiguration(namespace);
    return namespace;
  }) as [TestNamespace, TestNamespace, TestNamespace];
  topology.cable(
    { namespace: client, name: DEVICE, address: `${CLIENT}/24` },
    { namespace: router, name: DEVICE, address: `${ROUTER}/24` },
  );
  topology.cable(
    { namespace: server, name: DEVICE, address: `${SERVER}/24` },
    { namespace: router, name: ROUTER_DEVICE, address: "198.51.100.1/24" },
  );
  await client.output(["ip", "route", "add", "default", "via", ROUTER]);
  await server.output(["ip", "route", "add", "default", "via", "198.51.100.1"]);
  await router.output(["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
  await client.output(["ping", "-n", "-q", "-c", "1", "-w", "5", SERVER]);
  return { client, router, server };
}

interface Flow {
  readonly count: number;
  /** Bytes of payload; the last segment may have less than the others. */
  readonly size?: number;
  readonly lastSize?: number;
  readonly source?: string;
  readonly destination?: string;
  readonly sourcePort?: number;
  /** As the segments arrive behind a router: PSH on the last only. */
  readonly delivered?: boolean;
}

/** One flow's consecutive segments. */
function flow(
  { count, size = PAYLOAD_SIZE, lastSize = size, delivered = false, ...fields }: Flow,
): Bytes[] {
  return Array.from({ length: count }, (_, index) =>
    buildTcp({
      source: CLIENT,
      destination: SERVER,
      sourcePort: 40_000,
      destinationPort: 443,
      ...fields,
      sequenceNumber: (SEQUENCE_NUMBER + index * size) >>> 0,
      acknowledgmentNumber: 77,
      identification: index + 1,
      dontFragment: true,
      timeToLive: delivered ? 63 : 64,
      flags: delivered && index < count - 1 ? ACK : ACK | PSH,
      payload: new Uint8Array(index === count - 1 ? lastSize : size).fill(index + 1),
    }));
}

/** The same segment with other flags. */
function withFlags(packet: Uint8Array, flags: number): Bytes {
  const copy = packet.slice();
  const difference = copy[33]! - flags;
  copy[33] = flags;
  const view = new DataView(copy.buffer);
  const checksum = view.getUint16(36) + difference;
  view.setUint16(36, (checksum & 0xffff) + (checksum >>> 16));
  return copy;
}

/** The segment as the carrier leaves it: both checksums are still to be written. */
function unfinished(packet: Uint8Array): Bytes {
  const copy = packet.slice();
  new DataView(copy.buffer).setUint16(10, 0xbad);
  new DataView(copy.buffer).setUint16(36, 0xbad);
  return copy;
}

/** Sends from a namespace, as the carrier does. */
class Sender implements Disposable {
  readonly sender: SegmentSender;
  readonly #arena = new Arena(ARENA_SIZE);
  readonly #space: number;
  #last = { offsets: new Int32Array(), lengths: new Int32Array() };

  constructor(
    namespace: TestNamespace,
    options: {
      readonly offload?: boolean;
      readonly own?: boolean;
      readonly mark?: number;
      readonly libc?: Libc;
    } = {},
  ) {
    const { offload = true, own = true, mark = 0, libc = openLibc() } = options;
    this.sender = namespace.inside(() =>
      SegmentSender.open(libc, this.#arena, {
        ...{ offload, own, mark, device: null, bufferSize: 4 * 1024 * 1024 },
      })
    );
    this.#space = this.#arena.allocate(ARENA_SIZE / 2);
  }

  send(...packets: readonly Uint8Array[]): number {
    let next = this.#space;
    const offsets = Int32Array.from(packets, (packet) => {
      const offset = next;
      this.#arena.bytes.set(packet, offset);
      next += (packet.length + 3) & ~3;
      return offset;
    });
    this.#last = { offsets, lengths: Int32Array.from(packets, ({ length }) => length) };
    return this.sendAgain();
  }

  sendAgain(): number {
    return this.sender.send(this.#last, 0, this.#last.offsets.length, 0);
  }

  [Symbol.dispose](): void {
    this.sender[Symbol.dispose]();
  }
}

/** A kernel that refuses frames with the error numbers of `errors`, one after the other, and then takes them. */
function refusing(errors: readonly number[]): Libc {
  const libc = openLibc();
  const AF_PACKET = 17;
  const script = [...errors];
  let frames = -1;
  let errno: number | null = null;
  const symbols = {
    ...libc.symbols,
    socket(domain: number, type: number, protocol: number) {
      const fd = libc.symbols.socket(domain, type, protocol);
      if (domain === AF_PACKET) frames = fd;
      return fd;
    },
    sendmmsg(fd: number, messages: Deno.PointerValue, count: number, flags: number) {
      errno = fd === frames ? script.shift() ?? null : null;
      return errno === null ? libc.symbols.sendmmsg(fd, messages, count, flags) : -1;
    },
  };
  return { symbols, errno: () => errno ?? libc.errno() };
}

const isTcp = (packet: Uint8Array) => packet[9] === 6;
const payloadOf = ({ packet }: Captured) => packet.subarray(40);
const segmentSizeOf = ({ header }: Captured) => new DataView(header.buffer).getUint16(4, true);

const payloads = (packets: readonly Uint8Array[]) =>
  Uint8Array.from(packets.flatMap((packet) => [...packet.subarray(40)]));

netTest(
  "SegmentSender.send() hands a flow's segments to the interface as one frame",
  async (topology) => {
    const { client, server } = await layWay(topology);
    using sender = new Sender(client);
    using tap = new Tap(server);
    const packets = flow({ count: 40, lastSize: 100 });
    assertEquals(sender.send(...packets.map(unfinished)), 40);
    const [merged] = await tap.waitFor(isTcp);
    assertEquals(payloadOf(merged!), payloads(packets));
    assertEquals(segmentSizeOf(merged!), PAYLOAD_SIZE);
    assertEquals([sender.sender.mergedFrames, sender.sender.offload], [1, true]);
  },
  PROGRAMS,
);

netTest(
  "SegmentSender.send() sends what arrives as well-formed segments where nobody has offloads",
  async (topology) => {
    const { client, router, server } = await layWay(topology);
    withoutChecksumOffload(client, DEVICE);
    withoutChecksumOffload(router, ROUTER_DEVICE);
    using sender = new Sender(client);
    using tap = new Tap(server);
    const run = { count: 40, lastSize: 99 };
    const single = { count: 1, sourcePort: 40_001 };
    const packets = [...flow(run), ...flow(single)];
    assertEquals(sender.send(...packets.map(unfinished)), packets.length);
    const seen = await tap.waitFor(isTcp, packets.length);
    assert(seen.every(({ packet }) => hasGoodTransportChecksum(packet)), "a checksum is wrong");
    assertEquals(
      seen.map(({ packet }) => packet),
      [...flow({ ...run, delivered: true }), ...flow({ ...single, delivered: true })],
    );
  },
  PROGRAMS,
);

netTest(
  "SegmentSender.send() sends singly, with whole checksums, where it may not merge",
  async (topology) => {
    const { client, server } = await layWay(topology);
    using sender = new Sender(client, { offload: false });
    using tap = new Tap(server);
    const packets = flow({ count: 100 });
    assertEquals(sender.send(...packets.map(unfinished)), 100);
    const seen = await tap.waitFor(isTcp, 100);
    assertEquals(payloads(seen.map(({ packet }) => packet)), payloads(packets));
    assert(seen.every(({ packet }) => hasGoodTransportChecksum(packet)), "a checksum is wrong");
    assertEquals(sender.sender.mergedFrames, 0);
  },
  PROGRAMS,
);

netTest(
  "SegmentSender goes by the raw socket until the neighbour is known, then by frames",
  async (topology) => {
    const { client, server } = await layWay(topology);
    await client.output(["ip", "neighbour", "flush", "all"]);
    using sender = new Sender(client);
    using tap = new Tap(server);
    const packets = flow({ count: 10 }).map(unfinished);
    assertEquals(sender.send(...packets), 10);
    assertEquals(sender.sender.mergedFrames, 0);
    await tap.waitFor(isTcp, 10);
    await eventually(() => {
      sender.sender.serve();
      sender.sendAgain();
      return sender.sender.mergedFrames > 0 ? true : null;
    });
    await tap.waitFor((packet) => packet.length > 1500);
  },
  PROGRAMS,
);

netTest("SegmentSender follows a neighbour that changes its address", async (topology) => {
  const { client, router, server } = await layWay(topology);
  using sender = new Sender(client);
  using tap = new Tap(server);
  sender.send(...flow({ count: 5 }).map(unfinished));
  await tap.waitFor(isTcp);
  await router.output(["ip", "link", "set", DEVICE, "address", "02:00:00:00:00:77"]);
  await router.output(["ping", "-n", "-q", "-c", "1", "-w", "5", CLIENT]);
  await eventually(() => {
    sender.sender.serve();
    sender.sendAgain();
    return tap.seen().filter(({ packet }) => isTcp(packet)).length > 2 ? true : null;
  });
  assertEquals(sender.sender.offload, true);
}, PROGRAMS);

netTest("SegmentSender has the kernel make sure of a neighbour that it uses", async (topology) => {
  const { client } = await layWay(topology);
  const neighbour = [ROUTER, "dev", DEVICE];
  const state = () => client.output(["ip", "neighbour", "show", ...neighbour]);
  using sender = new Sender(client);
  const packets = flow({ count: 2 }).map(unfinished);
  sender.send(...packets);
  await client.output(["ip", "neighbour", "change", ...neighbour, "nud", "stale"]);
  sender.sender.serve();
  sender.sendAgain();
  assertMatch(await state(), /STALE/, "the frames themselves tell the kernel nothing");
  sender.sender.poll(sender.sender.pollAt() - 1);
  assertMatch(await state(), /STALE/, "it is not time yet");
  sender.sender.poll(sender.sender.pollAt());
  assertMatch(await state(), /DELAY|PROBE|REACHABLE/);
  await client.output(["ip", "neighbour", "change", ...neighbour, "nud", "stale"]);
  sender.sender.serve();
  sender.sender.poll(sender.sender.pollAt());
  assertMatch(await state(), /STALE/, "nothing was sent since");
}, PROGRAMS);

netTest("SegmentSender follows a route that changes", async (topology) => {
  const { client, router, server } = await layWay(topology);
  topology.cable(
    { namespace: client, name: "eth9", address: "203.0.113.2/24" },
    { namespace: router, name: "eth9", address: "203.0.113.1/24" },
  );
  using sender = new Sender(client);
  using tap = new Tap(server);
  using first = new Tap(router);
  using second = new Tap(router, { device: "eth9" });
  sender.send(...flow({ count: 5 }).map(unfinished));
  await tap.waitFor(isTcp);
  await client.output(["ip", "route", "replace", "default", "via", "203.0.113.1"]);
  sender.sender.networkChanged();
  sender.sendAgain();
  await second.waitFor(isTcp);
  assertEquals(first.seen().filter(({ packet }) => isTcp(packet)).length, 1);
}, PROGRAMS);

netTest("SegmentSender looks routes up by its mark", async (topology) => {
  const { client, router } = await layWay(topology);
  // As a full tunnel does: without the mark, everything goes elsewhere.
  await client.output(["ip", "route", "add", "blackhole", "default", "table", "77"]);
  await client.output(["ip", "rule", "add", "not", "fwmark", "0x77", "table", "77"]);
  using marked = new Sender(client, { mark: 0x77 });
  using other = new Sender(client);
  using tap = new Tap(router);
  const packets = flow({ count: 5 }).map(unfinished);
  assertEquals(other.send(...packets), 5);
  assertEquals([other.sender.mergedFrames, other.sender.errorCount], [0, 5]);
  marked.send(...packets);
  await tap.waitFor(isTcp);
  assertEquals(marked.sender.mergedFrames, 1);
}, PROGRAMS);

netTest("SegmentSender reaches its own host by the loopback", async (topology) => {
  const { client } = await layWay(topology);
  using sender = new Sender(client);
  using tap = new Tap(client, { device: "lo" });
  const packets = flow({ count: 10, destination: CLIENT });
  sender.send(...packets.map(unfinished));
  const [merged] = await tap.waitFor(isTcp);
  assertEquals(payloadOf(merged!), payloads(packets));
}, PROGRAMS);

netTest(
  "SegmentSender sends by an interface without link-layer header, segmented for its reader",
  (topology) => {
    const namespace = topology.namespace("tun");
    const arena = new Arena(1024 * 1024);
    using tun = namespace.inside(() => Tun.open(openLibc(), arena, "tun7"));
    namespace.rtnetlink.links.configure("tun7", { up: true });
    const address = { address: Uint8Array.of(192, 0, 2, 2), prefixLength: 24 };
    namespace.rtnetlink.addresses.add(namespace.rtnetlink.links.get("tun7").index, address);
    using sender = new Sender(namespace);
    const packets = flow({ count: 3, destination: "192.0.2.9" });
    assertEquals(sender.send(...packets.map(unfinished)), 3);
    assertEquals(sender.sender.mergedFrames, 1);
    const at = arena.allocate(65536);
    const read: Bytes[] = [];
    for (let length = tun.read(at, 65536); length > 0; length = tun.read(at, 65536)) {
      const packet = arena.bytes.slice(at + 10, at + length);
      if (packet[0] === 0x45) read.push(packet);
    }
    assertEquals(payloads(read), payloads(packets));
    assertEquals(read.map(hasGoodTransportChecksum), [true, true, true]);
  },
);

netTest("SegmentSender refuses segments over the MTU, and sends the others", async (topology) => {
  const { client, router } = await layWay(topology);
  using sender = new Sender(client);
  using tap = new Tap(router);
  const tooLong = flow({ count: 3, size: PAYLOAD_SIZE + 1 });
  const fitting = flow({ count: 3, sourcePort: 40_001 });
  assertEquals(sender.send(...[...tooLong, ...fitting].map(unfinished)), 6);
  const [merged] = await tap.waitFor(isTcp);
  assertEquals(payloadOf(merged!), payloads(fitting));
  assertEquals(Array.from(sender.sender.errors), [[EMSGSIZE, 3]]);
  assertEquals(sender.sender.offload, true);
}, PROGRAMS);

netTest("SegmentSender.send() allocates nothing", async (topology) => {
  const { client } = await layWay(topology);
  using sender = new Sender(client);
  sender.send(...flow({ count: 3 }), ...flow({ count: 1, sourcePort: 50_000 }));
  const grown = heapGrowth(CALLS, () => sender.sendAgain());
  assert(sender.sender.mergedFrames > CALLS, `${sender.sender.mergedFrames} frames`);
  assert(grown < CALLS * 8, `${grown} bytes`);
}, PROGRAMS);

for (const errno of [EINVAL, EIO, EOPNOTSUPP]) {
  netTest(
    `SegmentSender sends singly, and for good, once a frame was refused with ${errnoName(errno)}`,
    async (topology) => {
      const { client, server } = await layWay(topology);
      using sender = new Sender(client, { libc: refusing([errno]) });
      using tap = new Tap(server);
      const packets = [...flow({ count: 20 }), ...flow({ count: 20, sourcePort: 40_001 })];
      assertEquals(sender.send(...packets.map(unfinished)), 40);
      const seen = (await tap.waitFor(isTcp, 40)).map(({ packet }) => packet);
      assertEquals(payloads(seen), payloads(packets));
      assert(seen.every(hasGoodTransportChecksum), "a checksum is wrong");
      assertEquals([sender.sender.offload, sender.sender.errorCount], [false, 0]);
      sender.sendAgain();
      await tap.waitFor(isTcp, 80);
      assertEquals(sender.sender.mergedFrames, 0);
    },
    PROGRAMS,
  );
}

for (const errno of [EAGAIN, ENOBUFS]) {
  netTest(
    `SegmentSender.send() stops at a full socket, as ${errnoName(errno)} says, and loses nothing`,
    async (topology) => {
      const { client, server } = await layWay(topology);
      using sender = new Sender(client, { libc: refusing([errno]) });
      using tap = new Tap(server);
      const packets = flow({ count: 5 });
      assertEquals(sender.send(...packets.map(unfinished)), 0);
      assertEquals(sender.sender.blocked, true);
      assertEquals(sender.sendAgain(), 5);
      assertEquals([sender.sender.blocked, sender.sender.offload], [false, true]);
      assertEquals(payloadOf((await tap.waitFor(isTcp))[0]!), payloads(packets));
    },
    PROGRAMS,
  );
}

netTest("SegmentSender asks for the way anew when an interface has gone", async (topology) => {
  const { client, server } = await layWay(topology);
  using sender = new Sender(client, { libc: refusing([ENODEV]) });
  using tap = new Tap(server);
  const packets = flow({ count: 5 }).map(unfinished);
  assertEquals(sender.send(...packets), 5);
  await tap.waitFor(isTcp, 5);
  assertEquals([sender.sender.mergedFrames, sender.sender.offload], [0, true]);
  sender.sendAgain();
  assertEquals(sender.sender.mergedFrames, 1);
}, PROGRAMS);

netTest("SegmentSender leaves packets of others as they are", async (topology) => {
  const { client, router } = await layWay(topology);
  using sender = new Sender(client, { own: false });
  using tap = new Tap(router);
  const fields = { source: CLIENT, destination: SERVER };
  const plain = flow({ count: 3 }).map((packet) => withFlags(packet, ACK));
  const packets = [
    buildUdp({ ...fields, typeOfService: 0xb8 }),
    buildTcp({ ...fields, checksum: 0x1234 }),
    buildTcp({ ...fields, flags: 2, options: [1, 1, 1, 0] }),
    buildIcmp({ ...fields, type: 0, payload: new Uint8Array(33) }),
  ];
  // The first ones go by the raw socket; once a run has been worth the question, all go as frames.
  sender.send(...packets);
  sender.send(...plain);
  sender.send(...packets);
  const seen = (await tap.waitFor((packet) => packet[9] !== 1 || packet[20] === 0, 9))
    .map(({ packet }) => packet);
  assertEquals(seen.slice(0, 4), packets);
  assertEquals(payloads(seen.slice(4, 5)), payloads(plain));
  assertEquals(seen.slice(5, 9), packets);
}, PROGRAMS);
