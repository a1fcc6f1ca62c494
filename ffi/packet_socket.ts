/**
 * Owns the packet socket that sees what arrives on an interface, before the host's stack and its firewall do.
 *
 * It is bound with ETH_P_ALL: those sockets are the tap that stands before netdev ingress (net/core/dev.c,
 * `__netif_receive_skb_core`), so a drop there keeps packets from the stack but not from us; ETH_P_IP sockets stand behind
 * it and would see nothing. PACKET_VNET_HDR tells of packets that GRO merged or whose checksum is not complete. A BPF
 * filter lets through what is wanted, so that other traffic costs nothing.
 */
import type { Arena } from "./arena.ts";
import { check } from "./errno.ts";
import type { Libc } from "./libc.ts";
import { MessageHeaders } from "./message_headers.ts";

const AF_PACKET = 17;
/** Packets without their link-layer header: the filter and the reader both begin at the IP header. */
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const ETH_P_ALL = 0x0003;
const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
const SO_RCVBUFFORCE = 33;
const SOL_PACKET = 263;
const PACKET_STATISTICS = 6;
const PACKET_VNET_HDR = 15;
const PACKET_IGNORE_OUTGOING = 23;
const MSG_DONTWAIT = 0x40;
/** `struct sockaddr_ll { u16 family; be16 protocol; int ifindex; u16 hatype; u8 pkttype; u8 halen; u8 addr[8]; }` */
const SOCKADDR_LL_SIZE = 20;
/** `struct sock_filter { u16 code; u8 jt; u8 jf; u32 k; }` */
const SOCK_FILTER_SIZE = 8;

/** Room for a virtio-net header and the largest packet that GRO makes. */
export const CAPTURE_BUFFER_SIZE = 65_664;

/** One instruction of a classic BPF program (include/uapi/linux/filter.h). */
export interface BpfInstruction {
  readonly code: number;
  /** Instructions to skip if true, and if false. */
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

export interface PacketSocketOptions {
  /** Index of the interface. */
  readonly link: number;
  readonly filter: readonly BpfInstruction[];
  /** Packets that one receive call takes. */
  readonly batch: number;
  /** Wanted size of the socket's buffer in bytes. */
  readonly bufferSize: number;
}

export class PacketSocket implements Disposable {
  readonly fd: number;
  /** What the last `receive()` brought: the offset of each virtio-net header, the packet behind it. */
  readonly receivedOffsets: Int32Array;
  /** Bytes, the header included; -1 when the kernel had to cut the packet short. */
  readonly receivedLengths: Int32Array;

  readonly #libc: Libc;
  readonly #headers: MessageHeaders;
  readonly #batch: number;
  readonly #statistics = new Uint32Array(2);
  #drops = 0;

  private constructor(libc: Libc, arena: Arena, socket: { fd: number; batch: number }) {
    this.#libc = libc;
    this.#batch = socket.batch;
    this.fd = socket.fd;
    this.receivedOffsets = new Int32Array(socket.batch);
    this.receivedLengths = new Int32Array(socket.batch);
    this.#headers = new MessageHeaders(arena, {
      count: socket.batch,
      nameSize: 0,
      controlSize: 0,
      vectors: 1,
    });
    const buffers = arena.allocate(socket.batch * CAPTURE_BUFFER_SIZE);
    for (let i = 0; i < socket.batch; i++) {
      // The virtio-net header has ten bytes: behind it, the packet is aligned.
      this.receivedOffsets[i] = buffers + i * CAPTURE_BUFFER_SIZE + 6;
      this.#headers.setPiece(i, 0, this.receivedOffsets[i], CAPTURE_BUFFER_SIZE - 64);
    }
  }

  /** @throws {SystemCallError} EPERM without CAP_NET_RAW, ENODEV where there is no such interface */
  static open(libc: Libc, arena: Arena, options: PacketSocketOptions): PacketSocket {
    const { symbols } = libc;
    // Protocol 0 receives nothing: no packet may slip in before the filter is there. `bind` names the protocol.
    const fd = check(
      libc,
      symbols.socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
      "open packet socket",
    );
    try {
      attachFilter(libc, fd, options.filter);
      setFlag(libc, fd, PACKET_VNET_HDR, "get virtio-net headers from packet socket");
      setFlag(libc, fd, PACKET_IGNORE_OUTGOING, "leave outgoing packets out of packet socket");
      const size = new Uint8Array(new Int32Array([options.bufferSize]).buffer);
      symbols.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, size, size.length);
      const address = new DataView(new ArrayBuffer(SOCKADDR_LL_SIZE));
      address.setUint16(0, AF_PACKET, true);
      address.setUint16(2, ETH_P_ALL);
      address.setInt32(4, options.link, true);
      check(
        libc,
        symbols.bind(fd, new Uint8Array(address.buffer), SOCKADDR_LL_SIZE),
        `bind packet socket to interface ${options.link}`,
      );
      return new PacketSocket(libc, arena, { fd, batch: options.batch });
    } catch (error) {
      symbols.close(fd);
      throw error;
    }
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
    for (let i = 0; i < count; i++) this.receivedLengths[i] = this.#headers.receivedLength(i);
    return count;
  }

  /** Replaces the filter. */
  setFilter(filter: readonly BpfInstruction[]): void {
    attachFilter(this.#libc, this.fd, filter);
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
    this.#libc.symbols.close(this.fd);
  }
}

function attachFilter(libc: Libc, fd: number, filter: readonly BpfInstruction[]): void {
  const program = new DataView(new ArrayBuffer(filter.length * SOCK_FILTER_SIZE));
  filter.forEach(({ code, jt, jf, k }, index) => {
    const at = index * SOCK_FILTER_SIZE;
    program.setUint16(at, code, true);
    program.setUint8(at + 2, jt);
    program.setUint8(at + 3, jf);
    program.setUint32(at + 4, k, true);
  });
  const instructions = new Uint8Array(program.buffer);
  // struct sock_fprog { unsigned short len; struct sock_filter *filter; }
  const header = new DataView(new ArrayBuffer(16));
  header.setUint16(0, filter.length, true);
  header.setBigUint64(
    8,
    Deno.UnsafePointer.value(Deno.UnsafePointer.of(instructions)),
    true,
  );
  const bytes = new Uint8Array(header.buffer);
  check(
    libc,
    libc.symbols.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, bytes, bytes.length),
    "attach the filter to packet socket",
  );
}

function setFlag(libc: Libc, fd: number, option: number, action: string): void {
  const one = new Uint8Array(new Int32Array([1]).buffer);
  check(libc, libc.symbols.setsockopt(fd, SOL_PACKET, option, one, one.length), action);
}
