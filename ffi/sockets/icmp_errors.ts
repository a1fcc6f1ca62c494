/**
 * Socket of ICMP errors: `socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)` that receives "destination unreachable", with the IP
 * header in front, and sends nothing; or the same of ICMPv6 that receives "packet too big", without the IP header, and
 * with a checksum that the kernel has found right (net/ipv6/raw.c, `rawv6_rcv_skb()`).
 */
import { check } from "../errno.ts";
import type { Libc } from "../libc.ts";
import {
  AF_INET,
  AF_INET6,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  MSG_DONTWAIT,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
} from "../socket_constants.ts";
import { attachFilter, type BpfInstruction } from "./packet_filter.ts";
import { requireOption } from "../socket_options.ts";

const SOL_RAW = 255;
const ICMP_FILTER = 1;
/** A bit for each type that is not wanted. */
const ALL_BUT_UNREACHABLE = ~(1 << 3);
/** `struct icmp6_filter { u32 data[8]; }`, a bit for each type as well. */
const ICMP6_FILTER = 1;
const ICMP6_FILTER_WORDS = 8;
const PACKET_TOO_BIG = 2;

export class IcmpErrorSocket implements Disposable {
  /** Readable when there is something to `receive()`; for an epoll set. */
  readonly fd: number;
  readonly #libc: Libc;

  private constructor(libc: Libc, fd: number) {
    this.#libc = libc;
    this.fd = fd;
  }

  /**
   * Opens the socket in the network namespace that the thread is in now.
   *
   * @param filter sees the packet from its IP header on
   * @throws {SystemCallError} EPERM without CAP_NET_RAW
   */
  static open(libc: Libc, filter: readonly BpfInstruction[]): IcmpErrorSocket {
    const { symbols } = libc;
    const type = SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC;
    const fd = check(libc, symbols.socket(AF_INET, type, IPPROTO_ICMP), "open ICMP socket");
    try {
      attachFilter(libc, fd, filter);
      const types = { level: SOL_RAW, option: ICMP_FILTER, value: ALL_BUT_UNREACHABLE };
      requireOption(libc, fd, types, "choose the types of ICMP");
      return new IcmpErrorSocket(libc, fd);
    } catch (error) {
      symbols.close(fd);
      throw error;
    }
  }

  /**
   * The same of ICMPv6.
   *
   * @param filter sees the message from its ICMPv6 header on
   * @throws {SystemCallError} EPERM without CAP_NET_RAW, EAFNOSUPPORT where the kernel has no IPv6
   */
  static open6(libc: Libc, filter: readonly BpfInstruction[]): IcmpErrorSocket {
    const { symbols } = libc;
    const type = SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC;
    const fd = check(libc, symbols.socket(AF_INET6, type, IPPROTO_ICMPV6), "open ICMPv6 socket");
    try {
      attachFilter(libc, fd, filter);
      const unwanted = new Uint32Array(ICMP6_FILTER_WORDS).fill(0xffff_ffff);
      unwanted[0] &= ~(1 << PACKET_TOO_BIG);
      const bytes = new Uint8Array(unwanted.buffer);
      check(
        libc,
        symbols.setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, bytes, bytes.length),
        "choose the types of ICMPv6",
      );
      return new IcmpErrorSocket(libc, fd);
    } catch (error) {
      symbols.close(fd);
      throw error;
    }
  }

  /** Takes the next packet, cut to the buffer; returns its length, 0 when there is none. */
  receive(buffer: Uint8Array<ArrayBuffer>): number {
    const { symbols } = this.#libc;
    return Math.max(0, symbols.recv(this.fd, buffer, BigInt(buffer.length), MSG_DONTWAIT));
  }

  [Symbol.dispose](): void {
    this.#libc.symbols.close(this.fd);
  }
}
