/**
 * Owns the UDP socket: datagrams in and out by the batch, with the kernel's segmentation offloads where it has them.
 *
 * One socket serves every peer, so it is never connected; each message carries its address. A send or a receive of many
 * datagrams is one system call.
 *
 * Datagrams leave without DF, as WireGuard's do: where a path is narrower than they are, routers divide them, though nobody
 * tells us. What the kernel makes of ICMP is not believed: whoever knows our port can forge it, and for ten minutes the kernel
 * would divide everything into pieces of 552 bytes. `probe()` alone sets DF; its answer comes from the peer, or from a router
 * by way of `IcmpErrorSocket`, whose user looks closer than the kernel does.
 */
import type { Arena } from "../arena.ts";
import { check, EAGAIN, EINTR, EINVAL, EIO, EMSGSIZE, ENETUNREACH, ENOBUFS } from "../errno.ts";
import type { Libc } from "../libc.ts";
import type { MessageHeaders } from "./message_headers.ts";
import { MAX_SEGMENTS, SOCKADDR_IN_SIZE, UdpBuffers } from "./udp_buffers.ts";

export { RECEIVE_BUFFER_SIZE } from "./udp_buffers.ts";

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SO_MARK = 36;
const SOL_IP = 0;
const IP_TOS = 1;
const IP_PKTINFO = 8;
const IP_MTU_DISCOVER = 10;
const IP_RECVTOS = 13;
/** DF, whatever the kernel has been told of the path. */
const IP_PMTUDISC_PROBE = 3;
/** No DF, and nothing that ICMP tells of a path is taken note of; what is longer than the first link takes is divided here. */
const IP_PMTUDISC_OMIT = 5;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const UDP_GRO = 104;

/** `struct cmsghdr { size_t len; int level; int type; }`, its data behind it, padded to 8 bytes. */
const CMSG_HEADER_SIZE = 16;
/** `struct in_pktinfo { int ipi_ifindex; be32 ipi_spec_dst; be32 ipi_addr; }` */
const PKTINFO_LENGTH = CMSG_HEADER_SIZE + 12;
const PKTINFO_SPACE = CMSG_HEADER_SIZE + 16;
/** `u16 gso_size` on send, `int gso_size` on receive. */
const SEGMENT_SPACE = CMSG_HEADER_SIZE + 8;
/** `int` on send, `u8` on receive: the type of service, of which ECN is two bits. */
const TOS_LENGTH = CMSG_HEADER_SIZE + 4;
const TOS_SPACE = CMSG_HEADER_SIZE + 8;
const ECN_MASK = 0b11;
const CONTROL_SPACE = PKTINFO_SPACE + SEGMENT_SPACE + TOS_SPACE;

/** The most bytes of one send: 65,535 less the IPv4 and UDP headers. */
const MAX_SEND_BYTES = 65507;

/** Datagrams to send: parallel arrays, index by index. */
export interface DatagramBatch {
  /** Arena offset of each datagram. */
  readonly offsets: Int32Array;
  /** Length of each in bytes, at least 1: UDP_SEGMENT has no empty segments. */
  readonly lengths: Int32Array;
  /** Destination IPv4 address, host order. */
  readonly addresses: Uint32Array;
  /** Destination port, host order. */
  readonly ports: Uint16Array;
  /** Source IPv4 address, host order; 0 lets the kernel choose. */
  readonly sources: Uint32Array;
  /** ECN bits of the IP header; all 0 if left out. */
  readonly ecns?: Uint8Array;
}

export interface UdpSocketOptions {
  /** Local port; 0 takes a free one. */
  readonly port: number;
  /** Local IPv4 address, host order; all of the host's if left out. */
  readonly address?: number;
  /** Where alone it receives from, host order; anywhere if left out. What is sent names its destination all the same. */
  readonly remote?: { readonly address: number; readonly port: number };
  /** SO_MARK for policy routing; 0 for none. */
  readonly mark: number;
  /** Use UDP_SEGMENT and UDP_GRO where the kernel has them. */
  readonly offload: boolean;
  /** Wanted size of the socket's buffers in bytes. */
  readonly bufferSize: number;
  /** Messages that one receive or send call handles. */
  readonly batch: number;
  /** From `UdpSocket.sharedBuffers()`, in place of its own. */
  readonly buffers?: UdpBuffers;
}

export class UdpSocket implements Disposable {
  readonly fd: number;
  readonly port: number;

  /** What the last `receive()` brought, index by index. */
  readonly receivedOffsets: Int32Array;
  /** Bytes; -1 when the kernel had to cut the datagram short. */
  readonly receivedLengths: Int32Array;
  /** Size of each merged datagram but the last, or 0 for a single one. */
  readonly receivedSegmentSizes: Int32Array;
  /** Senders' IPv4 addresses, host order, as int32: above 2^31, a uint32 would be boxed on its way to the core. */
  readonly receivedAddresses: Int32Array;
  readonly receivedPorts: Uint16Array;
  /** The local address that the datagram was sent to: what an answer must come from on a host with several. */
  readonly receivedSources: Int32Array;
  /** ECN bits of the IP header: the kernel merges only datagrams that have the same. */
  readonly receivedEcns: Uint8Array;

  /** True after `send()` stopped because the socket's buffer was full. */
  blocked = false;
  /** Datagrams that the kernel refused, and the errno of the last of them. */
  sendErrors = 0;
  lastSendError = 0;
  /** The source address whose use the kernel refused last (it was taken off the host), or 0. */
  refusedSource = 0;
  /** Whether sends use UDP_SEGMENT now; false for good once the kernel has refused one. */
  segmentation: boolean;
  /** Whether receives may be merged by UDP_GRO. */
  readonly receiveOffload: boolean;

  readonly #libc: Libc;
  readonly #view: DataView<ArrayBuffer>;
  readonly #batch: number;
  readonly #received: MessageHeaders;
  readonly #sent: MessageHeaders;
  /** How many datagrams each composed message carries. */
  readonly #sendCounts: Int32Array;

  private constructor(libc: Libc, arena: Arena, socket: { fd: number } & UdpSocketOptions) {
    this.#libc = libc;
    this.#view = arena.view;
    this.fd = socket.fd;
    this.port = boundPort(libc, socket.fd);
    this.segmentation = socket.offload && hasOption(libc, socket.fd, UDP_SEGMENT);
    this.receiveOffload = socket.offload &&
      setOption(libc, socket.fd, { level: SOL_UDP, option: UDP_GRO, value: 1 });

    const buffers = socket.buffers ?? UdpSocket.sharedBuffers(arena, socket.batch);
    this.#batch = buffers.batch;
    this.#received = buffers.received;
    this.#sent = buffers.sent;
    this.#sendCounts = buffers.sendCounts;
    this.receivedOffsets = buffers.receivedOffsets;
    this.receivedLengths = buffers.receivedLengths;
    this.receivedSegmentSizes = buffers.receivedSegmentSizes;
    this.receivedAddresses = buffers.receivedAddresses;
    this.receivedPorts = buffers.receivedPorts;
    this.receivedSources = buffers.receivedSources;
    this.receivedEcns = buffers.receivedEcns;
  }

  /** Memory for sockets that take turns: what one has received is gone when another receives. */
  static sharedBuffers(arena: Arena, batch: number): UdpBuffers {
    return new UdpBuffers(arena, { batch, controlSize: CONTROL_SPACE });
  }

  /**
   * Opens a socket.
   *
   * @throws {SystemCallError} EADDRINUSE when the port is taken, EADDRNOTAVAIL when the address is not this host's, EPERM for
   * a mark without CAP_NET_ADMIN
   */
  static bind(libc: Libc, arena: Arena, options: UdpSocketOptions): UdpSocket {
    const { symbols } = libc;
    const fd = check(
      libc,
      symbols.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
      "open UDP socket",
    );
    try {
      if (options.mark !== 0) {
        const set = setOption(libc, fd, {
          level: SOL_SOCKET,
          option: SO_MARK,
          value: options.mark,
        });
        check(libc, set ? 0 : -1, `set firewall mark ${options.mark} on UDP socket`);
      }
      // The forced forms pass net.core.[rw]mem_max but want CAP_NET_ADMIN; the others are cut to the maximum.
      const size = { level: SOL_SOCKET, value: options.bufferSize };
      setOption(libc, fd, { ...size, option: SO_RCVBUFFORCE }) ||
        setOption(libc, fd, { ...size, option: SO_RCVBUF });
      setOption(libc, fd, { ...size, option: SO_SNDBUFFORCE }) ||
        setOption(libc, fd, { ...size, option: SO_SNDBUF });
      setOption(libc, fd, { level: SOL_IP, option: IP_PKTINFO, value: 1 });
      setOption(libc, fd, { level: SOL_IP, option: IP_RECVTOS, value: 1 });
      setOption(libc, fd, { level: SOL_IP, option: IP_MTU_DISCOVER, value: IP_PMTUDISC_OMIT });

      const { port, address = 0, remote } = options;
      const name = socketAddress({ address, port });
      check(libc, symbols.bind(fd, name, name.length), `bind UDP port ${port}`);
      if (remote !== undefined) {
        const other = socketAddress(remote);
        check(libc, symbols.connect(fd, other, other.length), "connect UDP socket");
      }
      return new UdpSocket(libc, arena, { fd, ...options });
    } catch (error) {
      symbols.close(fd);
      throw error;
    }
  }

  /**
   * Takes what has arrived, up to a batch of messages, each of which may hold several datagrams merged by UDP_GRO.
   *
   * @returns the count of messages, described by the `received...` arrays, or the negative error number (EAGAIN: none)
   */
  receive(): number {
    const count = this.#libc.symbols.recvmmsg(
      this.fd,
      this.#received.pointer,
      this.#batch,
      MSG_DONTWAIT,
      null,
    );
    if (count < 0) return -this.#libc.errno();
    const received = this.#received;
    for (let i = 0; i < count; i++) {
      const name = received.name(i);
      this.receivedLengths[i] = received.receivedLength(i);
      this.receivedPorts[i] = this.#view.getUint16(name + 2);
      this.receivedAddresses[i] = this.#view.getInt32(name + 4);
      this.#readControl(i, received.controlLength(i));
      received.reset(i);
    }
    return count;
  }

  /**
   * Sends datagrams `from` (inclusive) to `to` (exclusive). A datagram that the kernel refuses is counted and skipped.
   *
   * @returns the index of the first datagram that is still to be sent: `to`, or less with `blocked` set
   */
  send(batch: DatagramBatch, from: number, to: number): number {
    this.blocked = false;
    let next = from;
    let singlyUpTo = from;
    while (next < to) {
      const messages = this.#compose(batch, next, to, singlyUpTo);
      const sent = this.#libc.symbols.sendmmsg(this.fd, this.#sent.pointer, messages, MSG_DONTWAIT);
      if (sent > 0) {
        for (let i = 0; i < sent; i++) next += this.#sendCounts[i];
        continue;
      }
      const errno = this.#libc.errno();
      if (errno === EINTR) continue;
      if (errno === EAGAIN || errno === ENOBUFS) {
        this.blocked = true;
        return next;
      }
      if (batch.sources[next] !== 0 && (errno === ENETUNREACH || errno === EINVAL)) {
        // The source address may no longer be one of this host's (`ip_route_output_key_hash_rcu()` says ENETUNREACH
        // then); the kernel's own choice is right in any case.
        this.#refuseSource(batch, next, to);
        continue;
      }
      const run = this.#sendCounts[0];
      if (run > 1 && (errno === EMSGSIZE || errno === EINVAL)) {
        // Longer than the path takes, which UDP_SEGMENT never fragments (`udp_send_skb()`; before Linux 6.14 it says
        // EINVAL); singly, the kernel does. This is about one path: the others go on being segmented.
        singlyUpTo = next + run;
        continue;
      }
      if (run > 1 && errno === EIO) {
        // This interface does not segment: the same datagrams go out singly.
        this.segmentation = false;
        continue;
      }
      // What is refused now (by a firewall, or for want of a route) is refused for the destination, not for a datagram.
      this.sendErrors += run;
      this.lastSendError = errno;
      next += run;
    }
    return next;
  }

  /** Sends datagram `index` with DF set, once: where it is too long for its path, it does not arrive. */
  probe(batch: DatagramBatch, index: number): void {
    const fragments = { level: SOL_IP, option: IP_MTU_DISCOVER };
    this.#composeMessage(batch, index, 0, 1);
    setOption(this.#libc, this.fd, { ...fragments, value: IP_PMTUDISC_PROBE });
    this.#libc.symbols.sendmmsg(this.fd, this.#sent.pointer, 1, MSG_DONTWAIT);
    setOption(this.#libc, this.fd, { ...fragments, value: IP_PMTUDISC_OMIT });
  }

  [Symbol.dispose](): void {
    this.#libc.symbols.close(this.fd);
  }

  /** Leaves the source address of datagram `first` out of it and of all behind it. */
  #refuseSource(batch: DatagramBatch, first: number, to: number): void {
    const { sources } = batch;
    const refused = sources[first];
    for (let i = first; i < to; i++) if (sources[i] === refused) sources[i] = 0;
    this.refusedSource = refused;
  }

  #readControl(index: number, length: number): void {
    const view = this.#view;
    let at = this.#received.control(index);
    const end = at + length;
    this.receivedSegmentSizes[index] = 0;
    this.receivedSources[index] = 0;
    this.receivedEcns[index] = 0;
    while (at + CMSG_HEADER_SIZE <= end) {
      const messageLength = view.getUint32(at, true);
      if (messageLength < CMSG_HEADER_SIZE) return;
      const level = view.getInt32(at + 8, true);
      const type = view.getInt32(at + 12, true);
      const data = at + CMSG_HEADER_SIZE;
      if (level === SOL_UDP && type === UDP_GRO) {
        this.receivedSegmentSizes[index] = view.getInt32(data, true);
      } else if (level === SOL_IP && type === IP_PKTINFO) {
        this.receivedSources[index] = view.getInt32(data + 4);
      } else if (level === SOL_IP && type === IP_TOS) {
        this.receivedEcns[index] = view.getUint8(data) & ECN_MASK;
      }
      at += (messageLength + 7) & ~7;
    }
  }

  /**
   * Describes as many datagrams as fit one `sendmmsg` call. Neighbours with one destination, equal ECN bits and equal
   * sizes (the last may be shorter, as UDP_SEGMENT has it) share a message.
   *
   * @param singlyUpTo datagrams before this index share no message
   * @returns the count of messages; `#sendCounts` has the datagrams of each
   */
  #compose(batch: DatagramBatch, from: number, to: number, singlyUpTo: number): number {
    let next = from;
    let message = 0;
    while (next < to && message < this.#batch) {
      const run = this.segmentation && next >= singlyUpTo ? runLength(batch, next, to) : 1;
      this.#composeMessage(batch, next, message, run);
      this.#sendCounts[message++] = run;
      next += run;
    }
    return message;
  }

  #composeMessage(batch: DatagramBatch, first: number, message: number, run: number): void {
    const view = this.#view;
    const headers = this.#sent;
    const name = headers.name(message);
    const control = headers.control(message);
    view.setUint16(name + 2, batch.ports[first]);
    view.setUint32(name + 4, batch.addresses[first]);
    for (let i = 0; i < run; i++) {
      headers.setPiece(message, i, batch.offsets[first + i], batch.lengths[first + i]);
    }
    headers.setPieces(message, run);

    let controlLength = 0;
    if (batch.sources[first] !== 0) {
      view.setUint32(control, PKTINFO_LENGTH, true);
      view.setInt32(control + 8, SOL_IP, true);
      view.setInt32(control + 12, IP_PKTINFO, true);
      view.setInt32(control + CMSG_HEADER_SIZE, 0, true);
      view.setUint32(control + CMSG_HEADER_SIZE + 4, batch.sources[first]);
      view.setUint32(control + CMSG_HEADER_SIZE + 8, 0);
      controlLength = PKTINFO_SPACE;
    }
    const ecn = batch.ecns === undefined ? 0 : batch.ecns[first];
    if (ecn !== 0) {
      view.setUint32(control + controlLength, TOS_LENGTH, true);
      view.setInt32(control + controlLength + 8, SOL_IP, true);
      view.setInt32(control + controlLength + 12, IP_TOS, true);
      view.setInt32(control + controlLength + CMSG_HEADER_SIZE, ecn, true);
      controlLength += TOS_SPACE;
    }
    if (run > 1) {
      view.setUint32(control + controlLength, CMSG_HEADER_SIZE + 2, true);
      view.setInt32(control + controlLength + 8, SOL_UDP, true);
      view.setInt32(control + controlLength + 12, UDP_SEGMENT, true);
      view.setUint16(control + controlLength + CMSG_HEADER_SIZE, batch.lengths[first], true);
      controlLength += SEGMENT_SPACE;
    }
    headers.setControlLength(message, controlLength);
  }
}

/** How many datagrams from `first` on can be one message with UDP_SEGMENT. */
function runLength(batch: DatagramBatch, first: number, to: number): number {
  const size = batch.lengths[first];
  const limit = Math.min(to - first, MAX_SEGMENTS, (MAX_SEND_BYTES / size) | 0);
  const { ecns } = batch;
  let run = 1;
  while (run < limit) {
    const i = first + run;
    if (
      batch.addresses[i] !== batch.addresses[first] || batch.ports[i] !== batch.ports[first] ||
      batch.sources[i] !== batch.sources[first] || batch.lengths[i] > size ||
      (ecns !== undefined && ecns[i] !== ecns[first])
    ) break;
    run++;
    if (batch.lengths[i] < size) break;
  }
  return run;
}

function socketAddress(
  { address, port }: { address: number; port: number },
): Uint8Array<ArrayBuffer> {
  const name = new DataView(new ArrayBuffer(SOCKADDR_IN_SIZE));
  name.setUint16(0, AF_INET, true);
  name.setUint16(2, port);
  name.setUint32(4, address);
  return new Uint8Array(name.buffer);
}

function setOption(
  libc: Libc,
  fd: number,
  { level, option, value }: { level: number; option: number; value: number },
): boolean {
  const bytes = new Uint8Array(new Int32Array([value]).buffer);
  return libc.symbols.setsockopt(fd, level, option, bytes, bytes.length) === 0;
}

/** Whether the kernel knows this UDP option at all. */
function hasOption(libc: Libc, fd: number, option: number): boolean {
  const length = new Uint8Array(new Uint32Array([4]).buffer);
  return libc.symbols.getsockopt(fd, SOL_UDP, option, new Uint8Array(4), length) === 0;
}

/** The port that a socket is bound to. */
export function boundPort(libc: Libc, fd: number): number {
  const address = new Uint8Array(SOCKADDR_IN_SIZE);
  const length = new Uint8Array(new Uint32Array([SOCKADDR_IN_SIZE]).buffer);
  check(libc, libc.symbols.getsockname(fd, address, length), "read the UDP socket's port");
  return new DataView(address.buffer).getUint16(2);
}
