/**
 * UDP socket: datagrams in and out by the batch, with the kernel's segmentation offloads where it has them.
 *
 * One socket serves every peer, so it is never connected; each message carries its address. A send or a receive of many
 * datagrams is one system call.
 *
 * Datagrams leave without DF, as WireGuard's do: where a path is narrower than they are, routers divide them, though
 * nobody tells us. What the kernel makes of ICMP is not believed: anybody who knows our port can forge it, and for ten
 * minutes the kernel would divide everything into pieces of 552 bytes. `probe()` alone sets DF; its answer comes from
 * the peer, or from a router by way of `IcmpErrorSocket`, whose user looks closer than the kernel does.
 *
 * Of IPv6 the kernel believes it unless the socket's user finds out for itself what paths take, `disbelieveIcmp6()`:
 * no router divides anything there, so what is too long would never arrive. A forger can have it divide what is longer
 * than 1,280 bytes.
 */
import type { Arena } from "../arena.ts";
import {
  check,
  EAFNOSUPPORT,
  EAGAIN,
  EINTR,
  EINVAL,
  EIO,
  EMSGSIZE,
  ENETUNREACH,
  ENOBUFS,
} from "../errno.ts";
import type { Libc } from "../libc.ts";
import {
  AF_INET,
  AF_INET6,
  IP_MTU_DISCOVER,
  IP_PKTINFO,
  IP_PMTUDISC_PROBE,
  IP_RECVTOS,
  IPV6_MTU_DISCOVER,
  IPV6_PMTUDISC_PROBE,
  IPV6_PMTUDISC_WANT,
  IPV6_RECVPKTINFO,
  IPV6_RECVTCLASS,
  IPV6_V6ONLY,
  MSG_DONTWAIT,
  SO_MARK,
  SO_MEMINFO,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
  SOL_UDP,
  UDP_GRO,
  UDP_SEGMENT,
} from "../socket_constants.ts";
import { requireOption, setOption } from "../socket_options.ts";
import { type DatagramBatch, isPath6, PATH_SIZE, sourceDigest } from "./datagram_batch.ts";
import { boundPort, socketAddress, type SocketName } from "./ipv4_address.ts";
import { UdpBuffers } from "./udp_buffers.ts";

/** No DF, and what ICMP tells of a path is not stored; what is longer than the first link takes is divided here. */
const IP_PMTUDISC_OMIT = 5;
const IPV6_PMTUDISC_OMIT = 5;

/** `SK_MEMINFO_DROPS`: its place among the 32-bit numbers of SO_MEMINFO. */
const DROPS_PLACE = 8;

/** `::`, all addresses of the host. */
const ANY_IPV6 = new Uint8Array(16);

export interface UdpSocketOptions {
  /** Local port; 0 takes a free one. */
  readonly port: number;
  /** Local address, IPv4 in host order; all of the host's if left out. */
  readonly address?: SocketName["address"];
  /** Where alone it receives from; anywhere if left out. What is sent names its destination all the same. */
  readonly remote?: SocketName;
  /** Whether it serves IPv6 besides IPv4, where the kernel has that; of one without an address. */
  readonly bothFamilies?: boolean;
  /**
   * Shares its port with the other sockets of this user that say so (SO_REUSEPORT), and they with it: the kernel gives
   * each datagram to one of them, see `steerGroup()`. So EADDRINUSE does not tell of another program of this user's
   * that does the same: open a socket without this first, and close it again.
   */
  readonly sharesPort?: boolean;
  /** SO_MARK for policy routing; 0 for none. */
  readonly mark: number;
  /** Use UDP_SEGMENT and UDP_GRO where the kernel has them. */
  readonly offload: boolean;
  /** Wanted size of the socket's buffers in bytes. */
  readonly bufferSize: number;
  /** Messages that one receive or send call handles. */
  readonly batch: number;
  /** In place of its own; for sockets that take turns: what one has received is gone when another receives. */
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
  /** Where in the arena the `sockaddr_in6` of one who is no IPv4 sender stands until the next call; else -1. */
  readonly receivedNames6: Int32Array;
  readonly receivedPorts: Uint16Array;
  /** The local address that the datagram was sent to: what an answer must come from on a host with several. */
  readonly receivedSources: Int32Array;
  /** The same of IPv6: where in the arena its 16 bytes stand until the next call; -1 where it was not told. */
  readonly receivedSources6: Int32Array;
  /** ECN bits of the IP header: the kernel merges only datagrams that have the same. */
  readonly receivedEcns: Uint8Array;

  /** True after `send()` stopped because the socket's buffer was full. */
  blocked = false;
  /** Datagrams that the kernel refused, and the errno of the last of them. */
  sendErrors = 0;
  lastSendError = 0;
  /**
   * `sourceDigest()` of the source address that the kernel refused last (it was taken off the host): it is left out of
   * what is sent until this is set to 0.
   */
  refusedSource = 0;
  /** Whether sends use UDP_SEGMENT now; false for good once the kernel has refused one. */
  segmentation: boolean;
  /** Whether receives may be merged by UDP_GRO. */
  readonly receiveOffload: boolean;
  /** Whether it serves IPv6. */
  readonly hasIpv6: boolean;

  /** How paths of IPv6 are found out. */
  #discovery6: number = IPV6_PMTUDISC_WANT;
  readonly #libc: Libc;
  readonly #buffers: UdpBuffers;
  /** The messages of a receive and of a send, for the system calls. */
  readonly #received: Deno.PointerObject;
  readonly #sent: Deno.PointerObject;

  private constructor(
    libc: Libc,
    arena: Arena,
    socket: { fd: number; hasIpv6: boolean } & UdpSocketOptions,
  ) {
    this.#libc = libc;
    this.fd = socket.fd;
    this.hasIpv6 = socket.hasIpv6;
    this.port = boundPort(libc, socket.fd);
    this.segmentation = socket.offload && hasOption(libc, socket.fd, UDP_SEGMENT);
    this.receiveOffload = socket.offload &&
      setOption(libc, socket.fd, { level: SOL_UDP, option: UDP_GRO, value: 1 });

    const buffers = socket.buffers ?? new UdpBuffers(arena, socket.batch);
    this.#buffers = buffers;
    this.#received = buffers.received.pointer;
    this.#sent = buffers.sent.pointer;
    this.receivedOffsets = buffers.receivedOffsets;
    this.receivedLengths = buffers.receivedLengths;
    this.receivedSegmentSizes = buffers.receivedSegmentSizes;
    this.receivedAddresses = buffers.receivedAddresses;
    this.receivedNames6 = buffers.receivedNames6;
    this.receivedPorts = buffers.receivedPorts;
    this.receivedSources = buffers.receivedSources;
    this.receivedSources6 = buffers.receivedSources6;
    this.receivedEcns = buffers.receivedEcns;
  }

  /**
   * Opens a socket.
   *
   * @throws {SystemCallError} EADDRINUSE when the port is taken, EADDRNOTAVAIL when the address is not this host's,
   * EPERM for a mark without CAP_NET_ADMIN
   */
  static bind(libc: Libc, arena: Arena, options: UdpSocketOptions): UdpSocket {
    const { symbols } = libc;
    const { fd, hasIpv6 } = openSocket(libc, options);
    try {
      if (options.mark !== 0) {
        const mark = { level: SOL_SOCKET, option: SO_MARK, value: options.mark };
        requireOption(libc, fd, mark, `set firewall mark ${options.mark} on UDP socket`);
      }
      // Without CAP_NET_ADMIN the forced forms fail, and the size is cut to net.core.[rw]mem_max.
      const size = { level: SOL_SOCKET, value: options.bufferSize };
      setOption(libc, fd, { ...size, option: SO_RCVBUFFORCE }) ||
        setOption(libc, fd, { ...size, option: SO_RCVBUF });
      setOption(libc, fd, { ...size, option: SO_SNDBUFFORCE }) ||
        setOption(libc, fd, { ...size, option: SO_SNDBUF });
      setOption(libc, fd, { level: SOL_IP, option: IP_PKTINFO, value: 1 });
      setOption(libc, fd, { level: SOL_IP, option: IP_RECVTOS, value: 1 });
      setOption(libc, fd, { level: SOL_IP, option: IP_MTU_DISCOVER, value: IP_PMTUDISC_OMIT });
      if (hasIpv6) setOptions6(libc, fd);

      if (options.sharesPort === true) {
        const shared = { level: SOL_SOCKET, option: SO_REUSEPORT, value: 1 };
        requireOption(libc, fd, shared, "share the port of UDP socket");
      }
      const { port, address = hasIpv6 ? ANY_IPV6 : 0, remote } = options;
      const name = socketAddress({ address, port });
      check(libc, symbols.bind(fd, name, name.length), `bind UDP port ${port}`);
      if (remote !== undefined) {
        const other = socketAddress(remote);
        check(libc, symbols.connect(fd, other, other.length), "connect UDP socket");
      }
      return new UdpSocket(libc, arena, { fd, hasIpv6, ...options });
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
      this.#received,
      this.#buffers.batch,
      MSG_DONTWAIT,
      null,
    );
    if (count < 0) return -this.#libc.errno();
    this.#buffers.readReceived(count);
    return count;
  }

  /**
   * Sends datagrams `from` (inclusive) to `to` (exclusive). A datagram that the kernel refuses is counted and skipped.
   *
   * @returns the index of the first datagram that is still to be sent: `to`, or less with `blocked` set
   */
  send(batch: DatagramBatch, from: number, to: number): number {
    this.blocked = false;
    const { sendCounts } = this.#buffers;
    let next = from;
    let mergeFrom = this.segmentation ? from : to;
    let leftOut = this.refusedSource;
    /** One that is refused whether its source is left out or not. */
    let hopeless = -1;
    while (next < to) {
      const messages = this.#buffers.compose(batch, next, to, mergeFrom, leftOut);
      const sent = this.#libc.symbols.sendmmsg(this.fd, this.#sent, messages, MSG_DONTWAIT);
      if (sent > 0) {
        // What was refused with it has gone without it.
        this.refusedSource = leftOut;
        for (let i = 0; i < sent; i++) next += sendCounts[i];
        continue;
      }
      const errno = this.#libc.errno();
      if (errno === EINTR) continue;
      if (errno === EAGAIN || errno === ENOBUFS) {
        this.blocked = true;
        return next;
      }
      const path = batch.pathIds[next];
      const source = sourceDigest(batch.paths.view, path * PATH_SIZE);
      if (source !== leftOut) {
        if (path !== hopeless && source !== 0 && (errno === ENETUNREACH || errno === EINVAL)) {
          // The source address may no longer be one of this host's (`ip_route_output_key_hash_rcu()` says ENETUNREACH
          // then). The kernel's own choice is tried.
          leftOut = source;
          continue;
        }
      } else if (leftOut !== this.refusedSource) {
        // It was not the source: there is no route, or the run is too long.
        hopeless = path;
        leftOut = this.refusedSource;
      }
      const run = sendCounts[0];
      if (run > 1 && (errno === EMSGSIZE || errno === EINVAL)) {
        // Longer than the path takes, which UDP_SEGMENT never fragments (`udp_send_skb()`; before Linux 6.14 it says
        // EINVAL); one at a time, the kernel does. This is about one path: the others go on being segmented.
        mergeFrom = next + run;
        continue;
      }
      if (run > 1 && errno === EIO) {
        // This interface does not segment: the same datagrams go out one at a time.
        this.segmentation = false;
        mergeFrom = to;
        continue;
      }
      // What is refused now (by a firewall, or because there is no route) is refused for the destination, not for a
      // datagram.
      this.sendErrors += run;
      this.lastSendError = errno;
      next += run;
    }
    return next;
  }

  /** Sends datagram `index` with DF set, once: where it is too long for its path, it does not arrive. */
  probe(batch: DatagramBatch, index: number): void {
    const is6 = isPath6(batch.paths.view, batch.pathIds[index] * PATH_SIZE);
    const fragments = is6
      ? { level: SOL_IPV6, option: IPV6_MTU_DISCOVER }
      : { level: SOL_IP, option: IP_MTU_DISCOVER };
    const probing = is6 ? IPV6_PMTUDISC_PROBE : IP_PMTUDISC_PROBE;
    const usual = is6 ? this.#discovery6 : IP_PMTUDISC_OMIT;
    this.#buffers.composeMessage(batch, index, 0, 1, this.refusedSource);
    setOption(this.#libc, this.fd, { ...fragments, value: probing });
    this.#libc.symbols.sendmmsg(this.fd, this.#sent, 1, MSG_DONTWAIT);
    setOption(this.#libc, this.fd, { ...fragments, value: usual });
  }

  /**
   * Has what ICMPv6 tells of paths count no more, as that of IPv4 does not: what is longer than the first link takes is
   * divided here, and nothing else.
   */
  disbelieveIcmp6(): void {
    if (!this.hasIpv6) return;
    const value = this.#discovery6 = IPV6_PMTUDISC_OMIT;
    setOption(this.#libc, this.fd, { level: SOL_IPV6, option: IPV6_MTU_DISCOVER, value });
  }

  /**
   * Datagrams that the kernel has dropped before they were received, as the buffer was full; 0 where it does not say.
   */
  drops(): number {
    const numbers = new Uint32Array(DROPS_PLACE + 1);
    const bytes = new Uint8Array(numbers.buffer);
    const length = new Uint8Array(Uint32Array.of(bytes.length).buffer);
    this.#libc.symbols.getsockopt(this.fd, SOL_SOCKET, SO_MEMINFO, bytes, length);
    return numbers[DROPS_PLACE];
  }

  [Symbol.dispose](): void {
    this.#libc.symbols.close(this.fd);
  }
}

/** A socket of the family that its addresses have, or of both. */
function openSocket(
  libc: Libc,
  { address, remote, bothFamilies = false }: UdpSocketOptions,
): { readonly fd: number; readonly hasIpv6: boolean } {
  const { symbols } = libc;
  const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const isOf6 = [address, remote?.address].some((one) => one instanceof Uint8Array);
  if (bothFamilies || isOf6) {
    const fd = symbols.socket(AF_INET6, type, 0);
    if (fd >= 0) return { fd, hasIpv6: true };
    // `ipv6.disable=1`, or a kernel that was built without it.
    if (isOf6 || libc.errno() !== EAFNOSUPPORT) check(libc, fd, "open UDP socket");
  }
  const fd = check(libc, symbols.socket(AF_INET, type, 0), "open UDP socket");
  return { fd, hasIpv6: false };
}

function setOptions6(libc: Libc, fd: number): void {
  const level = SOL_IPV6;
  // The sysctl `net.ipv6.bindv6only` may have it the other way.
  setOption(libc, fd, { level, option: IPV6_V6ONLY, value: 0 });
  setOption(libc, fd, { level, option: IPV6_RECVPKTINFO, value: 1 });
  setOption(libc, fd, { level, option: IPV6_RECVTCLASS, value: 1 });
  setOption(libc, fd, { level, option: IPV6_MTU_DISCOVER, value: IPV6_PMTUDISC_WANT });
}

/** Whether the kernel knows this UDP option at all. */
function hasOption(libc: Libc, fd: number, option: number): boolean {
  const length = new Uint8Array(new Uint32Array([4]).buffer);
  return libc.symbols.getsockopt(fd, SOL_UDP, option, new Uint8Array(4), length) === 0;
}
