/**
 * Segment sender: sends IP packets past the kernel's IP layer, where that is possible: neighbours in the queue that
 * are one TCP flow's consecutive segments, or one UDP flow's datagrams, leave as one frame, which the interface, or the
 * kernel right before it, cuts up again.
 *
 * Where the next hop is not known (yet), and for good once the kernel has refused such a frame, packets leave one at a
 * time by the raw socket of their family. Their order is kept in any case. Linux before 6.2 refuses frames of UDP
 * alone.
 */
import type { Arena } from "../../../ffi/arena.ts";
import {
  EAGAIN,
  EINTR,
  EINVAL,
  EIO,
  ENOBUFS,
  EOPNOTSUPP,
  SystemCallError,
} from "../../../ffi/errno.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { PacketSender } from "../../../ffi/sockets/packet_sender.ts";
import type { PacketBatch } from "../../../ffi/sockets/raw_socket.ts";
import {
  ipHeaderSizeOf,
  MAX_HEADERS_SIZE,
  TcpRuns,
  writeChecksum,
  writeHeaderChecksum,
  writePartialChecksum,
} from "../../core/offload/tcp_runs.ts";
import { UDP_HEADERS_SIZE, UdpRuns } from "../../core/offload/udp_runs.ts";
import {
  GSO_TCPV4,
  GSO_TCPV6,
  VNET_HEADER_SIZE,
  writePartialHeader,
  writePlainHeader,
  writeTcpHeader,
  writeUdpHeader,
} from "../../core/offload/virtio_net_header.ts";
import * as ipv4 from "../../core/wire/ipv4.ts";
import * as ipv6 from "../../core/wire/ipv6.ts";
import { ETHERNET_HEADER_SIZE, type NextHop, NextHops } from "./next_hop.ts";
import { RawSender } from "./raw_sender.ts";

/** Frames that one send call handles, and packets of each: 45 of 1,428 bytes make 64 KiB. */
const FRAMES = 16;
const MAX_PACKETS = 64;
/**
 * With its Ethernet header a frame stays below the 65,536 bytes (gso_max_size) from which on no interface cuts it up.
 */
const MAX_BYTES = 65_535 - ETHERNET_HEADER_SIZE;
/** By frame: virtio-net header and link-layer header, which end where the headers of a merged packet begin. */
const PACKET_START = VNET_HEADER_SIZE + ETHERNET_HEADER_SIZE;
const HEADER_SPACE = (PACKET_START + MAX_HEADERS_SIZE + 63) & -64;
/** Errors that say that the kernel does not take such frames. */
const REFUSALS: ReadonlySet<number> = new Set([EINVAL, EIO, EOPNOTSUPP]);

export interface SegmentSenderOptions {
  /** SO_MARK of each packet, by which routing and the firewall know it. */
  readonly mark: number;
  /** The interface that packets leave by; null for that of the route. */
  readonly device: { readonly name: string; readonly link: number } | null;
  /**
   * Whether the packets are TCP segments made here, whose checksums, of IP and TCP, are still to be written. Those of
   * others arrive as they are.
   */
  readonly own: boolean;
  /** Whether there are packets of IPv6. */
  readonly ipv6: boolean;
  /** Whether frames are tried at all. */
  readonly offload: boolean;
  /** Wanted size of each socket's buffer in bytes. */
  readonly bufferSize: number;
}

interface Sockets {
  readonly raw: RawSender;
  readonly frames: PacketSender | null;
  readonly hops: NextHops;
}

export class SegmentSender implements Disposable {
  /** Readable when there is something to `serve()`; for an epoll set. */
  readonly fd: number;
  /** Whether packets leave as frames where the next hop is known; false for good once the kernel has refused one. */
  offload: boolean;
  /** The same for datagrams of UDP; of no meaning where segments are our own, or `offload` is false. */
  udpOffload = true;
  /** True after `send()` stopped because a socket's buffer was full; `blockedFd` is that socket. */
  blocked = false;
  blockedFd: number;
  /** By errno: how many packets the kernel refused so; and how many in all. */
  readonly errors: Map<number, number>;
  errorCount = 0;
  /** Frames sent that stood for several packets. */
  mergedFrames = 0;

  readonly #raw: RawSender;
  readonly #frames: PacketSender | null;
  readonly #hops: NextHops;
  readonly #view: DataView<ArrayBuffer>;
  readonly #runs: TcpRuns;
  readonly #udpRuns: UdpRuns;
  readonly #own: boolean;
  readonly #headers: number;
  /** By composed frame: the index behind its last packet. */
  readonly #ends = new Int32Array(FRAMES);

  private constructor(arena: Arena, { raw, frames, hops }: Sockets, own: boolean) {
    this.#raw = raw;
    this.#frames = frames;
    this.#hops = hops;
    this.#view = arena.view;
    this.#runs = new TcpRuns(arena, { maxPackets: MAX_PACKETS, maxBytes: MAX_BYTES, own });
    this.#udpRuns = new UdpRuns(arena, { maxPackets: MAX_PACKETS, maxBytes: MAX_BYTES });
    this.#own = own;
    this.#headers = arena.allocate(FRAMES * HEADER_SPACE);
    this.fd = hops.fd;
    this.offload = frames !== null;
    this.blockedFd = raw.blockedFd;
    this.errors = raw.errors;
  }

  /** Bytes of arena that a sender takes. */
  static readonly arenaSize: number = PacketSender.arenaSize(
    { frames: FRAMES, pieces: MAX_PACKETS + 1 },
  ) +
    FRAMES * HEADER_SPACE + RawSender.arenaSize + 1024;

  /**
   * Opens the sockets in the network namespace that the thread is in now.
   *
   * @throws {SystemCallError} EPERM without CAP_NET_RAW, ENODEV where there is no such interface
   */
  static open(libc: Libc, arena: Arena, options: SegmentSenderOptions): SegmentSender {
    const { mark, device, bufferSize, ipv6 } = options;
    using opened = new DisposableStack();
    const raw = opened.use(
      RawSender.open(libc, arena, {
        ...{ mark, bufferSize, device: device?.name ?? null, ipv6 },
      }),
    );
    const hops = opened.use(NextHops.open(libc, arena.view, { mark, link: device?.link ?? null }));
    const frames = options.offload ? openFrames(libc, arena, { mark, bufferSize }) : null;
    opened.move();
    return new SegmentSender(arena, { raw, frames, hops }, options.own);
  }

  /**
   * Sends packets `from` (inclusive) to `to` (exclusive). One that the kernel refuses is counted and skipped.
   *
   * @param now monotonic, in ms
   * @returns the index of the first packet that is still to be sent: `to`, or less with `blocked` set
   */
  send(packets: PacketBatch, from: number, to: number, now: number): number {
    this.blocked = false;
    let next = from;
    while (next < to && !this.blocked) {
      const end = this.#compose(packets, next, to, now);
      next = end > next
        ? this.#sendFrames(packets, next)
        : this.#sendRaw(packets, next, this.#stretch(packets, next, to, now));
    }
    return next;
  }

  /** Takes the offset of a packet that is longer than its interface takes. */
  set onTooLong(take: (packet: number) => void) {
    this.#raw.onTooLong = take;
  }

  /**
   * Has packets leave by this interface from now on.
   *
   * @throws {SystemCallError} ENODEV where there is no such interface
   */
  setDevice({ name, link }: { readonly name: string; readonly link: number }): void {
    this.#raw.setDevice(name);
    this.#hops.setLink(link);
  }

  /** Bytes that an interface (by index) takes now; null where it is not there. */
  linkMtu(link: number): number | null {
    return this.#hops.linkMtu(link);
  }

  /** Takes what the kernel tells of neighbours. */
  serve(): void {
    this.#hops.serve();
  }

  /** Takes note that interfaces, addresses or routes have changed. */
  networkChanged(): void {
    this.#hops.forget();
  }

  /** ms at which `poll()` is due. */
  pollAt(): number {
    return this.#hops.pollAt();
  }

  poll(now: number): void {
    this.#hops.poll(now);
  }

  [Symbol.dispose](): void {
    this.#frames?.[Symbol.dispose]();
    this.#hops[Symbol.dispose]();
    this.#raw[Symbol.dispose]();
  }

  // As frames.

  /** Describes as many packets as fit one send call, up to the first that has to go another way. Returns its index. */
  #compose(packets: PacketBatch, from: number, to: number, now: number): number {
    const frames = this.#frames;
    if (frames === null || !this.offload) return from;
    frames.clear();
    let next = from;
    while (next < to && frames.count < FRAMES) {
      const count = this.#measure(packets, next, to);
      const hop = this.#hopOf(packets, next, count, now);
      if (hop === null) break;
      if (count > 1) this.#composeMerged(packets, next, count, hop);
      else this.#composeSingle(packets.offsets[next], packets.lengths[next], hop);
      next += count;
      this.#ends[frames.count - 1] = next;
    }
    return next;
  }

  /** How many packets from `first` on can leave as one. */
  #measure(packets: PacketBatch, first: number, to: number): number {
    if (!this.#isUdp(packets, first)) return this.#runs.measure(packets, first, to);
    return this.udpOffload ? this.#udpRuns.measure(packets, first, to) : 1;
  }

  #isUdp({ offsets }: PacketBatch, index: number): boolean {
    const packet = offsets[index];
    return !ipv6.isIpv6(this.#view, packet) &&
      ipv4.protocol(this.#view, packet) === ipv4.PROTOCOL_UDP;
  }

  /** Where a run of `count` packets goes as a frame; null where it cannot. */
  #hopOf(packets: PacketBatch, first: number, count: number, now: number): NextHop | null {
    const packet = packets.offsets[first];
    // Single packets, to a thousand strangers a second perhaps, are not worth a question each: answers to forged SYNs
    // above all.
    const hop = count > 1 ? this.#hops.resolve(packet, now) : this.#hops.find(packet);
    // The raw socket refuses what is too long. Of a merged frame's segments, only the interface would notice.
    return hop !== null && packets.lengths[first] <= hop.mtu ? hop : null;
  }

  #composeMerged(packets: PacketBatch, first: number, count: number, hop: NextHop): void {
    const frames = this.#frames!;
    const isUdp = this.#isUdp(packets, first);
    const headersSize = isUdp ? UDP_HEADERS_SIZE : this.#runs.headersSize;
    const at = this.#headers + frames.count * HEADER_SPACE + PACKET_START;
    const linkHeaderSize = this.#writeLinkHeader(at, hop);
    const start = at - linkHeaderSize - VNET_HEADER_SIZE;
    const payloadSize = packets.lengths[first] - headersSize;
    if (isUdp) {
      this.#udpRuns.writeHeaders(packets, first, count, at);
      writeUdpHeader(this.#view, start, linkHeaderSize + ipv4.MIN_HEADER_SIZE, payloadSize);
    } else {
      this.#runs.writeHeaders(packets, first, count, at);
      const ipHeaderSize = ipHeaderSizeOf(this.#view, at);
      writeTcpHeader(
        this.#view,
        start,
        linkHeaderSize + ipHeaderSize,
        linkHeaderSize + headersSize,
        payloadSize,
        ipHeaderSize === ipv6.HEADER_SIZE ? GSO_TCPV6 : GSO_TCPV4,
      );
    }
    frames.beginFrame(hop.link, hop.etherType);
    frames.addPiece(start, VNET_HEADER_SIZE + linkHeaderSize + headersSize);
    for (let i = first; i < first + count; i++) {
      frames.addPiece(packets.offsets[i] + headersSize, packets.lengths[i] - headersSize);
    }
    frames.endFrame();
  }

  #composeSingle(packet: number, length: number, hop: NextHop): void {
    const frames = this.#frames!;
    const at = this.#headers + frames.count * HEADER_SPACE + PACKET_START;
    const linkHeaderSize = this.#writeLinkHeader(at, hop);
    const start = at - linkHeaderSize - VNET_HEADER_SIZE;
    if (this.#own) {
      if (!ipv6.isIpv6(this.#view, packet)) writeHeaderChecksum(this.#view, packet);
      writePartialChecksum(this.#view, packet, length);
      writePartialHeader(this.#view, start, linkHeaderSize + ipHeaderSizeOf(this.#view, packet));
    } else {
      writePlainHeader(this.#view, start);
    }
    frames.beginFrame(hop.link, hop.etherType);
    frames.addPiece(start, VNET_HEADER_SIZE + linkHeaderSize);
    frames.addPiece(packet, length);
    frames.endFrame();
  }

  /** Writes the link-layer header that ends at `end`. Returns its bytes. */
  #writeLinkHeader(end: number, { header }: NextHop): number {
    const size = header.length;
    for (let i = 0; i < size; i++) this.#view.setUint8(end - size + i, header[i]);
    return size;
  }

  /**
   * Sends what is composed, which begins with packet `from`. Returns the index of the first packet that is still to be
   * sent.
   */
  #sendFrames(packets: PacketBatch, from: number): number {
    const frames = this.#frames!;
    let next = from;
    let first = 0;
    while (first < frames.count) {
      const sent = frames.send(first);
      if (sent > 0) {
        for (const last = first + sent; first < last; first++) {
          if (this.#ends[first] > next + 1) this.mergedFrames++;
          next = this.#ends[first];
        }
        continue;
      }
      const errno = -sent;
      if (errno === EINTR) continue;
      if (errno === EAGAIN || errno === ENOBUFS) {
        this.blocked = true;
        this.blockedFd = frames.fd;
        return next;
      }
      // Or the interface has gone, is down, has a smaller MTU: the raw socket knows another way, or says what is wrong.
      const isMergedUdp = this.#ends[first] > next + 1 && this.#isUdp(packets, next);
      if (!REFUSALS.has(errno)) this.#hops.forget();
      else if (isMergedUdp) this.udpOffload = false;
      else this.offload = false;
      return this.#sendRaw(packets, next, this.#ends[first]);
    }
    return next;
  }

  // Singly.

  #sendRaw(packets: PacketBatch, from: number, to: number): number {
    if (this.#own) {
      for (let i = from; i < to; i++) {
        writeChecksum(this.#view, packets.offsets[i], packets.lengths[i]);
      }
    }
    const next = this.#raw.send(packets, from, to);
    this.errorCount = this.#raw.errorCount;
    if (this.#raw.blocked) {
      this.blocked = true;
      this.blockedFd = this.#raw.blockedFd;
    }
    return next;
  }

  /** The index behind the last of the runs from `first` on that cannot leave as frames. */
  #stretch(packets: PacketBatch, first: number, to: number, now: number): number {
    if (!this.offload) return to;
    let next = first;
    let count = this.#measure(packets, next, to);
    do {
      next += count;
      count = next < to ? this.#measure(packets, next, to) : 0;
    } while (count > 0 && this.#hopOf(packets, next, count, now) === null);
    return next;
  }
}

/** The packet socket; null where the kernel has none, or none with virtio-net headers. */
function openFrames(
  libc: Libc,
  arena: Arena,
  options: { readonly mark: number; readonly bufferSize: number },
): PacketSender | null {
  try {
    return PacketSender.open(libc, arena, {
      ...options,
      frames: FRAMES,
      pieces: MAX_PACKETS + 1,
    });
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    return null;
  }
}
