/**
 * Tests of `lib/dataplane/egress/segment_sender.ts`: what its frames become on their way, and what happens when the
 * kernel refuses them.
 */
import { Arena } from "../../../ffi/arena.ts";
import {
  EAGAIN,
  EINVAL,
  EIO,
  EMSGSIZE,
  ENOBUFS,
  EOPNOTSUPP,
  errnoName,
} from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { Tun } from "../../../ffi/tun.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { heapGrowth } from "../../support/heap_growth.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { buildIcmp, buildTcp, buildUdp, type Bytes } from "../../support/packets/packet_builder.ts";
import { buildTcp6 } from "../../support/packets/packet_builder6.ts";
import { withoutChecksumOffload } from "../support/traffic/checksum_offload.ts";
import { hasGoodTransportChecksum, ONLY_IPV6, Tap } from "../support/outside.ts";
import {
  ACK,
  CLIENT,
  datagrams,
  DEVICE,
  flow,
  isTcp,
  layWay,
  PAYLOAD_SIZE,
  payloadOf,
  payloads,
  PROGRAMS,
  refusing,
  ROUTER_DEVICE,
  segmentSizeOf,
  Sender,
  SERVER,
  unfinished,
} from "../support/segment_sender.ts";

/** As many as the engine takes to optimise all of the path, also on a busy machine. */
const CALLS = 30_000;

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
  "SegmentSender.send() completes each segment's checksum where it may not merge",
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
    `SegmentSender stops merging for good once a frame was refused with ${errnoName(errno)}`,
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

/** What arrives behind a router. */
function delivered(packets: readonly Uint8Array[]): Bytes[] {
  return packets.map((packet) => {
    const copy = packet.slice();
    copy[8]! -= 1;
    const view = new DataView(copy.buffer);
    const checksum = view.getUint16(10) + 0x0100;
    view.setUint16(10, (checksum & 0xffff) + (checksum >>> 16));
    return copy;
  });
}

const isUdp = (packet: Uint8Array) => packet[9] === 17;

netTest(
  "SegmentSender.send() hands a flow's datagrams to the interface as one frame, which arrive as they were",
  async (topology) => {
    const { client, router, server } = await layWay(topology);
    using sender = new Sender(client, { own: false });
    using tap = new Tap(server);
    const packets = datagrams(40);
    assertEquals(sender.send(...packets), 40);
    const [merged] = await tap.waitFor(isUdp);
    const whole = packets.flatMap((packet) => [...packet.subarray(28)]);
    assertEquals([...merged!.packet.subarray(28)], whole);
    assertEquals([segmentSizeOf(merged!), sender.sender.mergedFrames], [1400, 1]);
    withoutChecksumOffload(client, DEVICE);
    withoutChecksumOffload(router, ROUTER_DEVICE);
    assertEquals(sender.sendAgain(), 40);
    const seen = (await tap.waitFor(isUdp, 41)).slice(1).map(({ packet }) => packet);
    assertEquals(seen, delivered(packets));
  },
  PROGRAMS,
);

netTest(
  "SegmentSender goes on merging segments where the kernel takes no merged datagrams",
  async (topology) => {
    const { client, server } = await layWay(topology);
    using sender = new Sender(client, { own: false, libc: refusing([EINVAL]) });
    using tap = new Tap(server);
    const packets = datagrams(20);
    const segments = flow({ count: 3 }).map((packet) => withFlags(packet, ACK));
    assertEquals(sender.send(...packets), 20);
    assertEquals(sender.send(...packets, ...segments), 23);
    const seen = (await tap.waitFor((packet) => isUdp(packet) || isTcp(packet), 41))
      .map(({ packet }) => packet);
    assertEquals(seen.slice(0, 40), delivered([...packets, ...packets]));
    assertEquals(payloads(seen.slice(40)), payloads(segments));
    const { udpOffload, offload, mergedFrames, errorCount } = sender.sender;
    assertEquals([udpOffload, offload, mergedFrames, errorCount], [false, true, 1, 0]);
  },
  PROGRAMS,
);

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

netTest(
  "SegmentSender.send() sends IPv6 by the raw socket until the neighbour is known, then as frames",
  async (topology) => {
    const { client, router, server } = await layWay(topology);
    const [near, far] = ["2001:db8:1::", "2001:db8:2::"];
    const add = (namespace: TestNamespace, address: string, device = DEVICE) =>
      namespace.output(["ip", "address", "add", `${address}/64`, "dev", device, "nodad"]);
    await Promise.all([
      ...[add(client, `${near}2`), add(router, `${near}1`), add(router, `${far}1`, ROUTER_DEVICE)],
      ...[add(server, `${far}2`), add(router, "fe80::1"), add(router, "fe80::1", ROUTER_DEVICE)],
      router.output(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"]),
    ]);
    await client.output(["ip", "route", "add", "default", "via", `${near}1`]);
    // What is captured is whole: each segment, or what they were merged into.
    withoutChecksumOffload(client, DEVICE);
    withoutChecksumOffload(router, ROUTER_DEVICE);
    using sender = new Sender(client);
    using tap = new Tap(server, { filter: ONLY_IPV6 });
    const ends = { source: `${near}2`, destination: `${far}2`, destinationPort: 443 };
    const packets = (base: number, hopLimit = 64) =>
      Array.from({ length: 40 }, (_, i) =>
        buildTcp6({
          ...ends,
          hopLimit,
          sequenceNumber: base + i * 1440,
          flags: ACK,
          payload: new Uint8Array(i < 39 ? 1440 : 99).fill(i + 1),
        }));
    const isOurs = (packet: Uint8Array) => packet[6] === 6;
    const [first, second] = [packets(1), packets(1_000_000)];
    const unfinished6 = (packet: Bytes) => packet.with(56, 0xb).with(57, 0xad) as Bytes;
    // A queue of both families goes out in its order.
    sender.send(...first.map(unfinished6), ...flow({ count: 1 }).map(unfinished));
    await tap.waitFor(isOurs, 40);
    await eventually(() => {
      sender.sender.serve();
      sender.send(...second.map(unfinished6));
      return sender.sender.mergedFrames > 0 || null;
    });
    const seen = await tap.waitFor(isOurs, 80);
    const delivered = [...packets(1, 63), ...packets(1_000_000, 63)];
    assertEquals(seen.slice(0, 80).map(({ packet }) => packet), delivered);
    assertEquals(sender.sender.errorCount, 0);
  },
  PROGRAMS,
);
