/**
 * Raw socket, `socket(AF_INET, SOCK_RAW, IPPROTO_RAW)`: whole IPv4 packets out, of any protocol; nothing comes in. Or
 * whole IPv6 packets, by a socket of AF_INET6, of which the kernel writes nothing itself.
 *
 * Of IPv4, the kernel writes the total length and the IP checksum itself, the id only where it is 0 and DF is off,
 * never a transport checksum. A packet over the MTU is refused with EMSGSIZE, never fragmented (raw(7)).
 */
import type { Arena } from "../arena.ts";
import { check, EAGAIN, EINTR, EMSGSIZE, ENOBUFS } from "../errno.ts";
import { cString, type Libc } from "../libc.ts";
import {
  AF_INET,
  AF_INET6,
  IP_MTU_DISCOVER,
  IPPROTO_RAW,
  IPV6_MTU_DISCOVER,
  MSG_DONTWAIT,
  SO_MARK,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
} from "../socket_constants.ts";
import { MessageHeaders } from "../message_headers.ts";
import { requireOption, setOption } from "../socket_options.ts";
import { SOCKADDR_IN_ADDRESS, SOCKADDR_IN_SIZE } from "./ipv4_address.ts";
import { SOCKADDR_IN6_ADDRESS, SOCKADDR_IN6_SIZE } from "./ipv6_address.ts";

/** Bytes of an IPv6 address. */
const IPV6_SIZE = 16;
const SO_BINDTODEVICE = 25;
/**
 * The interface's MTU counts, and nothing that ICMP has told of the path: anybody can forge that, for any destination,
 * by quoting a socket of this host. A sender whose packets we forward learns of the path by itself.
 */
const IP_PMTUDISC_INTERFACE = 4;
/** Offsets of the destination in a header: raw(7) routes by the socket address, so it must say the same. */
const IPV4_DESTINATION_OFFSET = 16;
const IPV6_DESTINATION_OFFSET = 24;

export interface RawSocketOptions {
  /** SO_MARK of each packet. */
  readonly mark: number;
  /** Name of the interface that packets leave by; null for that of their route. */
  readonly device: string | null;
  /** Packets that one send call handles. */
  readonly batch: number;
  /** Wanted size of the socket's buffer in bytes. */
  readonly bufferSize: number;
  /** Where refusals are counted; a map of its own if left out. */
  readonly errors?: Map<number, number>;
  /** IPv4 if left out. */
  readonly family?: typeof AF_INET | typeof AF_INET6;
}

/** Packets to send: parallel arrays of arena offsets and lengths in bytes. */
export interface PacketBatch {
  readonly offsets: Int32Array;
  readonly lengths: Int32Array;
}

export class RawSocket implements Disposable {
  readonly fd: number;
  /** True after `send()` stopped because the socket's buffer was full. */
  blocked = false;
  /** By errno: how many packets the kernel refused so. */
  readonly errors: Map<number, number>;
  /** Packets refused in all. */
  errorCount = 0;
  /** Takes the offset of a packet that is longer than the interface takes. */
  onTooLong: ((packet: number) => void) | null = null;

  readonly #libc: Libc;
  readonly #view: DataView<ArrayBuffer>;
  readonly #headers: MessageHeaders;
  readonly #batch: number;
  readonly #isIpv6: boolean;

  private constructor(
    libc: Libc,
    arena: Arena,
    { fd, batch, family }: { fd: number; batch: number; family: number },
    errors: Map<number, number> = new Map(),
  ) {
    this.errors = errors;
    this.#libc = libc;
    this.#view = arena.view;
    this.#batch = batch;
    this.#isIpv6 = family === AF_INET6;
    this.fd = fd;
    this.#headers = new MessageHeaders(arena, {
      count: batch,
      nameSize: this.#isIpv6 ? SOCKADDR_IN6_SIZE : SOCKADDR_IN_SIZE,
      controlSize: 0,
      vectors: 1,
    });
    for (let i = 0; i < batch; i++) arena.view.setUint16(this.#headers.name(i), family, true);
  }

  /**
   * @throws {SystemCallError} EPERM without CAP_NET_RAW, ENODEV where there is no such interface, EAFNOSUPPORT where
   * the kernel has no IPv6
   */
  static open(libc: Libc, arena: Arena, options: RawSocketOptions): RawSocket {
    const { symbols } = libc;
    const { batch, family = AF_INET } = options;
    const fd = check(
      libc,
      symbols.socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_RAW),
      "open raw socket",
    );
    try {
      const value = IP_PMTUDISC_INTERFACE;
      const discovery = family === AF_INET6
        ? { level: SOL_IPV6, option: IPV6_MTU_DISCOVER, value }
        : { level: SOL_IP, option: IP_MTU_DISCOVER, value };
      requireOption(libc, fd, discovery, "make raw socket ignore ICMP");
      const mark = { level: SOL_SOCKET, option: SO_MARK, value: options.mark };
      requireOption(libc, fd, mark, `set firewall mark ${options.mark} on raw socket`);
      if (options.device !== null) bindToDevice(libc, fd, options.device);
      setOption(libc, fd, { level: SOL_SOCKET, option: SO_SNDBUFFORCE, value: options.bufferSize });
      return new RawSocket(libc, arena, { fd, batch, family }, options.errors);
    } catch (error) {
      symbols.close(fd);
      throw error;
    }
  }

  /**
   * Has packets leave by another interface from now on, or by the one that has this name now.
   *
   * @throws {SystemCallError} ENODEV where there is no such interface
   */
  setDevice(name: string): void {
    bindToDevice(this.#libc, this.fd, name);
  }

  /**
   * Sends packets `from` (inclusive) to `to` (exclusive). One that the kernel refuses is counted and skipped.
   *
   * @returns the index of the first packet that is still to be sent: `to`, or less with `blocked` set
   */
  send(packets: PacketBatch, from: number, to: number): number {
    this.blocked = false;
    let next = from;
    while (next < to) {
      const count = to - next < this.#batch ? to - next : this.#batch;
      for (let i = 0; i < count; i++) {
        const offset = packets.offsets[next + i];
        this.#headers.setPiece(i, 0, offset, packets.lengths[next + i]);
        this.#writeDestination(this.#headers.name(i), offset);
      }
      const sent = this.#libc.symbols.sendmmsg(this.fd, this.#headers.pointer, count, MSG_DONTWAIT);
      if (sent > 0) {
        next += sent;
        continue;
      }
      const errno = this.#libc.errno();
      if (errno === EINTR) continue;
      if (errno === EAGAIN || errno === ENOBUFS) {
        this.blocked = true;
        return next;
      }
      this.errors.set(errno, (this.errors.get(errno) ?? 0) + 1);
      this.errorCount++;
      if (errno === EMSGSIZE) this.onTooLong?.(packets.offsets[next]);
      next++;
    }
    return next;
  }

  #writeDestination(name: number, packet: number): void {
    const view = this.#view;
    if (!this.#isIpv6) {
      view.setInt32(name + SOCKADDR_IN_ADDRESS, view.getInt32(packet + IPV4_DESTINATION_OFFSET));
      return;
    }
    for (let at = 0; at < IPV6_SIZE; at += 4) {
      const word = view.getInt32(packet + IPV6_DESTINATION_OFFSET + at);
      view.setInt32(name + SOCKADDR_IN6_ADDRESS + at, word);
    }
  }

  [Symbol.dispose](): void {
    this.#libc.symbols.close(this.fd);
  }
}

function bindToDevice(libc: Libc, fd: number, name: string): void {
  const device = cString(name);
  check(
    libc,
    libc.symbols.setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, device.length),
    `bind raw socket to interface "${name}"`,
  );
}
