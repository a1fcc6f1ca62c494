/**
 * Socket of ICMP errors: `socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)` that receives "destination unreachable", with the IP header
 * in front, and sends nothing.
 */
import { check } from "../errno.ts";
import type { Libc } from "../libc.ts";
import { attachFilter, type BpfInstruction } from "./packet_socket.ts";

const AF_INET = 2;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_ICMP = 1;
const SOL_RAW = 255;
const ICMP_FILTER = 1;
/** A bit for each type that is not wanted. */
const ALL_BUT_UNREACHABLE = ~(1 << 3);
const MSG_DONTWAIT = 0x40;

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
      const types = new Uint8Array(Int32Array.of(ALL_BUT_UNREACHABLE).buffer);
      const set = symbols.setsockopt(fd, SOL_RAW, ICMP_FILTER, types, types.length);
      check(libc, set, "choose the types of ICMP");
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
