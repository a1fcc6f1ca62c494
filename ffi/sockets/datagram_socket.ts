/** Small UDP socket: a few datagrams to one address and back, with a mark, which Deno's own sockets cannot have. */
import { check, EAGAIN, EINTR, SystemCallError } from "../errno.ts";
import type { Libc } from "../libc.ts";
import {
  AF_INET,
  AF_INET6,
  IP_MTU_DISCOVER,
  IP_PMTUDISC_PROBE,
  IPV6_MTU_DISCOVER,
  IPV6_PMTUDISC_PROBE,
  SO_MARK,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
} from "../socket_constants.ts";
import { boundPort, socketAddress, type SocketName } from "./ipv4_address.ts";
import { requireOption } from "../socket_options.ts";

export class DatagramSocket implements Disposable {
  readonly fd: number;
  readonly #libc: Libc;

  readonly #is6: boolean;

  private constructor(libc: Libc, { fd, is6 }: { fd: number; is6: boolean }) {
    this.#libc = libc;
    this.fd = fd;
    this.#is6 = is6;
  }

  /**
   * Opens a socket on a port that the kernel draws, which sends to one place and receives from that alone.
   *
   * @param to IPv6 in network order, else in host order
   * @param mark SO_MARK; 0 for none
   * @throws {SystemCallError} EPERM for a mark without CAP_NET_ADMIN, ENETUNREACH where there is no route to the
   * address
   */
  static connect(
    libc: Libc,
    to: SocketName & { readonly port: number },
    mark: number,
  ): DatagramSocket {
    const { symbols } = libc;
    const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    const fd = check(
      libc,
      symbols.socket(to.address instanceof Uint8Array ? AF_INET6 : AF_INET, type, 0),
      "open UDP socket",
    );
    try {
      if (mark !== 0) {
        const option = { level: SOL_SOCKET, option: SO_MARK, value: mark };
        requireOption(libc, fd, option, "mark UDP socket");
      }
      const name = socketAddress(to);
      check(libc, symbols.connect(fd, name, name.length), "connect UDP socket");
    } catch (error) {
      symbols.close(fd);
      throw error;
    }
    return new DatagramSocket(libc, { fd, is6: to.address instanceof Uint8Array });
  }

  /** Ours, which the kernel drew. */
  get port(): number {
    return boundPort(this.#libc, this.fd);
  }

  /**
   * Sets DF on what is sent from now on. What is longer than the first link takes is then refused with EMSGSIZE; and so
   * is the next call of any kind when a router has said of an earlier datagram that it was too long.
   *
   * @throws {SystemCallError}
   */
  dontFragment(): void {
    const option = this.#is6
      ? { level: SOL_IPV6, option: IPV6_MTU_DISCOVER, value: IPV6_PMTUDISC_PROBE }
      : { level: SOL_IP, option: IP_MTU_DISCOVER, value: IP_PMTUDISC_PROBE };
    requireOption(this.#libc, this.fd, option, "set DF on UDP socket");
  }

  /** @throws {SystemCallError} */
  send(datagram: Uint8Array<ArrayBuffer>): void {
    const result = this.#libc.symbols.send(this.fd, datagram, BigInt(datagram.length), 0);
    check(this.#libc, result, "send datagram");
  }

  /**
   * Takes a datagram that has come, without waiting for one.
   *
   * @returns its length, cut to that of `buffer`; -1 for none
   * @throws {SystemCallError} ECONNREFUSED where nobody listens there
   */
  receive(buffer: Uint8Array<ArrayBuffer>): number {
    const length = this.#libc.symbols.recv(this.fd, buffer, BigInt(buffer.length), 0);
    if (length >= 0) return length;
    const errno = this.#libc.errno();
    if (errno === EAGAIN || errno === EINTR) return -1;
    throw new SystemCallError("receive datagram", errno);
  }

  [Symbol.dispose](): void {
    this.#libc.symbols.close(this.fd);
  }
}
