/**
 * Neighbour tables: which link-layer address a host on the link has, how sure the kernel is of it, and the
 * notifications about that (`RTM_*NEIGH`, `include/uapi/linux/neighbour.h`; the states are those of RFC 4861 section
 * 7.3.2).
 */
import { EMSGSIZE, ENOBUFS, ENOENT, SystemCallError } from "../errno.ts";
import { struct } from "../layout.ts";
import type { Libc } from "../libc.ts";
import { type AddressFamily, familyOf, formatIp, type IpAddress } from "./ip_address.ts";
import { AF_INET, AF_INET6 } from "../socket_constants.ts";
import { dumpOfFamily } from "./families.ts";
import {
  Attributes,
  MessageBuilder,
  type NetlinkMessage,
  NLM_F_CREATE,
  NLM_F_REPLACE,
} from "./message.ts";
import { NETLINK_ROUTE, NetlinkError, NetlinkSocket, type RequestChannel } from "./socket.ts";

const RTM_NEWNEIGH = 28;
const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;
const RTNLGRP_NEIGH = 3;

const NDA_DST = 1;
const NDA_LLADDR = 2;
/** On a new request: as if a packet had just been sent there. */
const NTF_USE = 0x01;
/** Of what this host answers for as if it were its own, which is in a table apart. */
const NTF_PROXY = 0x08;

/**
 * ```c
 * struct ndmsg {
 *   __u8 ndm_family, ndm_pad1; __u16 ndm_pad2; __s32 ndm_ifindex; __u16 ndm_state; __u8 ndm_flags, ndm_type;
 * };
 * ```
 */
const NDMSG = struct({
  family: "u8",
  pad1: "u8",
  pad2: "u16",
  ifindex: "i32",
  state: "u16",
  flags: "u8",
  type: "u8",
});

/** What the kernel knows of a neighbour (`NUD_*`). */
export const NeighbourState = {
  none: 0,
  incomplete: 0x01,
  reachable: 0x02,
  stale: 0x04,
  delay: 0x08,
  probe: 0x10,
  failed: 0x20,
  noArp: 0x40,
  permanent: 0x80,
} as const;

/** The states in which the link-layer address is good to send to (`NUD_VALID`). */
const VALID_STATES = NeighbourState.reachable | NeighbourState.stale | NeighbourState.delay |
  NeighbourState.probe | NeighbourState.noArp | NeighbourState.permanent;

/** A neighbour, or a host that might be one. */
export interface NeighbourId {
  /** Index of the interface. */
  readonly link: number;
  readonly address: IpAddress;
}

/** An entry of the table. */
export interface Neighbour extends NeighbourId {
  readonly family: AddressFamily;
  /** A number of `NeighbourState`. */
  readonly state: number;
  /** The link-layer address to send to; null while there is none, or none any more. */
  readonly hardwareAddress: Uint8Array | null;
}

export class Neighbours {
  readonly #channel: RequestChannel;

  constructor(channel: RequestChannel) {
    this.#channel = channel;
  }

  /** The neighbour's entry, or null where the kernel has none (Linux 5.0). */
  find(id: NeighbourId): Neighbour | null {
    const message = new MessageBuilder(RTM_GETNEIGH, 0).struct(NDMSG, header(id))
      .bytes(NDA_DST, id.address);
    try {
      const answers = this.#channel.request(message, `find ${describe(id)}`);
      return answers.map(decodeNeighbour).find((neighbour) => neighbour !== null) ?? null;
    } catch (error) {
      if (error instanceof NetlinkError && error.errno === ENOENT) return null;
      throw error;
    }
  }

  /**
   * Has the kernel ask for the neighbour, or make sure of it where the answer is old, as if a packet had been sent
   * there (NTF_USE). What comes of it is told to `NeighbourMonitor`s.
   *
   * @throws {NetlinkError} ENODEV where there is no such interface, ENETDOWN where it is down
   */
  use(id: NeighbourId): void {
    const message = new MessageBuilder(RTM_NEWNEIGH, NLM_F_CREATE)
      .struct(NDMSG, { ...header(id), flags: NTF_USE })
      .bytes(NDA_DST, id.address);
    this.#channel.request(message, `resolve ${describe(id)}`);
  }

  /**
   * The addresses on an interface that this host says are its own (`ip neighbour add proxy`); it does so where
   * `proxy_ndp` is on and it forwards.
   */
  listProxies(family: AddressFamily, link: number): IpAddress[] {
    const message = new MessageBuilder(RTM_GETNEIGH, 0).struct(NDMSG, { family, flags: NTF_PROXY });
    return dumpOfFamily(this.#channel, message, "list proxied neighbours").flatMap((answer) => {
      if (answer.type !== RTM_NEWNEIGH) return [];
      const { ifindex, family: found, flags } = NDMSG.read(answer.body, 0);
      const address = new Attributes(answer.body, NDMSG.size).bytes(NDA_DST);
      const isOne = ifindex === link && found === family && (flags & NTF_PROXY) !== 0;
      return isOne && address !== null ? [address.slice()] : [];
    });
  }

  /** Has it answer for an address; that it does already is no error. */
  addProxy(id: NeighbourId): void {
    const message = new MessageBuilder(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE)
      .struct(NDMSG, { ...header(id), flags: NTF_PROXY })
      .bytes(NDA_DST, id.address);
    this.#channel.request(message, `answer for ${describe(id)}`);
  }

  /** @throws {NetlinkError} ENOENT where it does not */
  deleteProxy(id: NeighbourId): void {
    const message = new MessageBuilder(RTM_DELNEIGH, 0)
      .struct(NDMSG, { ...header(id), flags: NTF_PROXY })
      .bytes(NDA_DST, id.address);
    this.#channel.request(message, `cease to answer for ${describe(id)}`);
  }
}

/** Tells of neighbours that came, changed or went. */
export class NeighbourMonitor implements Disposable {
  /** Readable when `read()` has something; for an epoll set. */
  readonly fd: number;
  readonly #socket: NetlinkSocket;

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
    this.fd = socket.fd;
  }

  /**
   * Starts to listen in the network namespace that the thread is in now.
   *
   * @throws {SystemCallError}
   */
  static open(libc: Libc): NeighbourMonitor {
    const socket = NetlinkSocket.open(libc, { protocol: NETLINK_ROUTE, nonBlocking: true });
    try {
      socket.subscribe(RTNLGRP_NEIGH);
    } catch (error) {
      socket[Symbol.dispose]();
      throw error;
    }
    return new NeighbourMonitor(socket);
  }

  /**
   * Takes the notifications that have come, in order; never waits. A neighbour that went comes without hardware
   * address.
   *
   * @returns null where the kernel had to drop some: whatever is known must be asked for again
   */
  read(): Neighbour[] | null {
    const neighbours: Neighbour[] = [];
    let complete = true;
    for (;;) {
      try {
        const messages = this.#socket.receive();
        if (messages === null) return complete ? neighbours : null;
        neighbours.push(...messages.flatMap((message) => decodeNeighbour(message) ?? []));
      } catch (error) {
        if (!isLoss(error)) throw error;
        complete = false;
      }
    }
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

/** The neighbour that a message describes; null for other messages, and for entries of bridges (`AF_BRIDGE`). */
function decodeNeighbour(message: NetlinkMessage): Neighbour | null {
  if (message.type !== RTM_NEWNEIGH && message.type !== RTM_DELNEIGH) return null;
  const { family, ifindex, state } = NDMSG.read(message.body, 0);
  if (family !== AF_INET && family !== AF_INET6) return null;
  const attributes = new Attributes(message.body, NDMSG.size);
  const address = attributes.bytes(NDA_DST);
  if (address === null) return null;
  const isValid = message.type === RTM_NEWNEIGH && (state & VALID_STATES) !== 0;
  return {
    family,
    link: ifindex,
    address: address.slice(),
    state,
    hardwareAddress: isValid ? attributes.bytes(NDA_LLADDR)?.slice() ?? null : null,
  };
}

function header({ link, address }: NeighbourId) {
  return { family: familyOf(address), ifindex: link };
}

function describe({ link, address }: NeighbourId): string {
  return `neighbour ${formatIp(address)} on link ${link}`;
}

function isLoss(error: unknown): boolean {
  return error instanceof SystemCallError && (error.errno === ENOBUFS || error.errno === EMSGSIZE);
}
