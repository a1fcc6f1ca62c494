/**
 * Owns the ICMP socket, `socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)`, by which a program pings without a `ping` program.
 *
 * Not Linux's "ping socket" (SOCK_DGRAM): that takes a sysctl of the namespace, and containers have `/proc/sys` read-only.
 */
import { check, EAGAIN, EINTR, SystemCallError } from "../errno.ts";
import type { Libc } from "../libc.ts";

const AF_INET = 2;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_ICMP = 1;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SOL_IP = 0;
const IP_MTU_DISCOVER = 10;
/** DF, whatever the kernel knows of the path already. */
const IP_PMTUDISC_PROBE = 3;
/** `struct sockaddr_in { u16 sin_family; be16 sin_port; be32 sin_addr; u8 sin_zero[8]; }` */
const SOCKADDR_IN_SIZE = 16;
/** `struct timeval { long tv_sec; long tv_usec; }` */
const TIMEVAL_SIZE = 16;

export class IcmpSocket implements Disposable {
  readonly #libc: Libc;
  readonly #fd: number;

  private constructor(libc: Libc, fd: number) {
    this.#libc = libc;
    this.#fd = fd;
  }

  /**
   * Opens a socket that sends ICMP messages to `address` and receives every one that comes from there, others' too.
   *
   * @param address IPv4, host order
   * @throws {SystemCallError} EPERM without CAP_NET_RAW, ENETUNREACH where there is no way to the address
   */
  static connect(libc: Libc, address: number): IcmpSocket {
    const { symbols } = libc;
    const fd = check(
      libc,
      symbols.socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP),
      "open ICMP socket",
    );
    const name = new DataView(new ArrayBuffer(SOCKADDR_IN_SIZE));
    name.setUint16(0, AF_INET, true);
    name.setUint32(4, address);
    try {
      const result = symbols.connect(fd, new Uint8Array(name.buffer), SOCKADDR_IN_SIZE);
      check(libc, result, "connect ICMP socket");
    } catch (error) {
      symbols.close(fd);
      throw error;
    }
    return new IcmpSocket(libc, fd);
  }

  /**
   * Sets DF on what is sent from now on. What is longer than the first link takes is then refused with EMSGSIZE; and so is
   * the next call of any kind when a router has said of an earlier message that it was too long.
   *
   * @throws {SystemCallError}
   */
  dontFragment(): void {
    const value = new Uint8Array(Uint32Array.of(IP_PMTUDISC_PROBE).buffer);
    const { symbols } = this.#libc;
    const set = symbols.setsockopt(this.#fd, SOL_IP, IP_MTU_DISCOVER, value, value.length);
    check(this.#libc, set, "set DF on ICMP socket");
  }

  /**
   * Sends an ICMP message, its checksum filled in; the kernel puts the IP header in front.
   *
   * @throws {SystemCallError}
   */
  send(message: Uint8Array<ArrayBuffer>): void {
    const result = this.#libc.symbols.send(this.#fd, message, BigInt(message.length), 0);
    check(this.#libc, result, "send ICMP message");
  }

  /**
   * Waits, with the whole thread, for a message; it comes with its IP header.
   *
   * @param timeout ms, more than 0
   * @returns its length, cut to that of `buffer`; 0 when none has come in time or a signal has ended the wait
   * @throws {SystemCallError}
   */
  receive(buffer: Uint8Array<ArrayBuffer>, timeout: number): number {
    const { symbols } = this.#libc;
    const time = new DataView(new ArrayBuffer(TIMEVAL_SIZE));
    // All zero would mean "for ever".
    const microseconds = Math.max(1, Math.round(timeout * 1000));
    time.setBigInt64(0, BigInt(Math.floor(microseconds / 1_000_000)), true);
    time.setBigInt64(8, BigInt(microseconds % 1_000_000), true);
    const option = new Uint8Array(time.buffer);
    const set = symbols.setsockopt(this.#fd, SOL_SOCKET, SO_RCVTIMEO, option, TIMEVAL_SIZE);
    check(this.#libc, set, "set the time-out of ICMP socket");
    const length = symbols.recv(this.#fd, buffer, BigInt(buffer.length), 0);
    if (length >= 0) return length;
    const errno = this.#libc.errno();
    if (errno === EAGAIN || errno === EINTR) return 0;
    throw new SystemCallError("receive ICMP message", errno);
  }

  [Symbol.dispose](): void {
    this.#libc.symbols.close(this.#fd);
  }
}
