/** Tests of `ffi/tun.ts` against the kernel. */
import { Arena } from "../../../ffi/arena.ts";
import { EAGAIN, EBUSY, EINVAL, EIO, SystemCallError } from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { ipv4FromNumber } from "../../../ffi/netlink/ip_address.ts";
import { Tun, TUN_F_CSUM, TUN_F_TSO4, TUN_F_USO4, TUN_F_USO6 } from "../../../ffi/tun.ts";
import { pathsTo } from "../../../ffi/sockets/datagram_batch.ts";
import { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import { parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";
import { netTest, type TestNamespace, type Topology } from "../../support/net.ts";
import { buildUdp, referenceChecksum } from "../../support/packets/packet_builder.ts";
import { ARENA_SIZE } from "../support/traffic/sockets.ts";

const HOST = "10.66.77.1";
const PEER = "10.66.77.2";
const PORT = 7777;
/** `struct virtio_net_hdr`: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset (linux/virtio_net.h). */
const VNET_HEADER_SIZE = 10;
const VIRTIO_NET_HDR_F_NEEDS_CSUM = 1;
const VIRTIO_NET_HDR_GSO_UDP_L4 = 5;
const BUFFER_SIZE = 65536 + VNET_HEADER_SIZE;

/** A device that is up and has an address, and a socket on the host side of it. */
class Fixture implements Disposable {
  readonly namespace: TestNamespace;
  readonly arena: Arena = new Arena(ARENA_SIZE);
  readonly tun: Tun;
  readonly socket: UdpSocket;
  readonly buffer: number;

  constructor(topology: Topology) {
    const libc = openLibc();
    this.namespace = topology.namespace("tun");
    this.tun = this.namespace.inside(() => Tun.open(libc, this.arena, "tun7"));
    const { links, addresses } = this.namespace.rtnetlink;
    const { index } = links.get("tun7");
    addresses.add(index, { address: ipv4FromNumber(parseIpv4(HOST)!), prefixLength: 24 });
    // Without IPv6 the kernel sends nothing of its own.
    this.namespace.inside(() =>
      Deno.writeTextFileSync("/proc/sys/net/ipv6/conf/tun7/disable_ipv6", "1")
    );
    links.configure(index, { up: true });
    this.socket = this.namespace.inside(() =>
      UdpSocket.bind(libc, this.arena, {
        port: PORT,
        mark: 0,
        offload: true,
        bufferSize: 1024 * 1024,
        batch: 4,
      })
    );
    this.buffer = this.arena.allocate(BUFFER_SIZE);
  }

  /** Has the host send `count` datagrams of `length` bytes to the peer behind the device. */
  sendFromHost(count: number, length: number): void {
    const offset = this.arena.allocate(length);
    this.arena.bytes.fill(0xab, offset, offset + length);
    const batch = {
      offsets: new Int32Array(count).fill(offset),
      lengths: new Int32Array(count).fill(length),
      ...pathsTo(new Array(count).fill({ address: parseIpv4(PEER)!, port: PORT })),
    };
    assertEquals(this.socket.send(batch, 0, count), count);
  }

  read(): number {
    return this.tun.read(this.buffer, BUFFER_SIZE);
  }

  /** The IPv4 packet of a read of `length` bytes. */
  packet(length: number): Uint8Array {
    return this.arena.bytes.slice(this.buffer + VNET_HEADER_SIZE, this.buffer + length);
  }

  /** Hands the kernel an empty virtio-net header and these pieces of a packet. */
  write(pieces: readonly Uint8Array[]): number {
    const header = this.arena.allocate(VNET_HEADER_SIZE);
    this.tun.beginWrite();
    this.tun.addPiece(header, VNET_HEADER_SIZE);
    for (const piece of pieces) {
      const offset = this.arena.allocate(piece.length, 1);
      this.arena.bytes.set(piece, offset);
      this.tun.addPiece(offset, piece.length);
    }
    return this.tun.endWrite();
  }

  [Symbol.dispose](): void {
    this.socket[Symbol.dispose]();
    this.tun[Symbol.dispose]();
  }
}

/** Whether the checksum of a UDP datagram in an IPv4 packet of 20 + 8 + n bytes is right. */
function hasGoodUdpChecksum(packet: Uint8Array): boolean {
  const pseudo = new Uint8Array(12 + packet.length - 20);
  pseudo.set(packet.subarray(12, 20));
  pseudo.set([0, 17], 8);
  new DataView(pseudo.buffer).setUint16(10, packet.length - 20);
  pseudo.set(packet.subarray(20), 12);
  return referenceChecksum(pseudo) === 0;
}

netTest("Tun.open() makes a device that is down, and disposal removes it", (topology) => {
  const namespace = topology.namespace("tun");
  const { links, addresses } = namespace.rtnetlink;
  const tun = namespace.inside(() => Tun.open(openLibc(), new Arena(8192), "fifteen-bytes-1"));
  assertEquals(tun.name, "fifteen-bytes-1");
  const { index, up } = links.get("fifteen-bytes-1");
  assertEquals([up, addresses.list({ link: index })], [false, []]);
  tun[Symbol.dispose]();
  assertEquals(links.find("fifteen-bytes-1"), null);
});

netTest("Tun.open() throws EBUSY when the name is taken", (topology) => {
  const namespace = topology.namespace("tun");
  const open = (name: string) =>
    namespace.inside(() => Tun.open(openLibc(), new Arena(8192), name));
  using _tun = open("tun7");
  for (const name of ["tun7", "lo"]) {
    const error = assertThrows(() => open(name), SystemCallError);
    assertEquals(error.errno, EBUSY);
    assertEquals(
      error.message,
      `Cannot create TUN device "${name}": device or resource busy (EBUSY)`,
    );
  }
});

netTest(
  "Tun.read() returns a packet behind its header, and EAGAIN when there is none",
  (topology) => {
    using fixture = new Fixture(topology);
    assertEquals(fixture.read(), -EAGAIN);
    fixture.tun.setOffload(0);
    fixture.sendFromHost(1, 100);
    const length = fixture.read();
    assertEquals(length, VNET_HEADER_SIZE + 128);
    const header = fixture.arena.bytes.slice(fixture.buffer, fixture.buffer + VNET_HEADER_SIZE);
    assertEquals(header, new Uint8Array(VNET_HEADER_SIZE));
    const packet = fixture.packet(length);
    assertEquals([packet[0], packet[9]], [0x45, 17]);
    assertEquals([...packet.subarray(12, 20)], [10, 66, 77, 1, 10, 66, 77, 2]);
    assert(hasGoodUdpChecksum(packet));
    assertEquals(fixture.read(), -EAGAIN);
  },
);

netTest("Tun.read() returns a packet without its checksum when TUN_F_CSUM is set", (topology) => {
  using fixture = new Fixture(topology);
  assert(fixture.tun.setOffload(TUN_F_CSUM));
  fixture.sendFromHost(1, 100);
  const length = fixture.read();
  const { view } = fixture.arena;
  assertEquals(view.getUint8(fixture.buffer), VIRTIO_NET_HDR_F_NEEDS_CSUM);
  // The sum starts at the UDP header and belongs at offset 6 in that.
  assertEquals(view.getUint16(fixture.buffer + 6, true), 20);
  assertEquals(view.getUint16(fixture.buffer + 8, true), 6);
  assert(!hasGoodUdpChecksum(fixture.packet(length)));
});

netTest(
  "Tun.read() returns one super-packet when segmentation is left to the reader",
  (topology) => {
    using fixture = new Fixture(topology);
    const offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_USO4 | TUN_F_USO6;
    if (!fixture.tun.setOffload(offloads)) {
      // A kernel before 6.2, which segments UDP itself.
      assert(fixture.tun.setOffload(TUN_F_CSUM | TUN_F_TSO4));
      return;
    }
    fixture.sendFromHost(10, 1000);
    assertEquals(fixture.read(), VNET_HEADER_SIZE + 28 + 10 * 1000);
    const { view } = fixture.arena;
    assertEquals(view.getUint8(fixture.buffer + 1), VIRTIO_NET_HDR_GSO_UDP_L4);
    assertEquals(view.getUint16(fixture.buffer + 4, true), 1000);
    assertEquals(fixture.read(), -EAGAIN);
  },
);

netTest("Tun.endWrite() hands the host a packet put together from pieces", (topology) => {
  using fixture = new Fixture(topology);
  const packet = buildUdp({
    source: PEER,
    destination: HOST,
    destinationPort: PORT,
    payload: new TextEncoder().encode("put together"),
  });
  const pieces = [packet.subarray(0, 20), packet.subarray(20, 33), packet.subarray(33)];
  assertEquals(fixture.write(pieces), VNET_HEADER_SIZE + packet.length);
  assertEquals(fixture.socket.receive(), 1);
  const start = fixture.socket.receivedOffsets[0]!;
  const text = new TextDecoder().decode(fixture.arena.bytes.slice(start, start + 12));
  assertEquals([text, fixture.socket.receivedLengths[0]], ["put together", 12]);
  // The next packet has none of these pieces.
  assertEquals(fixture.write([packet]), VNET_HEADER_SIZE + packet.length);
  assertEquals(fixture.socket.receive(), 1);
});

netTest("Tun.endWrite() returns the error number when the kernel refuses", (topology) => {
  using fixture = new Fixture(topology);
  // Neither IPv4 nor IPv6.
  assertEquals(fixture.write([new Uint8Array(40).fill(0x95)]), -EINVAL);
  const { links } = fixture.namespace.rtnetlink;
  links.configure("tun7", { up: false });
  assertEquals(fixture.write([buildUdp({ source: PEER, destination: HOST })]), -EIO);
});

netTest("Tun.read() returns EBADFD when the device was removed", async (topology) => {
  using fixture = new Fixture(topology);
  await fixture.namespace.output(["ip", "link", "delete", "tun7"]);
  assertEquals(fixture.read(), -77);
}, { programs: ["ip"] });
