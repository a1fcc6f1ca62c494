/** Owns the small UDP socket: a few datagrams to one place and back, with a mark, which Deno's own sockets cannot have. */
import { check, EAGAIN, EINTR, SystemCallError } from "../errno.ts";
import type { Libc } from "../libc.ts";
import { boundPort } from "./udp_socket.ts";

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_MARK = 36;
const SOL_IP = 0;
const IP_MTU_DISCOVER = 10;
/** DF, whatever the kernel knows of the path already. */
const IP_PMTUDISC_PROBE = 3;
/** `struct sockaddr_in { u16 sin_family; be16 sin_port; be32 sin_addr; u8 sin_zero[8]; }` */
const SOCKADDR_IN_SIZE = 16;

export class DatagramSocket implements Disposable {
  readonly fd: number;
  readonly #libc: Libc;

  private constructor(libc: Libc, fd: number) {
    this.#libc = libc;
    this.fd = fd;
  }

  /**
   * Opens a socket on a port that the kernel draws, which sends to one place and receives from that alone.
   *
   * @param to IPv4 address and port, host order
   * @param mark SO_MARK; 0 for none
   * @throws {SystemCallError} EPERM for a mark without CAP_NET_ADMIN, ENETUNREACH where there is no way to the address
   */
  static connect(
    libc: Libc,
    to: { readonly address: number; readonly port: number },
    mark: number,
  ): DatagramSocket {
    const { symbols } = libc;
    const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    const fd = check(libc, symbols.socket(AF_INET, type, 0), "open UDP socket");
    try {
      if (mark !== 0) {
        const value = new Uint8Array(Uint32Array.of(mark).buffer);
        const set = symbols.setsockopt(fd, SOL_SOCKET, SO_MARK, value, value.length);
        check(libc, set, "mark UDP socket");
      }
      const name = new DataView(new ArrayBuffer(SOCKADDR_IN_SIZE));
      name.setUint16(0, AF_INET, true);
      name.setUint16(2, to.port);
      name.setUint32(4, to.address);
      const connected = symbols.connect(fd, new Uint8Array(name.buffer), SOCKADDR_IN_SIZE);
      check(libc, connected, "connect UDP socket");
    } catch (error) {
      symbols.close(fd);
      throw error;
    }
    return new DatagramSocket(libc, fd);
  }

  /** Ours, which the kernel drew. */
  get port(): number {
    return boundPort(this.#libc, this.fd);
  }

  /**
   * Sets DF on what is sent from now on. What is longer than the first link takes is then refused with EMSGSIZE; and so is
   * the next call of any kind when a router has said of an earlier datagram that it was too long.
   *
   * @throws {SystemCallError}
   */
  dontFragment(): void {
    const value = new Uint8Array(Uint32Array.of(IP_PMTUDISC_PROBE).buffer);
    const { symbols } = this.#libc;
    const set = symbols.setsockopt(this.fd, SOL_IP, IP_MTU_DISCOVER, value, value.length);
    check(this.#libc, set, "set DF on UDP socket");
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
