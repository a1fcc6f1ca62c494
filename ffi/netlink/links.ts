/**
 * Network interfaces: their list, their settings, and the creation of veth pairs (`RTM_*LINK`,
 * `include/uapi/linux/if_link.h`).
 */
import { ENODEV } from "../errno.ts";
import { struct } from "../layout.ts";
import { AF_UNSPEC } from "../socket_constants.ts";
import {
  Attributes,
  MessageBuilder,
  type NetlinkMessage,
  NLM_F_CREATE,
  NLM_F_EXCL,
} from "./message.ts";
import { NetlinkError, type RequestChannel } from "./socket.ts";

/** Name of the loopback interface. */
export const LOOPBACK = "lo";

const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
const RTM_GETLINK = 18;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_TXQLEN = 13;
const IFLA_LINKINFO = 18;
const IFLA_NET_NS_FD = 28;
const IFLA_CARRIER = 33;
const IFLA_LINK_NETNSID = 37;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;

const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const IFF_NOARP = 0x80;

/**
 * ```c
 * struct ifinfomsg {
 *   unsigned char ifi_family; unsigned char __ifi_pad; unsigned short ifi_type;
 *   int ifi_index; unsigned ifi_flags; unsigned ifi_change;
 * };
 * ```
 */
const IFINFOMSG = struct({
  family: "u8",
  pad: "u8",
  type: "u16",
  index: "i32",
  flags: "u32",
  change: "u32",
});

/** Kinds of link-layer header (`ARPHRD_*`, `linux/if_arp.h`); `none` has none at all, as a TUN. */
export const HardwareType = { ethernet: 1, loopback: 772, none: 0xfffe } as const;

/** A network interface. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** The driver, as in `veth`, `tun`; null for hardware and the loopback. */
  readonly kind: string | null;
  /** Index of the bridge, or the like, that it is a port of; null for none. */
  readonly master: number | null;
  /**
   * Index of the link that it is on (a VLAN) or joined to (a veth); null for none, and for one of another namespace.
   */
  readonly lower: number | null;
  /** In bytes. */
  readonly mtu: number;
  /** In packets. */
  readonly txQueueLength: number;
  /** Switched on. */
  readonly up: boolean;
  /** Connected: the other end of a cable is up, a process holds the TUN. */
  readonly carrier: boolean;
  readonly loopback: boolean;
  /** What its link-layer header is like: a number of `HardwareType`, or another one. */
  readonly hardwareType: number;
  /** Whether neighbours on it have link-layer addresses that are asked for (ARP). */
  readonly arp: boolean;
  /** Six bytes on Ethernet; null where there is none, as on a TUN. */
  readonly hardwareAddress: Uint8Array | null;
}

/** Names an interface: its name or its index. */
export type LinkId = string | number;

/** What `Links.configure()` changes; what is left out stays. */
export interface LinkSettings {
  readonly up?: boolean;
  /** In bytes. */
  readonly mtu?: number;
  /** In packets. */
  readonly txQueueLength?: number;
  /** Index of the bridge that it becomes a port of. */
  readonly master?: number;
  /** Descriptor of the network namespace to move the link to (`openNamespace()`), where `up` takes effect, too. */
  readonly namespace?: number;
}

/** The other end of a veth pair. */
export interface VethPeer {
  readonly name: string;
  /** Descriptor of the network namespace to make it in; the socket's own if left out. */
  readonly namespace?: number;
}

export class Links {
  readonly #channel: RequestChannel;

  constructor(channel: RequestChannel) {
    this.#channel = channel;
  }

  /** All interfaces, by index. */
  list(): Link[] {
    const message = new MessageBuilder(RTM_GETLINK, 0).struct(IFINFOMSG, { family: AF_UNSPEC });
    return this.#channel.dump(message, "list links").flatMap((answer) => decodeLink(answer) ?? []);
  }

  /**
   * The interface.
   *
   * @throws {NetlinkError} ENODEV where there is none
   */
  get(id: LinkId): Link {
    const action = `find ${describe(id)}`;
    const answers = this.#channel.request(requestFor(RTM_GETLINK, id, {}), action);
    const link = answers.map(decodeLink).find((candidate) => candidate !== null);
    if (link === undefined) throw new NetlinkError(action, ENODEV, "");
    return link;
  }

  /** The interface, or null where there is none. */
  find(id: LinkId): Link | null {
    try {
      return this.get(id);
    } catch (error) {
      if (error instanceof NetlinkError && error.errno === ENODEV) return null;
      throw error;
    }
  }

  /**
   * Makes a pair of interfaces joined by a cable; both are down.
   *
   * @param name of the end in the socket's own namespace
   * @throws {NetlinkError} EEXIST when one of the names is taken
   */
  createVeth(name: string, peer: VethPeer): void {
    const message = new MessageBuilder(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL)
      .struct(IFINFOMSG, {})
      .string(IFLA_IFNAME, name)
      .nested(IFLA_LINKINFO, (info) => {
        info.string(IFLA_INFO_KIND, "veth").nested(IFLA_INFO_DATA, (data) => {
          data.nested(VETH_INFO_PEER, (end) => {
            end.struct(IFINFOMSG, {}).string(IFLA_IFNAME, peer.name);
            if (peer.namespace !== undefined) end.u32(IFLA_NET_NS_FD, peer.namespace);
          });
        });
      });
    this.#channel.request(message, `create veth pair "${name}" and "${peer.name}"`);
  }

  /**
   * Makes a bridge without ports; it is down.
   *
   * @throws {NetlinkError} EEXIST when the name is taken, EOPNOTSUPP where the kernel has no bridges
   */
  createBridge(name: string): void {
    const message = new MessageBuilder(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL)
      .struct(IFINFOMSG, {})
      .string(IFLA_IFNAME, name)
      .nested(IFLA_LINKINFO, (info) => info.string(IFLA_INFO_KIND, "bridge"));
    this.#channel.request(message, `create bridge "${name}"`);
  }

  /**
   * Changes settings, all in one request.
   *
   * @throws {NetlinkError} ENODEV where there is no such interface; EINVAL for an MTU that it cannot have
   */
  configure(id: LinkId, settings: LinkSettings): void {
    const flags = settings.up === true ? IFF_UP : 0;
    const change = settings.up === undefined ? 0 : IFF_UP;
    const message = requestFor(RTM_NEWLINK, id, { flags, change });
    if (settings.mtu !== undefined) message.u32(IFLA_MTU, settings.mtu);
    if (settings.txQueueLength !== undefined) message.u32(IFLA_TXQLEN, settings.txQueueLength);
    if (settings.master !== undefined) message.u32(IFLA_MASTER, settings.master);
    if (settings.namespace !== undefined) message.u32(IFLA_NET_NS_FD, settings.namespace);
    this.#channel.request(message, `configure ${describe(id)}`);
  }

  /**
   * Removes an interface, and with one end of a veth pair the other.
   *
   * @throws {NetlinkError} ENODEV where there is none, EOPNOTSUPP for one that cannot be removed
   */
  delete(id: LinkId): void {
    this.#channel.request(requestFor(RTM_DELLINK, id, {}), `delete ${describe(id)}`);
  }
}

/** The link that a message describes; null for other messages, also those about ports of a bridge (`AF_BRIDGE`). */
export function decodeLink(message: NetlinkMessage): Link | null {
  if (message.type !== RTM_NEWLINK && message.type !== RTM_DELLINK) return null;
  const header = IFINFOMSG.read(message.body, 0);
  if (header.family !== AF_UNSPEC) return null;
  const attributes = new Attributes(message.body, IFINFOMSG.size);
  const hardwareAddress = attributes.bytes(IFLA_ADDRESS);
  return {
    index: header.index,
    name: attributes.string(IFLA_IFNAME) ?? "",
    kind: attributes.nested(IFLA_LINKINFO)?.string(IFLA_INFO_KIND) ?? null,
    master: attributes.u32(IFLA_MASTER) ?? null,
    lower: attributes.bytes(IFLA_LINK_NETNSID) === null ? attributes.u32(IFLA_LINK) ?? null : null,
    mtu: attributes.u32(IFLA_MTU) ?? 0,
    txQueueLength: attributes.u32(IFLA_TXQLEN) ?? 0,
    up: (header.flags & IFF_UP) !== 0,
    // Not IFF_RUNNING: the kernel brings that flag up to date some time later.
    carrier: attributes.bytes(IFLA_CARRIER)?.[0] === 1,
    loopback: (header.flags & IFF_LOOPBACK) !== 0,
    hardwareType: header.type,
    arp: (header.flags & IFF_NOARP) === 0,
    hardwareAddress: hardwareAddress === null || hardwareAddress.length === 0
      ? null
      : hardwareAddress.slice(),
  };
}

function requestFor(
  type: number,
  id: LinkId,
  header: { readonly flags?: number; readonly change?: number },
): MessageBuilder {
  const message = new MessageBuilder(type, 0);
  if (typeof id === "number") return message.struct(IFINFOMSG, { ...header, index: id });
  return message.struct(IFINFOMSG, header).string(IFLA_IFNAME, id);
}

function describe(id: LinkId): string {
  return typeof id === "number" ? `link with index ${id}` : `link "${id}"`;
}
