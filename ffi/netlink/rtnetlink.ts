/**
 * Rtnetlink: the connection through which a network namespace's links, addresses, routes, rules and neighbours are
 * managed.
 */
import type { Libc } from "../libc.ts";
import { Addresses } from "./addresses.ts";
import { Links } from "./links.ts";
import { Neighbours } from "./neighbours.ts";
import { Routes } from "./routes.ts";
import { Rules } from "./rules.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "./socket.ts";
import { SOL_NETLINK } from "../socket_constants.ts";

const NETLINK_GET_STRICT_CHK = 12;

/**
 * Everything is synchronous and acknowledged: when a method returns, the kernel has done it. Refusals are
 * `NetlinkError`s with the error number and, where given, the kernel's own explanation.
 */
export class Rtnetlink implements Disposable {
  readonly links: Links;
  readonly addresses: Addresses;
  readonly routes: Routes;
  readonly rules: Rules;
  readonly neighbours: Neighbours;
  readonly #socket: NetlinkSocket;

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
    this.links = new Links(socket);
    this.addresses = new Addresses(socket);
    this.routes = new Routes(socket);
    this.rules = new Rules(socket);
    this.neighbours = new Neighbours(socket);
  }

  /**
   * Opens a connection to the network namespace that the thread is in now; the thread may leave it afterwards.
   *
   * @param options `strict`: the kernel itself sorts out what a filter for routes leaves out (Linux 4.20): for those
   * who look often, on hosts with a great many routes
   * @throws {SystemCallError}
   */
  static open(libc: Libc, { strict = false }: { readonly strict?: boolean } = {}): Rtnetlink {
    const socket = NetlinkSocket.open(libc, { protocol: NETLINK_ROUTE });
    if (strict) socket.setOption({ level: SOL_NETLINK, option: NETLINK_GET_STRICT_CHK, value: 1 });
    return new Rtnetlink(socket);
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}
