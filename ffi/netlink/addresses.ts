/** Interface addresses: list, add, delete (`RTM_*ADDR`, `include/uapi/linux/if_addr.h`). */
import { struct } from "../layout.ts";
import { dumpOfFamily } from "./families.ts";
import { type AddressFamily, familyOf, formatIp, type IpAddress } from "./ip_address.ts";
import { AF_INET, AF_INET6, AF_UNSPEC } from "../socket_constants.ts";
import {
  Attributes,
  MessageBuilder,
  type NetlinkMessage,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
} from "./message.ts";
import type { RequestChannel } from "./socket.ts";

const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
const RTM_GETADDR = 22;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_CACHEINFO = 6;
const IFA_F_NODAD = 0x02;
const IFA_F_PERMANENT = 0x80;

/**
 * ```c
 * struct ifaddrmsg {
 *   __u8 ifa_family; __u8 ifa_prefixlen; __u8 ifa_flags; __u8 ifa_scope; __u32 ifa_index;
 * };
 * ```
 */
const IFADDRMSG = struct({
  family: "u8",
  prefixLength: "u8",
  flags: "u8",
  scope: "u8",
  index: "u32",
});

/** `struct ifa_cacheinfo`: for how long an address is good, seconds; the kernel writes the rest. */
const CACHE_INFO = struct({
  preferred: "u32",
  valid: "u32",
  created: "u32",
  updated: "u32",
});

/** An address to put on an interface. */
export interface AddressSpec {
  readonly address: IpAddress;
  /** Leading bits that the on-link network shares; 32 or 128 for a host alone. */
  readonly prefixLength: number;
  /** The other end of a point-to-point link, to which `prefixLength` then applies. */
  readonly peer?: IpAddress;
  /** Of IPv6: is good at once, without asking whether a neighbour has it (RFC 4862 section 5.4). */
  readonly isUnasked?: boolean;
  /** Seconds after which the kernel takes it off, from each time that it is set; left out, it stays. */
  readonly lifetime?: number;
}

/** An address that an interface has. */
export interface InterfaceAddress {
  readonly family: AddressFamily;
  /** Index of the interface. */
  readonly link: number;
  readonly address: IpAddress;
  readonly prefixLength: number;
  /** The other end of a point-to-point link; null where the address is the host's on a network. */
  readonly peer: IpAddress | null;
  /** A number of `RouteScope`. */
  readonly scope: number;
  /** Whether it stays until it is taken away; one that was leased ends with its lease. */
  readonly isPermanent: boolean;
}

/** Which addresses `Addresses.list()` returns; all if empty. */
export interface AddressFilter {
  readonly family?: AddressFamily;
  /** Index of the interface. */
  readonly link?: number;
}

/** No broadcast address is ever set: a TUN has no use for one and the others get along without. */
export class Addresses {
  readonly #channel: RequestChannel;

  constructor(channel: RequestChannel) {
    this.#channel = channel;
  }

  /** The addresses of all interfaces, or of those that the filter lets through. */
  list(filter: AddressFilter = {}): InterfaceAddress[] {
    const message = new MessageBuilder(RTM_GETADDR, 0)
      .struct(IFADDRMSG, { family: filter.family ?? AF_UNSPEC });
    return dumpOfFamily(this.#channel, message, "list addresses")
      .flatMap((answer) => decodeAddress(answer) ?? [])
      .filter((address) =>
        (filter.link ?? address.link) === address.link &&
        (filter.family ?? address.family) === address.family
      );
  }

  /**
   * Gives interface `link` (an index) an address.
   *
   * @throws {NetlinkError} EEXIST when it has it already, ENODEV where there is no such interface
   */
  add(link: number, spec: AddressSpec): void {
    const flags = NLM_F_CREATE | NLM_F_EXCL;
    this.#change({ type: RTM_NEWADDR, flags, action: `add ${describe(link, spec)}` }, link, spec);
  }

  /** The same, but an address that is there already is no error. */
  replace(link: number, spec: AddressSpec): void {
    const flags = NLM_F_CREATE | NLM_F_REPLACE;
    this.#change({ type: RTM_NEWADDR, flags, action: `set ${describe(link, spec)}` }, link, spec);
  }

  /**
   * Takes an address off interface `link` (an index).
   *
   * @throws {NetlinkError} EADDRNOTAVAIL when it has no such address
   */
  delete(link: number, spec: AddressSpec): void {
    this.#change(
      { type: RTM_DELADDR, flags: 0, action: `delete ${describe(link, spec)}` },
      link,
      spec,
    );
  }

  #change(
    request: { readonly type: number; readonly flags: number; readonly action: string },
    link: number,
    spec: AddressSpec,
  ): void {
    const { lifetime } = spec;
    const message = new MessageBuilder(request.type, request.flags)
      .struct(IFADDRMSG, {
        family: familyOf(spec.address),
        prefixLength: spec.prefixLength,
        flags: spec.isUnasked === true ? IFA_F_NODAD : 0,
        index: link,
      })
      .bytes(IFA_LOCAL, spec.address)
      .bytes(IFA_ADDRESS, spec.peer ?? spec.address);
    if (lifetime !== undefined) {
      const times = new Uint8Array(CACHE_INFO.size);
      CACHE_INFO.write(times, 0, { preferred: lifetime, valid: lifetime });
      message.bytes(IFA_CACHEINFO, times);
    }
    this.#channel.request(message, request.action);
  }
}

/** The address that a message describes; null for other messages and other families. */
export function decodeAddress(message: NetlinkMessage): InterfaceAddress | null {
  if (message.type !== RTM_NEWADDR && message.type !== RTM_DELADDR) return null;
  const { family, prefixLength, flags, scope, index } = IFADDRMSG.read(message.body, 0);
  if (family !== AF_INET && family !== AF_INET6) return null;
  const attributes = new Attributes(message.body, IFADDRMSG.size);
  // IPv4 always names its own address in IFA_LOCAL; IPv6 does so only where IFA_ADDRESS is a peer.
  const end = attributes.bytes(IFA_ADDRESS);
  const own = attributes.bytes(IFA_LOCAL) ?? end;
  if (own === null) return null;
  const hasPeer = end !== null && formatIp(end) !== formatIp(own);
  const peer = hasPeer ? end.slice() : null;
  const isPermanent = (flags & IFA_F_PERMANENT) !== 0;
  return { family, link: index, address: own.slice(), prefixLength, peer, scope, isPermanent };
}

function describe(link: number, spec: AddressSpec): string {
  const network = spec.peer === undefined ? "" : ` peer ${formatIp(spec.peer)}`;
  return `address ${formatIp(spec.address)}${network}/${spec.prefixLength} on link ${link}`;
}
