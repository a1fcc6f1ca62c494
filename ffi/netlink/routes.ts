/**
 * Routing tables: their routes, and the kernel's answer to the question which route a packet takes (`RTM_*ROUTE`,
 * `include/uapi/linux/rtnetlink.h`).
 */
import { struct } from "../layout.ts";
import { dumpOfFamily } from "./families.ts";
import {
  type AddressFamily,
  familyOf,
  formatIp,
  formatPrefix,
  type IpAddress,
  type IpPrefix,
} from "./ip_address.ts";
import { AF_INET, AF_INET6 } from "../socket_constants.ts";
import {
  Attributes,
  MessageBuilder,
  type NetlinkMessage,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
} from "./message.ts";
import { ENOENT } from "../errno.ts";
import { NetlinkError, type RequestChannel } from "./socket.ts";

const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;

const RTA_DST = 1;
const RTA_SRC = 2;
const RTA_IIF = 3;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_MULTIPATH = 9;
const RTA_CACHEINFO = 12;
const RTA_TABLE = 15;
const RTA_MARK = 16;
const RTA_VIA = 18;
const RTAX_MTU = 2;

/** On a lookup: answer with the table that was used rather than 254. */
const RTM_F_LOOKUP_TABLE = 0x1000;
/** On a route: not configured but learnt, such as a path MTU. */
const RTM_F_CLONED = 0x200;

/**
 * ```c
 * struct rtmsg {
 *   unsigned char rtm_family, rtm_dst_len, rtm_src_len, rtm_tos;
 *   unsigned char rtm_table, rtm_protocol, rtm_scope, rtm_type;
 *   unsigned rtm_flags;
 * };
 * ```
 */
const RTMSG = struct({
  family: "u8",
  destinationLength: "u8",
  sourceLength: "u8",
  tos: "u8",
  table: "u8",
  protocol: "u8",
  scope: "u8",
  type: "u8",
  flags: "u32",
});

/** ```c struct rtnexthop { unsigned short len; unsigned char flags, hops; int ifindex; }; ``` attributes follow. */
const RTNEXTHOP = struct({ length: "u16", flags: "u8", hops: "u8", interfaceIndex: "i32" });

/** The tables that always exist (`enum rt_class_t`). */
export const RouteTable = { default: 253, main: 254, local: 255 } as const;

/** What happens to a packet that a route matches (`RTN_*`); others than these occur in lists. */
export const RouteType = {
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
} as const;
export type RouteType = (typeof RouteType)[keyof typeof RouteType];

/** How far a destination is (`RT_SCOPE_*`); others than these occur in lists. */
export const RouteScope = { global: 0, site: 200, link: 253, host: 254 } as const;
export type RouteScope = (typeof RouteScope)[keyof typeof RouteScope];

/** Deletes a route whatever its scope. */
const RT_SCOPE_NOWHERE = 255;

/**
 * Who made a route, or a rule (`RTPROT_*`): `boot` is what `ip route add` gives. Those of `kernel` are the only ones
 * that systemd-networkd takes for none of its business: it removes all others that it has not made (networkd.conf(5),
 * `ManageForeignRoutes=`, `ManageForeignRoutingPolicyRules=`).
 */
export const RouteProtocol = { kernel: 2, boot: 3, static: 4 } as const;
export type RouteProtocol = (typeof RouteProtocol)[keyof typeof RouteProtocol];

/** A route to add; for `delete()`, what the route to delete must match. */
export interface RouteSpec {
  readonly destination: IpPrefix;
  /** Index of the interface to send by; may be left out where the gateway settles it, and for refusing types. */
  readonly link?: number;
  readonly gateway?: IpAddress;
  /** `RouteTable.main` if left out. */
  readonly table?: number;
  /** Smaller is preferred. If left out: 0 for IPv4, 1,024 for IPv6. */
  readonly metric?: number;
  /** `unicast` if left out. */
  readonly type?: RouteType;
  /** If left out: `link` for unicast without gateway, `host` for local, else `global`. IPv6 has none. */
  readonly scope?: RouteScope;
  /** `boot` if left out; for `delete()`, any. */
  readonly protocol?: RouteProtocol;
  /** The source address for packets of this host that have none yet. */
  readonly preferredSource?: IpAddress;
  /** Largest packet for this route in bytes; the link's if left out. */
  readonly mtu?: number;
}

/** A route in a table, or the answer to a lookup. */
export interface Route {
  readonly family: AddressFamily;
  readonly destination: IpPrefix;
  readonly table: number;
  /** A number of `RouteType`. */
  readonly type: number;
  /** A number of `RouteScope`. */
  readonly scope: number;
  /** A number of `RouteProtocol`. */
  readonly protocol: number;
  /** Index of the interface; of the first one where there are several paths, null for refusing types. */
  readonly link: number | null;
  /** Of the first path where there are several; null where the destination is on the link. */
  readonly gateway: IpAddress | null;
  /** How many paths it has: more than 1 for multipath routes. */
  readonly paths: number;
  readonly metric: number;
  readonly preferredSource: IpAddress | null;
  /** The route's own limit in bytes; null where the link's MTU applies. */
  readonly mtu: number | null;
  /** Whether that limit is no configured one: an ICMP message made it, which anybody may have sent, and it expires. */
  readonly mtuIsLearnt: boolean;
}

/** Which routes `Routes.list()` returns; those of every table if empty. */
export interface RouteFilter {
  readonly family?: AddressFamily;
  readonly table?: number;
  /** Index of the interface. */
  readonly link?: number;
}

export class Routes {
  readonly #channel: RequestChannel;

  constructor(channel: RequestChannel) {
    this.#channel = channel;
  }

  /** The routes that the filter lets through; none that were merely learnt (path MTUs, redirects). */
  list(filter: RouteFilter = {}): Route[] {
    const families = filter.family === undefined ? [AF_INET, AF_INET6] : [filter.family];
    const routes = families.flatMap((family) => {
      const message = new MessageBuilder(RTM_GETROUTE, 0).struct(RTMSG, { family });
      // Respected on strict sockets alone.
      if (filter.table !== undefined) message.u32(RTA_TABLE, filter.table);
      if (filter.link !== undefined) message.u32(RTA_OIF, filter.link);
      return this.#dump(message)
        .flatMap((answer) => decodeRoute(answer) ?? [])
        // A kernel without IPv6 answers the request for it with the routes of all families it has.
        .filter((route) => route.family === family);
    });
    return routes.filter((route) =>
      (filter.table ?? route.table) === route.table && (filter.link ?? route.link) === route.link
    );
  }

  /** Of a table that is not there a strict socket says so. */
  #dump(message: MessageBuilder): NetlinkMessage[] {
    try {
      return dumpOfFamily(this.#channel, message, "list routes");
    } catch (error) {
      if (error instanceof NetlinkError && error.errno === ENOENT) return [];
      throw error;
    }
  }

  /**
   * Adds a route.
   *
   * @throws {NetlinkError} EEXIST when there is one for this destination, table and metric; ENODEV where there is
   * no such interface; ENETUNREACH when the gateway cannot be reached; ENETDOWN when the interface is down; EINVAL
   * when an IPv4 destination has bits behind its prefix
   */
  add(spec: RouteSpec): void {
    this.#channel.request(
      encodeRoute(spec, { type: RTM_NEWROUTE, flags: NLM_F_CREATE | NLM_F_EXCL }),
      `add ${describe(spec)}`,
    );
  }

  /** Adds a route, in the place of the one for this destination, table and metric if there is one. */
  replace(spec: RouteSpec): void {
    this.#channel.request(
      encodeRoute(spec, { type: RTM_NEWROUTE, flags: NLM_F_CREATE | NLM_F_REPLACE }),
      `set ${describe(spec)}`,
    );
  }

  /**
   * Deletes the first route that has the destination, the table and whatever else `spec` says.
   *
   * @throws {NetlinkError} ESRCH when there is none
   */
  delete(spec: RouteSpec): void {
    this.#channel.request(
      encodeRoute(spec, { type: RTM_DELROUTE, flags: 0 }),
      `delete ${describe(spec)}`,
    );
  }

  /**
   * The way that a packet of this host to `destination` would take; the answer's `table` is the one that held
   * the route. Its `mtu` is a route's or a learnt one: where null, the link's counts.
   *
   * @param options `mark`: the firewall mark of the packet, 0 if left out; `source`: its source address where it has
   * one already, which routing rules may look at; `link`: index of the interface that it must leave by; `inputLink`:
   * index of the interface that it came by, for one that this host forwards, whose `source` is another host's then
   * @throws {NetlinkError} ENETUNREACH where there is no way, EHOSTUNREACH for type `unreachable`, EACCES for
   * `prohibit`, EINVAL for `blackhole` and where `source` is no address of this host; EHOSTUNREACH, too, where this
   * host does not forward
   */
  lookup(
    destination: IpAddress,
    options: {
      readonly mark?: number;
      readonly source?: IpAddress;
      readonly link?: number;
      readonly inputLink?: number;
    } = {},
  ): Route {
    const { source } = options;
    const message = new MessageBuilder(RTM_GETROUTE, 0)
      .struct(RTMSG, {
        family: familyOf(destination),
        destinationLength: destination.length * 8,
        sourceLength: source === undefined ? 0 : source.length * 8,
        flags: RTM_F_LOOKUP_TABLE,
      })
      .bytes(RTA_DST, destination);
    if (source !== undefined) message.bytes(RTA_SRC, source);
    if (options.inputLink !== undefined) message.u32(RTA_IIF, options.inputLink);
    if (options.link !== undefined) message.u32(RTA_OIF, options.link);
    if (options.mark !== undefined) message.u32(RTA_MARK, options.mark);
    const action = `look up the route to ${formatIp(destination)}`;
    for (const answer of this.#channel.request(message, action)) {
      const route = decodeAnyRoute(answer);
      if (route !== null) return route;
    }
    throw new Error(`Cannot ${action}: the kernel's answer has no route`);
  }
}

/** The configured route that a message describes; null for other messages, other families and learnt routes. */
export function decodeRoute(message: NetlinkMessage): Route | null {
  if (message.type !== RTM_NEWROUTE && message.type !== RTM_DELROUTE) return null;
  if ((RTMSG.read(message.body, 0).flags & RTM_F_CLONED) !== 0) return null;
  return decodeAnyRoute(message);
}

function decodeAnyRoute(message: NetlinkMessage): Route | null {
  if (message.type !== RTM_NEWROUTE && message.type !== RTM_DELROUTE) return null;
  const header = RTMSG.read(message.body, 0);
  const { family, type, scope, protocol } = header;
  if (family !== AF_INET && family !== AF_INET6) return null;
  const attributes = new Attributes(message.body, RTMSG.size);
  const address = attributes.bytes(RTA_DST)?.slice() ?? new Uint8Array(family === AF_INET ? 4 : 16);
  const paths = decodePaths(attributes.bytes(RTA_MULTIPATH));
  const path = paths[0] ?? { link: attributes.u32(RTA_OIF), gateway: decodeGateway(attributes) };
  return {
    family,
    destination: { address, length: header.destinationLength },
    table: attributes.u32(RTA_TABLE) ?? header.table,
    type,
    scope,
    protocol,
    ...path,
    paths: Math.max(1, paths.length),
    metric: attributes.u32(RTA_PRIORITY) ?? 0,
    preferredSource: attributes.bytes(RTA_PREFSRC)?.slice() ?? null,
    mtu: attributes.nested(RTA_METRICS)?.u32(RTAX_MTU) ?? null,
    mtuIsLearnt: expires(attributes.bytes(RTA_CACHEINFO)),
  };
}

/**
 * Whether a `struct rta_cacheinfo { u32 clntref, lastuse; s32 expires; ... }` says that the route is there for a time.
 */
function expires(info: Uint8Array | null): boolean {
  if (info === null || info.length < 12) return false;
  return new DataView(info.buffer, info.byteOffset).getInt32(8, true) !== 0;
}

/** The paths of a multipath route: `rtnexthop` structs, each followed by its attributes. */
function decodePaths(bytes: Uint8Array | null): Pick<Route, "link" | "gateway">[] {
  const paths: Pick<Route, "link" | "gateway">[] = [];
  let rest = bytes ?? new Uint8Array();
  while (rest.length >= RTNEXTHOP.size) {
    const { length, interfaceIndex } = RTNEXTHOP.read(rest, 0);
    if (length < RTNEXTHOP.size || length > rest.length) break;
    const attributes = new Attributes(rest.subarray(0, length), RTNEXTHOP.size);
    paths.push({ link: interfaceIndex, gateway: decodeGateway(attributes) });
    rest = rest.subarray(length);
  }
  return paths;
}

/** The gateway in either of its forms; an IPv4 route may have an IPv6 one (RFC 5549, `RTA_VIA`). */
function decodeGateway(attributes: Attributes): IpAddress | null {
  const gateway = attributes.bytes(RTA_GATEWAY);
  if (gateway !== null) return gateway.slice();
  // struct rtvia { __kernel_sa_family_t rtvia_family; __u8 rtvia_addr[]; };
  return attributes.bytes(RTA_VIA)?.slice(2) ?? null;
}

function encodeRoute(
  spec: RouteSpec,
  request: { readonly type: number; readonly flags: number },
): MessageBuilder {
  const { destination, table = RouteTable.main } = spec;
  const deleting = request.type === RTM_DELROUTE;
  const message = new MessageBuilder(request.type, request.flags)
    .struct(RTMSG, {
      family: familyOf(destination.address),
      destinationLength: destination.length,
      // A table beyond one byte goes by RTA_TABLE.
      table: table < 256 ? table : 0,
      protocol: deleting ? 0 : spec.protocol ?? RouteProtocol.boot,
      scope: spec.scope ?? (deleting ? RT_SCOPE_NOWHERE : defaultScope(spec)),
      type: spec.type ?? (deleting ? 0 : RouteType.unicast),
    })
    .bytes(RTA_DST, destination.address);
  if (spec.gateway !== undefined) message.bytes(RTA_GATEWAY, spec.gateway);
  if (table >= 256) message.u32(RTA_TABLE, table);
  if (spec.metric !== undefined) message.u32(RTA_PRIORITY, spec.metric);
  if (spec.link !== undefined) message.u32(RTA_OIF, spec.link);
  if (spec.preferredSource !== undefined) message.bytes(RTA_PREFSRC, spec.preferredSource);
  if (spec.mtu !== undefined) {
    const { mtu } = spec;
    message.nested(RTA_METRICS, (metrics) => metrics.u32(RTAX_MTU, mtu));
  }
  return message;
}

function defaultScope({ type = RouteType.unicast, gateway, destination }: RouteSpec): RouteScope {
  if (familyOf(destination.address) === AF_INET6) return RouteScope.global;
  if (type === RouteType.local) return RouteScope.host;
  if (type === RouteType.broadcast || type === RouteType.multicast) return RouteScope.link;
  return type === RouteType.unicast && gateway === undefined ? RouteScope.link : RouteScope.global;
}

function describe({ destination, gateway, link, table }: RouteSpec): string {
  const via = gateway === undefined ? "" : ` via ${formatIp(gateway)}`;
  const by = link === undefined ? "" : ` on link ${link}`;
  const where = table === undefined ? "" : ` in table ${table}`;
  return `route ${formatPrefix(destination)}${via}${by}${where}`;
}
