/**
 * Packet sender: sends whole frames by a packet socket, past the host's IP layer and its firewall, straight to an
 * interface's queue.
 *
 * PACKET_VNET_HDR lets one frame stand for many TCP segments: the interface cuts it up, or the kernel does on the way
 * to it (`validate_xmit_skb()`, net/core/dev.c). PACKET_QDISC_BYPASS is left off: that path drops a frame that the
 * kernel would have to cut up itself (`__dev_direct_xmit()`).
 */
import type { Arena } from "../arena.ts";
import { check } from "../errno.ts";
import type { Libc } from "../libc.ts";
import {
  AF_PACKET,
  MSG_DONTWAIT,
  PACKET_VNET_HDR,
  SO_MARK,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_PACKET,
  SOL_SOCKET,
} from "../socket_constants.ts";
import { MessageHeaders } from "../message_headers.ts";
import { requireOption, setOption } from "../socket_options.ts";
import { SOCKADDR_LL_IFINDEX, SOCKADDR_LL_PROTOCOL, SOCKADDR_LL_SIZE } from "./link_address.ts";

export interface PacketSenderOptions {
  /** SO_MARK of each frame, for what looks at it behind the IP layer: traffic control. */
  readonly mark: number;
  /** Frames that one send call takes. */
  readonly frames: number;
  /** The most pieces of a frame. */
  readonly pieces: number;
  /** Wanted size of the socket's buffer in bytes. */
  readonly bufferSize: number;
}

export class PacketSender implements Disposable {
  readonly fd: number;
  /** The most frames, and pieces of each, that can be composed. */
  readonly capacity: number;
  readonly maxPieces: number;
  /** Frames composed since `clear()`. */
  count = 0;

  readonly #libc: Libc;
  readonly #view: DataView<ArrayBuffer>;
  readonly #headers: MessageHeaders;
  #pieces = 0;

  private constructor(libc: Libc, arena: Arena, socket: { fd: number } & PacketSenderOptions) {
    this.#libc = libc;
    this.#view = arena.view;
    this.fd = socket.fd;
    this.capacity = socket.frames;
    this.maxPieces = socket.pieces;
    this.#headers = new MessageHeaders(arena, {
      count: socket.frames,
      nameSize: SOCKADDR_LL_SIZE,
      controlSize: 0,
      vectors: socket.pieces,
    });
    for (let i = 0; i < socket.frames; i++) {
      arena.view.setUint16(this.#headers.name(i), AF_PACKET, true);
    }
  }

  /** Bytes of arena that a sender takes. */
  static arenaSize(
    { frames, pieces }: Pick<PacketSenderOptions, "frames" | "pieces">,
  ): number {
    return MessageHeaders.arenaSize({
      count: frames,
      nameSize: SOCKADDR_LL_SIZE,
      controlSize: 0,
      vectors: pieces,
    });
  }

  /**
   * Opens a socket in the network namespace that the thread is in now. It receives nothing.
   *
   * @throws {SystemCallError} EPERM without CAP_NET_RAW, EAFNOSUPPORT where the kernel has no packet sockets
   */
  static open(libc: Libc, arena: Arena, options: PacketSenderOptions): PacketSender {
    const { symbols } = libc;
    // With the link-layer header: PACKET_VNET_HDR is refused to SOCK_DGRAM (net/packet/af_packet.c).
    const fd = check(
      libc,
      symbols.socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
      "open packet socket",
    );
    try {
      const vnetHeader = { level: SOL_PACKET, option: PACKET_VNET_HDR, value: 1 };
      requireOption(libc, fd, vnetHeader, "give virtio-net headers to packet socket");
      const mark = { level: SOL_SOCKET, option: SO_MARK, value: options.mark };
      requireOption(libc, fd, mark, `set firewall mark ${options.mark} on packet socket`);
      setOption(libc, fd, { level: SOL_SOCKET, option: SO_SNDBUFFORCE, value: options.bufferSize });
      return new PacketSender(libc, arena, { fd, ...options });
    } catch (error) {
      symbols.close(fd);
      throw error;
    }
  }

  /**
   * Begins frame `count`, which leaves by interface `link` (an index) once it is ended. Of one that is to be cut up,
   * the kernel holds the virtio-net header against the Ethernet type.
   */
  beginFrame(link: number, etherType: number): void {
    const name = this.#headers.name(this.count);
    this.#view.setInt32(name + SOCKADDR_LL_IFINDEX, link, true);
    this.#view.setUint16(name + SOCKADDR_LL_PROTOCOL, etherType);
    this.#pieces = 0;
  }

  /**
   * Adds the bytes at `offset` to the frame. The first piece starts with the `virtio_net_hdr`, then the link-layer
   * header.
   */
  addPiece(offset: number, length: number): void {
    this.#headers.setPiece(this.count, this.#pieces++, offset, length);
  }

  /** Ends the frame. */
  endFrame(): void {
    this.#headers.setPieces(this.count, this.#pieces);
    this.count++;
  }

  /**
   * Hands frames to the kernel, from frame `first` on.
   *
   * @returns how many it took, at least one; or the negative error number, which is about frame `first`: EAGAIN or
   * ENOBUFS where there is no room, EMSGSIZE for a single packet beyond the MTU, EINVAL for what it does not segment
   */
  send(first: number): number {
    const sent = this.#libc.symbols.sendmmsg(
      this.fd,
      this.#headers.pointerFrom(first),
      this.count - first,
      MSG_DONTWAIT,
    );
    return sent >= 0 ? sent : -this.#libc.errno();
  }

  /** Forgets all frames. */
  clear(): void {
    this.count = 0;
  }

  [Symbol.dispose](): void {
    this.#libc.symbols.close(this.fd);
  }
}
