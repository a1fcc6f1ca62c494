/** Notifications about links, addresses, routes and routing rules: what else on the host changes the network. */
import { EMSGSIZE, ENOBUFS, SystemCallError } from "../errno.ts";
import type { Libc } from "../libc.ts";
import { decodeAddress, type InterfaceAddress, RTM_DELADDR } from "./addresses.ts";
import { decodeLink, type Link, RTM_DELLINK } from "./links.ts";
import type { NetlinkMessage } from "./message.ts";
import { decodeRoute, type Route, RTM_DELROUTE } from "./routes.ts";
import { decodeRule, RTM_DELRULE, type Rule } from "./rules.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "./socket.ts";

const RTNLGRP_LINK = 1;
const RTNLGRP_IPV4_IFADDR = 5;
const RTNLGRP_IPV4_ROUTE = 7;
const RTNLGRP_IPV4_RULE = 8;
const RTNLGRP_IPV6_IFADDR = 9;
const RTNLGRP_IPV6_ROUTE = 11;
const RTNLGRP_IPV6_RULE = 19;

/** What a notification says. A change of something that exists comes with `removed` false. */
export type NetworkEvent =
  | { readonly kind: "link"; readonly removed: boolean; readonly link: Link }
  | { readonly kind: "address"; readonly removed: boolean; readonly address: InterfaceAddress }
  | { readonly kind: "route"; readonly removed: boolean; readonly route: Route }
  | { readonly kind: "rule"; readonly removed: boolean; readonly rule: Rule }
  /** The kernel had to drop notifications: a caller that keeps a picture must list everything again. */
  | { readonly kind: "overrun" };

export class RouteMonitor implements Disposable {
  /** Readable when `read()` has something; for an epoll set. */
  readonly fd: number;
  readonly #socket: NetlinkSocket;

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
    this.fd = socket.fd;
  }

  /**
   * Starts to listen in the network namespace that the thread is in now, for both address families.
   *
   * @throws {SystemCallError}
   */
  static open(libc: Libc): RouteMonitor {
    const socket = NetlinkSocket.open(libc, { protocol: NETLINK_ROUTE, nonBlocking: true });
    try {
      socket.subscribe(RTNLGRP_LINK);
      socket.subscribe(RTNLGRP_IPV4_IFADDR);
      socket.subscribe(RTNLGRP_IPV4_ROUTE);
      socket.subscribe(RTNLGRP_IPV4_RULE);
      socket.subscribe(RTNLGRP_IPV6_IFADDR);
      socket.subscribe(RTNLGRP_IPV6_ROUTE);
      socket.subscribe(RTNLGRP_IPV6_RULE);
    } catch (error) {
      socket[Symbol.dispose]();
      throw error;
    }
    return new RouteMonitor(socket);
  }

  /**
   * Takes the notifications that have come, in order; never waits.
   *
   * @returns an empty array when there are none
   */
  read(): NetworkEvent[] {
    const events: NetworkEvent[] = [];
    for (;;) {
      try {
        const messages = this.#socket.receive();
        if (messages === null) return events;
        events.push(...messages.flatMap((message) => decodeEvent(message) ?? []));
      } catch (error) {
        if (!isLoss(error)) throw error;
        events.push({ kind: "overrun" });
      }
    }
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

function decodeEvent(message: NetlinkMessage): NetworkEvent | null {
  const link = decodeLink(message);
  if (link !== null) return { kind: "link", removed: message.type === RTM_DELLINK, link };
  const address = decodeAddress(message);
  if (address !== null) return { kind: "address", removed: message.type === RTM_DELADDR, address };
  const route = decodeRoute(message);
  if (route !== null) return { kind: "route", removed: message.type === RTM_DELROUTE, route };
  const rule = decodeRule(message);
  if (rule !== null) return { kind: "rule", removed: message.type === RTM_DELRULE, rule };
  return null;
}

function isLoss(error: unknown): boolean {
  return error instanceof SystemCallError && (error.errno === ENOBUFS || error.errno === EMSGSIZE);
}
