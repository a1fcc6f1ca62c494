/** Tests of `ffi/sockets/packet_socket.ts`: what it shows of packets that arrive, merged or not, whole or partial. */
import { Arena } from "../../../ffi/arena.ts";
import { EAGAIN, ENODEV, SystemCallError } from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { PacketSocket } from "../../../ffi/sockets/packet_socket.ts";
import type { BpfInstruction } from "../../../ffi/sockets/packet_filter.ts";
import { Tun } from "../../../ffi/tun.ts";
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";
import { heapGrowth } from "../../support/heap_growth.ts";
import { netTest, type TestNamespace, type Topology } from "../../support/net.ts";
import { buildIpv4, type Bytes } from "../../support/packets/packet_builder.ts";
import {
  GATEWAY,
  hasGoodTransportChecksum,
  Injector,
  layOutskirts,
  ONLY_IPV4,
  OUTSIDE,
  partialTcp,
  pseudoHeaderSum,
  sendUdp,
  sendWithVnetHeader,
  Tap,
  u16,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VIRTIO_NET_HDR_GSO_TCPV4,
  VNET_HEADER_SIZE,
} from "../support/outside.ts";

/** As many as the engine takes to optimise all of the path, also on a busy machine. */
const CALLS = 30_000;
const WITH_PING = { programs: ["ping"] };
const EXPERIMENTAL = 253;
const PORT = 40_000;
/**
 * With the headers of TCP, IPv4 and Ethernet it stays below the 65,536 bytes where the kernel itself splits
 * (gso_max_size).
 */
const LONGEST_PAYLOAD = 65_535 - 54;

function numbered(identification: number, payloadSize = 8): Bytes {
  const payload = new Uint8Array(payloadSize).fill(identification);
  return buildIpv4({ source: OUTSIDE, destination: GATEWAY, identification, payload });
}

const isNumbered = (packet: Uint8Array) => packet[9] === EXPERIMENTAL;
const numberOf = ({ packet }: { readonly packet: Uint8Array }) => u16(packet, 4);

/** `struct virtio_net_hdr`, without the length of the headers, which the kernel only guesses. */
interface VnetHeader {
  readonly flags: number;
  readonly gsoType: number;
  readonly gsoSize: number;
  readonly checksumStart: number;
  readonly checksumOffset: number;
}

function fields(header: Bytes): VnetHeader {
  const view = new DataView(header.buffer);
  return {
    flags: header[0]!,
    gsoType: header[1]!,
    gsoSize: view.getUint16(4, true),
    checksumStart: view.getUint16(6, true),
    checksumOffset: view.getUint16(8, true),
  };
}

netTest(
  "PacketSocket.receive() brings packets in order, each behind an empty header",
  async (topology) => {
    const { gateway, outside } = await layOutskirts(topology);
    using tap = new Tap(gateway, { batch: 4 });
    using injector = new Injector(outside);
    assertEquals(tap.socket.receive(), -EAGAIN);
    const packets = [0, 1, 2, 3, 100, 1480, 5, 6, 7, 8].map((size, index) =>
      numbered(index + 1, size)
    );
    injector.send(...packets);
    const arrived = await tap.waitFor(isNumbered, packets.length);
    // Without the padding that Ethernet would put behind short ones: veth has none.
    assertEquals(arrived.map(({ packet }) => packet), packets);
    for (const { header } of arrived) assertEquals(fields(header).gsoType, 0);
    for (const { header } of arrived) assertEquals(fields(header).flags & 1, 0);
    for (const offset of tap.socket.receivedOffsets) {
      assertEquals(
        (offset + VNET_HEADER_SIZE) % 4,
        0,
      );
    }
  },
  WITH_PING,
);

netTest(
  "PacketSocket tells of the partial checksum that a local sender leaves",
  async (topology) => {
    const { gateway, outside } = await layOutskirts(topology);
    using tap = new Tap(gateway);
    sendUdp(outside, { address: GATEWAY, port: PORT }, new Uint8Array(1200).fill(7));
    const [captured] = await tap.waitFor((packet) => packet[9] === 17);
    const { header, packet } = captured!;
    assertEquals(fields(header), {
      flags: VIRTIO_NET_HDR_F_NEEDS_CSUM,
      gsoType: 0,
      gsoSize: 0,
      checksumStart: 20,
      checksumOffset: 6,
    });
    assertEquals(u16(packet, 26), pseudoHeaderSum(packet));
    assert(!hasGoodTransportChecksum(packet));
  },
  WITH_PING,
);

netTest(
  "PacketSocket shows merged segments as one packet far beyond the MTU, up to the longest",
  async (topology) => {
    const { gateway, outside } = await layOutskirts(topology);
    using tap = new Tap(gateway);
    for (const [index, payloadSize] of [1449, 40_000, LONGEST_PAYLOAD].entries()) {
      const sent = partialTcp({ destinationPort: PORT, payloadSize, segmentSize: 1448 });
      sendWithVnetHeader({ from: outside, to: gateway }, sent.header, sent.packet);
      const captured = (await tap.waitFor((packet) => packet[9] === 6, index + 1))[index]!;
      assertEquals(fields(captured.header), {
        flags: VIRTIO_NET_HDR_F_NEEDS_CSUM,
        gsoType: VIRTIO_NET_HDR_GSO_TCPV4,
        gsoSize: 1448,
        checksumStart: 20,
        checksumOffset: 16,
      });
      assertEquals(captured.packet.length, 40 + payloadSize);
      assertEquals(captured.packet, sent.packet);
    }
  },
  WITH_PING,
);

netTest("PacketSocket shows what the kernel merges of a TCP flow", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  using tap = new Tap(gateway);
  using listener = gateway.inside(() => Deno.listen({ hostname: GATEWAY, port: PORT }));
  const accepted = listener.accept();
  const sender = outside.spawn([
    "bash",
    "-c",
    `head -c 3000000 /dev/zero > /dev/tcp/${GATEWAY}/${PORT}`,
  ]);
  using connection = await accepted;
  let received = 0;
  const buffer = new Uint8Array(65536);
  for (let n = await connection.read(buffer); n !== null; n = await connection.read(buffer)) {
    received += n;
    tap.seen();
  }
  await sender.status;
  assertEquals(received, 3_000_000);
  const segments = tap.seen().filter(({ packet }) => packet[9] === 6);
  const longest = Math.max(...segments.map(({ packet }) => packet.length));
  assert(longest > 15_000, `the longest has ${longest} bytes`);
}, { programs: ["ping", "bash"] });

netTest("PacketSocket leaves out what its own host sends", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  using tap = new Tap(gateway);
  using far = new Tap(outside);
  using injector = new Injector(gateway);
  injector.send(buildIpv4({ source: GATEWAY, destination: OUTSIDE, protocol: 254 }));
  await far.waitFor((packet) => packet[9] === 254);
  using answers = new Injector(outside);
  answers.send(numbered(1));
  await tap.waitFor(isNumbered);
  assertEquals(tap.seen().filter(({ packet }) => packet[9] === 254), []);
}, WITH_PING);

netTest(
  "PacketSocket lets through what its filter wants, also after setFilter()",
  async (topology) => {
    const { gateway, outside } = await layOutskirts(topology);
    // Offsets are those of the frame: 14 bytes of Ethernet, then the identification at 4.
    const wanting = (identification: number): BpfInstruction[] => [
      { code: 0x28, jt: 0, jf: 0, k: 14 + 4 },
      { code: 0x15, jt: 0, jf: 1, k: identification },
      { code: 0x06, jt: 0, jf: 0, k: 0xffffffff },
      { code: 0x06, jt: 0, jf: 0, k: 0 },
    ];
    using tap = new Tap(gateway, { filter: wanting(2) });
    using all = new Tap(gateway);
    using injector = new Injector(outside);
    injector.send(numbered(1), numbered(2), numbered(3));
    await all.waitFor(isNumbered, 3);
    assertEquals(tap.seen().map(numberOf), [2]);
    tap.socket.setFilter(wanting(3));
    injector.send(numbered(1), numbered(2), numbered(3));
    await all.waitFor(isNumbered, 6);
    assertEquals(tap.seen().map(numberOf), [2, 3]);
  },
  WITH_PING,
);

netTest("PacketSocket.drops() counts what its buffer had no room for", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  using tap = new Tap(gateway, { bufferSize: 20_000 });
  using all = new Tap(gateway);
  using injector = new Injector(outside);
  const burst = Array.from({ length: 200 }, (_, i) => numbered(i + 1, 1000));
  assertEquals(tap.socket.drops(), 0);
  injector.send(...burst);
  await all.waitFor(isNumbered, 200);
  const kept = tap.seen().length;
  assert(kept > 5 && kept < 200, `${kept} kept`);
  assertEquals(tap.socket.drops(), 200 - kept);
  // The kernel counts from 0 after each time it is asked.
  assertEquals(tap.socket.drops(), 200 - kept);
  injector.send(...burst);
  await all.waitFor(isNumbered, 400);
  assertEquals(tap.socket.drops(), 400 - tap.seen().length);
}, WITH_PING);

/** A TUN device, whose packets have no link-layer header, and what writes to it. */
function openTun(
  topology: Topology,
): { namespace: TestNamespace; write: (packet: Bytes) => void; tun: Tun } {
  const namespace = topology.namespace("tun");
  const arena = new Arena(1024 * 1024);
  const tun = namespace.inside(() => Tun.open(openLibc(), arena, "tun7"));
  namespace.rtnetlink.links.configure("tun7", { up: true });
  const offset = arena.allocate(4096);
  const write = (packet: Bytes) => {
    arena.bytes.fill(0, offset, offset + VNET_HEADER_SIZE);
    arena.bytes.set(packet, offset + VNET_HEADER_SIZE);
    tun.beginWrite();
    tun.addPiece(offset, VNET_HEADER_SIZE + packet.length);
    assert(tun.endWrite() > 0);
  };
  return { namespace, write, tun };
}

netTest("PacketSocket works where there is no link-layer header", async (topology) => {
  const { namespace, write, tun } = openTun(topology);
  using _tun = tun;
  using tap = new Tap(namespace, { device: "tun7", linkHeaderSize: 0 });
  write(numbered(1, 100));
  write(numbered(2, 1000));
  const arrived = await tap.waitFor(isNumbered, 2);
  assertEquals(arrived.map(({ packet }) => packet), [numbered(1, 100), numbered(2, 1000)]);
  assertEquals(arrived[0]!.header, new Uint8Array(VNET_HEADER_SIZE));
  for (const offset of tap.socket.receivedOffsets) assertEquals((offset + VNET_HEADER_SIZE) % 4, 0);
});

netTest("PacketSocket.open() throws ENODEV where there is no such interface", (topology) => {
  const namespace = topology.namespace("none");
  const options = { linkHeaderSize: 14, filter: ONLY_IPV4, batch: 1, bufferSize: 65536 };
  const error = assertThrows(
    () =>
      namespace.inside(() =>
        PacketSocket.open(openLibc(), new Arena(1024 * 1024), { link: 4711, ...options })
      ),
    SystemCallError,
  );
  assertEquals(error.errno, ENODEV);
  assertEquals(
    error.message,
    "Cannot bind packet socket to interface 4711: no such device (ENODEV)",
  );
});

netTest("PacketSocket.receive() allocates nothing", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  using tap = new Tap(gateway, { batch: 4 });
  using injector = new Injector(outside);
  injector.send(numbered(1), numbered(2), numbered(3));
  let received = 0;
  const grown = heapGrowth(CALLS, () => {
    injector.sendAgain();
    const count = tap.socket.receive();
    if (count > 0) received += count;
  });
  assert(received > 5 * CALLS, `${received} packets`);
  assert(grown < CALLS * 8, `${grown} bytes`);
}, WITH_PING);
