/**
 * Reserved ports: TCP ports that are taken and used for nothing: while sockets that neither listen nor connect are
 * bound to them, the kernel hands them to nobody else, and lets nobody else have them.
 */
import { check, EAFNOSUPPORT } from "../errno.ts";
import type { Libc } from "../libc.ts";
import {
  AF_INET,
  AF_INET6,
  IPV6_V6ONLY,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  SOL_IPV6,
} from "../socket_constants.ts";
import { setOption } from "../socket_options.ts";
import { socketAddress } from "./ipv4_address.ts";

export class ReservedPorts implements Disposable {
  /** Both ends included. */
  readonly first: number;
  readonly last: number;
  readonly #libc: Libc;
  readonly #sockets: number[] = [];

  private constructor(libc: Libc, { first, last }: { first: number; last: number }) {
    this.#libc = libc;
    this.first = first;
    this.last = last;
  }

  /**
   * Takes TCP ports `first` to `last`, of all addresses of both families, in the network namespace that the thread is
   * in now: all or none.
   *
   * @throws {SystemCallError} EADDRINUSE where one is in use, also by a connection, EACCES for one below 1,024 without
   * CAP_NET_BIND_SERVICE
   */
  static bind(libc: Libc, range: { readonly first: number; readonly last: number }): ReservedPorts {
    const ports = new ReservedPorts(libc, range);
    try {
      for (let port = range.first; port <= range.last; port++) ports.#bindOne(port);
      return ports;
    } catch (error) {
      ports[Symbol.dispose]();
      throw error;
    }
  }

  #bindOne(port: number): void {
    const { symbols } = this.#libc;
    const fd6 = symbols.socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const fd = fd6 < 0 && this.#libc.errno() === EAFNOSUPPORT
      ? symbols.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)
      : fd6;
    check(this.#libc, fd, "open TCP socket");
    this.#sockets.push(fd);
    // The sysctl `net.ipv6.bindv6only` may have it the other way.
    if (fd === fd6) setOption(this.#libc, fd, { level: SOL_IPV6, option: IPV6_V6ONLY, value: 0 });
    const name = socketAddress(fd === fd6 ? { address: new Uint8Array(16), port } : { port });
    check(this.#libc, symbols.bind(fd, name, name.length), `reserve TCP port ${port}`);
  }

  /** Gives the ports back. */
  [Symbol.dispose](): void {
    for (const fd of this.#sockets.splice(0)) this.#libc.symbols.close(fd);
  }
}
