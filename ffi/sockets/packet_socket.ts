/**
 * Packet socket: takes what arrives on an interface, before the host's stack and its firewall do.
 *
 * It is bound with ETH_P_ALL: those sockets are the tap that stands before netdev ingress (net/core/dev.c,
 * `__netif_receive_skb_core`), so a drop there keeps packets from the stack but not from us; ETH_P_IP sockets stand
 * behind it and would see nothing. PACKET_VNET_HDR tells of packets that GRO merged or whose checksum is not complete.
 * A BPF filter lets through what is wanted, so that other traffic costs nothing.
 */
import type { Arena } from "../arena.ts";
import { check } from "../errno.ts";
import type { Libc } from "../libc.ts";
import {
  AF_PACKET,
  MSG_DONTWAIT,
  PACKET_VNET_HDR,
  SO_RCVBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_PACKET,
  SOL_SOCKET,
} from "../socket_constants.ts";
import { MessageHeaders } from "../message_headers.ts";
import { requireOption, setOption } from "../socket_options.ts";
import {
  SOCKADDR_LL_HATYPE,
  SOCKADDR_LL_IFINDEX,
  SOCKADDR_LL_PROTOCOL,
  SOCKADDR_LL_SIZE,
} from "./link_address.ts";
import { attachFilter, type BpfInstruction } from "./packet_filter.ts";

const ETH_P_ALL = 0x0003;
const PACKET_STATISTICS = 6;
const PACKET_IGNORE_OUTGOING = 23;
/** The types of interface (`linux/if_arp.h`) whose link-layer header is Ethernet's. */
const ARPHRD_ETHER = 1;
const ARPHRD_LOOPBACK = 772;
const ETHERNET_HEADER_SIZE = 14;
/** Given as the size of link-layer headers: it is another from packet to packet. */
const BY_TYPE = -1;

/** `struct virtio_net_hdr { u8 flags, gso_type; u16 hdr_len, gso_size, csum_start, csum_offset; }`, host order. */
const VNET_HEADER_SIZE = 10;
const VNET_CHECKSUM_START = 6;
/** Room for a virtio-net header, a link-layer header and the largest packet that GRO makes. */
export const CAPTURE_BUFFER_SIZE = 65_664;
/** Bytes at the end of a buffer that a packet never reaches, and that sealing may overwrite with padding. */
const PADDING_ROOM = 64;

/** The program that lets nothing through: `ret #0`. */
const NOTHING: readonly BpfInstruction[] = [{ code: 0x06, jt: 0, jf: 0, k: 0 }];

/** One interface: its index, and the bytes of its link-layer header, 14 on Ethernet and 0 where there is none. */
export interface PacketSocketLink {
  readonly link: number;
  readonly linkHeaderSize: number;
}

/**
 * On which interface. Or on all, of which the filter should take only those with headers like Ethernet's (the
 * loopback's is one) or with none. Or on none yet.
 */
export type PacketSocketPlace = PacketSocketLink | { readonly link: "all" | "none" };

export type PacketSocketOptions = PacketSocketPlace & {
  readonly filter: readonly BpfInstruction[];
  /** Packets that one receive call takes. */
  readonly batch: number;
  /** Wanted size of the socket's buffer in bytes. */
  readonly bufferSize: number;
};

export class PacketSocket implements Disposable {
  /** What the last `receive()` brought: the offset of each virtio-net header, the IP packet right behind it. */
  readonly receivedOffsets: Int32Array;
  /** Bytes, the header included; -1 when the kernel had to cut the packet short. */
  readonly receivedLengths: Int32Array;

  #fd: number;
  readonly #libc: Libc;
  readonly #bufferSize: number;
  readonly #headers: MessageHeaders;
  readonly #batch: number;
  readonly #view: DataView<ArrayBuffer>;
  /** Bytes, or `BY_TYPE`. */
  #linkHeaderSize: number;
  /** Of each virtio-net header, as the kernel writes it: before the link-layer header. */
  readonly #starts: Int32Array;
  readonly #buffers: number;
  readonly #statistics = new Uint32Array(2);
  #drops = 0;

  private constructor(
    libc: Libc,
    arena: Arena,
    socket: { fd: number; batch: number; bufferSize: number; linkHeaderSize: number },
  ) {
    this.#libc = libc;
    this.#view = arena.view;
    this.#batch = socket.batch;
    this.#linkHeaderSize = socket.linkHeaderSize;
    this.#fd = socket.fd;
    this.#bufferSize = socket.bufferSize;
    this.receivedOffsets = new Int32Array(socket.batch);
    this.receivedLengths = new Int32Array(socket.batch);
    this.#starts = new Int32Array(socket.batch);
    const byType = socket.linkHeaderSize === BY_TYPE;
    this.#headers = new MessageHeaders(arena, {
      count: socket.batch,
      nameSize: byType ? SOCKADDR_LL_SIZE : 0,
      controlSize: 0,
      vectors: 1,
    });
    this.#buffers = arena.allocate(socket.batch * CAPTURE_BUFFER_SIZE);
    this.#placeBuffers();
  }

  /** The packet itself shall begin on a multiple of 4, where the cipher wants it, if only on Ethernet. */
  #placeBuffers(): void {
    const size = this.#linkHeaderSize;
    const linkHeaderSize = size === BY_TYPE ? ETHERNET_HEADER_SIZE : size;
    const start = -(VNET_HEADER_SIZE + linkHeaderSize) & 3;
    for (let i = 0; i < this.#batch; i++) {
      this.#starts[i] = this.#buffers + i * CAPTURE_BUFFER_SIZE + start;
      this.receivedOffsets[i] = this.#starts[i] + linkHeaderSize;
      this.#headers.setPiece(i, 0, this.#starts[i], CAPTURE_BUFFER_SIZE - PADDING_ROOM);
    }
  }

  /** @throws {SystemCallError} EPERM without CAP_NET_RAW, ENODEV where there is no such interface */
  static open(libc: Libc, arena: Arena, options: PacketSocketOptions): PacketSocket {
    const { batch, bufferSize, link } = options;
    const fd = openSocket(libc, options);
    const linkHeaderSize = "linkHeaderSize" in options
      ? options.linkHeaderSize
      : link === "all"
      ? BY_TYPE
      : ETHERNET_HEADER_SIZE;
    return new PacketSocket(libc, arena, { fd, batch, bufferSize, linkHeaderSize });
  }

  /** Another one after `reopen()`. */
  get fd(): number {
    return this.#fd;
  }

  /**
   * Takes what has arrived, up to a batch.
   *
   * @returns the count of packets, described by the `received...` arrays, or the negative error number (EAGAIN: none)
   */
  receive(): number {
    const count = this.#libc.symbols.recvmmsg(
      this.fd,
      this.#headers.pointer,
      this.#batch,
      MSG_DONTWAIT,
      null,
    );
    if (count < 0) return -this.#libc.errno();
    for (let i = 0; i < count; i++) {
      const length = this.#headers.receivedLength(i);
      const linkHeaderSize = this.#linkHeaderSize === BY_TYPE
        ? this.#readLinkHeaderSize(i)
        : this.#linkHeaderSize;
      this.receivedLengths[i] = length < 0 ? length : length - linkHeaderSize;
      this.receivedOffsets[i] = this.#starts[i] + linkHeaderSize;
      if (linkHeaderSize > 0) this.#moveVnetHeader(this.#starts[i], linkHeaderSize);
    }
    return count;
  }

  /** By the type of the interface that a message came by. */
  #readLinkHeaderSize(index: number): number {
    const type = this.#view.getUint16(this.#headers.name(index) + SOCKADDR_LL_HATYPE, true);
    // The kernel shortened the room for the name to what it wrote; the next call must find it again.
    this.#headers.reset(index);
    return type === ARPHRD_ETHER || type === ARPHRD_LOOPBACK ? ETHERNET_HEADER_SIZE : 0;
  }

  /** Moves the virtio-net header over the link-layer header, which nobody needs, to stand right before the packet. */
  #moveVnetHeader(from: number, linkHeaderSize: number): void {
    const view = this.#view;
    const to = from + linkHeaderSize;
    for (let at = VNET_HEADER_SIZE - 2; at >= 0; at -= 2) {
      view.setUint16(to + at, view.getUint16(from + at));
    }
    const start = view.getUint16(to + VNET_CHECKSUM_START, true);
    if (start > 0) view.setUint16(to + VNET_CHECKSUM_START, start - linkHeaderSize, true);
  }

  /** Replaces the filter. */
  setFilter(filter: readonly BpfInstruction[]): void {
    attachFilter(this.#libc, this.fd, filter);
  }

  /**
   * Listens on another interface from now on, or on the same one after it had gone; what waits is lost.
   *
   * @throws {SystemCallError} ENODEV where there is no such interface, ENETDOWN for one that is down
   */
  move(to: PacketSocketLink, filter: readonly BpfInstruction[]): void {
    // What has come by the last interface has another link-layer header: none of it passes any more.
    attachFilter(this.#libc, this.fd, NOTHING);
    // The first error may be that the interface has gone, with packets behind it.
    for (let errors = 0; errors < 2;) if (this.receive() < 0) errors++;
    this.#linkHeaderSize = to.linkHeaderSize;
    this.#placeBuffers();
    bindTo(this.#libc, this.fd, to.link);
    attachFilter(this.#libc, this.fd, filter);
  }

  /**
   * The same by another socket in place of this one: one that shares packets with others (packet_fanout.ts) stays where
   * it is. Nothing passes before `setFilter()`: until the new one shares them, it would take what is for others too.
   *
   * @throws {SystemCallError} as `move()`; the last socket is still there then
   */
  reopen(to: PacketSocketLink): void {
    const fd = openSocket(this.#libc, { ...to, filter: NOTHING, bufferSize: this.#bufferSize });
    this.drops();
    this.#libc.symbols.close(this.#fd);
    this.#fd = fd;
    this.#linkHeaderSize = to.linkHeaderSize;
    this.#placeBuffers();
  }

  /** Packets lost so far because the socket's buffer was full. */
  drops(): number {
    // struct tpacket_stats { unsigned tp_packets, tp_drops; }: reading it sets it to zero.
    const bytes = new Uint8Array(this.#statistics.buffer);
    const length = new Uint8Array(new Uint32Array([bytes.length]).buffer);
    if (
      this.#libc.symbols.getsockopt(this.fd, SOL_PACKET, PACKET_STATISTICS, bytes, length) === 0
    ) {
      this.#drops += this.#statistics[1];
    }
    return this.#drops;
  }

  [Symbol.dispose](): void {
    this.#libc.symbols.close(this.#fd);
  }
}

function openSocket(
  libc: Libc,
  { link, filter, bufferSize }:
    & Pick<PacketSocketOptions, "filter" | "bufferSize">
    & { readonly link: PacketSocketPlace["link"] },
): number {
  const { symbols } = libc;
  // With the link-layer header: PACKET_VNET_HDR is refused to SOCK_DGRAM (net/packet/af_packet.c).
  // Protocol 0 receives nothing: no packet may slip in before the filter is there. `bind` names the protocol.
  const fd = check(
    libc,
    symbols.socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
    "open packet socket",
  );
  try {
    attachFilter(libc, fd, filter);
    const vnetHeader = { level: SOL_PACKET, option: PACKET_VNET_HDR, value: 1 };
    requireOption(libc, fd, vnetHeader, "get virtio-net headers from packet socket");
    const incoming = { level: SOL_PACKET, option: PACKET_IGNORE_OUTGOING, value: 1 };
    requireOption(libc, fd, incoming, "exclude outgoing packets from packet socket");
    setOption(libc, fd, { level: SOL_SOCKET, option: SO_RCVBUFFORCE, value: bufferSize });
    if (link !== "none") bindTo(libc, fd, link === "all" ? 0 : link);
    return fd;
  } catch (error) {
    symbols.close(fd);
    throw error;
  }
}

/** Index 0 stands for all interfaces. */
function bindTo(libc: Libc, fd: number, link: number): void {
  const address = new DataView(new ArrayBuffer(SOCKADDR_LL_SIZE));
  address.setUint16(0, AF_PACKET, true);
  address.setUint16(SOCKADDR_LL_PROTOCOL, ETH_P_ALL);
  address.setInt32(SOCKADDR_LL_IFINDEX, link, true);
  check(
    libc,
    libc.symbols.bind(fd, new Uint8Array(address.buffer), SOCKADDR_LL_SIZE),
    `bind packet socket to interface ${link}`,
  );
}
