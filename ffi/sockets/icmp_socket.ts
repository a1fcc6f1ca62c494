/**
 * ICMP socket, `socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)`: pings without a `ping` program.
 *
 * Not Linux's "ping socket" (SOCK_DGRAM): that takes a sysctl of the namespace, and containers have `/proc/sys`
 * read-only.
 */
import { check, EAGAIN, EINTR, SystemCallError } from "../errno.ts";
import type { Libc } from "../libc.ts";
import {
  AF_INET,
  IP_MTU_DISCOVER,
  IP_PMTUDISC_PROBE,
  IPPROTO_ICMP,
  SO_RCVTIMEO,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOL_IP,
} from "../socket_constants.ts";
import { limitTime, requireOption } from "../socket_options.ts";
import { socketAddress } from "./ipv4_address.ts";

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
   * @throws {SystemCallError} EPERM without CAP_NET_RAW, ENETUNREACH where there is no route to the address
   */
  static connect(libc: Libc, address: number): IcmpSocket {
    const { symbols } = libc;
    const fd = check(
      libc,
      symbols.socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP),
      "open ICMP socket",
    );
    try {
      const name = socketAddress({ address });
      check(libc, symbols.connect(fd, name, name.length), "connect ICMP socket");
    } catch (error) {
      symbols.close(fd);
      throw error;
    }
    return new IcmpSocket(libc, fd);
  }

  /**
   * Sets DF on what is sent from now on. What is longer than the first link takes is then refused with EMSGSIZE; and so
   * is the next call of any kind when a router has said of an earlier message that it was too long.
   *
   * @throws {SystemCallError}
   */
  dontFragment(): void {
    const option = { level: SOL_IP, option: IP_MTU_DISCOVER, value: IP_PMTUDISC_PROBE };
    requireOption(this.#libc, this.#fd, option, "set DF on ICMP socket");
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
    const limit = { option: SO_RCVTIMEO, milliseconds: timeout };
    limitTime(this.#libc, this.#fd, limit, "set the time-out of ICMP socket");
    const length = this.#libc.symbols.recv(this.#fd, buffer, BigInt(buffer.length), 0);
    if (length >= 0) return length;
    const errno = this.#libc.errno();
    if (errno === EAGAIN || errno === EINTR) return 0;
    throw new SystemCallError("receive ICMP message", errno);
  }

  [Symbol.dispose](): void {
    this.#libc.symbols.close(this.#fd);
  }
}
