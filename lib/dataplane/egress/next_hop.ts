/**
 * Next hop: for a destination the interface, its link-layer header and its MTU, as the kernel's routing and neighbour
 * tables have it, and as it changes.
 *
 * The kernel resolves neighbours for packets that go through its IP layer; frames from a packet socket do not, so an
 * entry in use is kept alive from here (`Neighbours.use()`). Where a hop is not known, and has still to be asked for,
 * the caller sends by the raw socket, which makes the kernel ask.
 */
import type { Libc } from "../../../ffi/libc.ts";
import type { IpAddress } from "../../../ffi/netlink/ip_address.ts";
import { HardwareType, type Link } from "../../../ffi/netlink/links.ts";
import {
  type Neighbour,
  NeighbourMonitor,
  NeighbourState,
} from "../../../ffi/netlink/neighbours.ts";
import { RouteType } from "../../../ffi/netlink/routes.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import { ETH_P_IP, ETH_P_IPV6 } from "../../../ffi/socket_constants.ts";
import { hash } from "../../core/wire/hash.ts";
import * as ipv4 from "../../core/wire/ipv4.ts";
import * as ipv6 from "../../core/wire/ipv6.ts";
import { randomInt } from "node:crypto";

export const ETHERNET_HEADER_SIZE = 14;
const HARDWARE_ADDRESS_SIZE = 6;
/**
 * ms between looks at the hops in use: well under the time after which the kernel forgets an entry (gc_stale_time, 60
 * s).
 */
const CARE_INTERVAL = 5_000;
/**
 * ms after which routes are asked for again though nobody told of a change: learnt ones (ICMP redirects) are not told
 * of.
 */
const ROUTE_LIFETIME = 30_000;
/**
 * Destinations remembered; a power of two. Beyond three quarters all are forgotten, and asked for again as they occur.
 */
const PLACES = 4096;
const MAX_DESTINATIONS = PLACES * 3 / 4;
const MAX_HOPS = 1024;
/** Words of a place: both addresses, of IPv6 if need be. */
const KEY_WORDS = 8;
/** Bytes of an IPv4 address, and of an IPv6 address. */
const IPV4_SIZE = 4;
const IPV6_SIZE = 16;
const UNKNOWN = 0;
/** The states of which the kernel makes sure itself, or need not. */
const SURE_STATES = NeighbourState.reachable | NeighbourState.permanent | NeighbourState.noArp;

export interface NextHopsOptions {
  /** The firewall mark of what is sent, which routing rules look at. */
  readonly mark: number;
  /** Index of the interface that everything leaves by; null for that of the route. */
  readonly link: number | null;
}

/** The next hop of some destinations. */
export interface NextHop {
  /** Index of the interface. */
  readonly link: number;
  /** Bytes. */
  readonly mtu: number;
  /** Of the packets that go there: that of IPv4 or of IPv6. */
  readonly etherType: number;
  /** The link-layer header of a frame with such a packet in it; empty where the interface has none. */
  readonly header: Uint8Array;
}

/** A hop, as it is remembered. */
interface Hop {
  readonly link: number;
  readonly mtu: number;
  /** Null while it is not known. */
  header: Uint8Array | null;
  readonly etherType: number;
  readonly source: Link;
  /** Whom to ask for; null where nobody needs to be asked. */
  readonly gateway: IpAddress | null;
  /** A number of `NeighbourState`. */
  state: number;
  /** Whether it was asked for since the last look. */
  used: boolean;
}

export class NextHops implements Disposable {
  readonly #netlink: Rtnetlink;
  readonly #monitor: NeighbourMonitor;
  readonly #mark: number;
  /** Index of the interface that everything leaves by; null for that of the route. */
  #only: number | null;
  readonly #view: DataView;
  /** By place: the addresses of a packet, the bytes of each, and 1 more than the index of its hop. */
  readonly #keys = new Int32Array(PLACES * KEY_WORDS);
  readonly #sizes = new Uint8Array(PLACES);
  readonly #indices = new Int32Array(PLACES);
  #count = 0;
  /** Secret: who chooses destinations must not be able to fill one place with them. */
  readonly #seed = randomInt(2 ** 31);
  /** The first one stands for destinations without a hop that a frame could be sent to. */
  #hops: (Hop | null)[] = [null];
  #careAt = Infinity;
  #forgetAt = 0;

  private constructor(
    view: DataView,
    netlink: Rtnetlink,
    monitor: NeighbourMonitor,
    options: NextHopsOptions,
  ) {
    this.#view = view;
    this.#netlink = netlink;
    this.#monitor = monitor;
    this.#mark = options.mark;
    this.#only = options.link;
  }

  /**
   * Looks at the network namespace that the thread is in now.
   *
   * @param view what packets lie in
   * @throws {SystemCallError}
   */
  static open(libc: Libc, view: DataView, options: NextHopsOptions): NextHops {
    const netlink = Rtnetlink.open(libc);
    try {
      return new NextHops(view, netlink, NeighbourMonitor.open(libc), options);
    } catch (error) {
      netlink[Symbol.dispose]();
      throw error;
    }
  }

  /** Readable when there is something to `serve()`; for an epoll set. */
  get fd(): number {
    return this.#monitor.fd;
  }

  /**
   * The next hop of a packet, as far as it is known: constant time.
   *
   * @param packet where its IP header begins
   * @returns null where there is none that frames can be sent to now: the raw socket is the way then
   */
  find(packet: number): NextHop | null {
    const place = this.#placeOf(packet);
    return this.#indices[place] === UNKNOWN ? null : this.#take(this.#indices[place] - 1);
  }

  /** The same, but the kernel is asked where the destination is new, which takes some 50 us. */
  resolve(packet: number, now: number): NextHop | null {
    const place = this.#placeOf(packet);
    const index = this.#indices[place] === UNKNOWN
      ? this.#learn(packet, now)
      : this.#indices[place] - 1;
    return this.#take(index);
  }

  /** Where a packet's addresses are, or would be. */
  #placeOf(packet: number): number {
    const isIpv6 = ipv6.isIpv6(this.#view, packet);
    const addresses = packet + (isIpv6 ? ipv6.SOURCE_ADDRESS_OFFSET : ipv4.SOURCE_ADDRESS_OFFSET);
    const size = isIpv6 ? IPV6_SIZE : IPV4_SIZE;
    let hashed = size;
    for (let at = 0; at < 2 * size; at += 4) {
      hashed = hash(this.#view.getInt32(addresses + at), hashed, this.#seed);
    }
    let place = hashed & (PLACES - 1);
    while (this.#indices[place] !== UNKNOWN && !this.#isAt(place, addresses, size)) {
      place = (place + 1) & (PLACES - 1);
    }
    return place;
  }

  #isAt(place: number, addresses: number, size: number): boolean {
    if (this.#sizes[place] !== size) return false;
    for (let at = 0; at < 2 * size; at += 4) {
      const word = this.#keys[place * KEY_WORDS + (at >> 2)];
      if (word !== this.#view.getInt32(addresses + at)) return false;
    }
    return true;
  }

  #take(index: number): NextHop | null {
    const hop = this.#hops[index];
    if (hop === null) return null;
    hop.used = true;
    return isKnown(hop) ? hop : null;
  }

  /** Forgets all routes: something about the network has changed. */
  forget(): void {
    this.#indices.fill(UNKNOWN);
    this.#count = 0;
    this.#hops = [null];
    this.#careAt = Infinity;
  }

  /** Everything leaves by this interface (index) from now on. */
  setLink(link: number): void {
    this.#only = link;
    this.forget();
  }

  /** Bytes that an interface (by index) takes now; null where it is not there. */
  linkMtu(link: number): number | null {
    return this.#netlink.links.find(link)?.mtu ?? null;
  }

  /** Takes the notifications about neighbours. */
  serve(): void {
    const neighbours = this.#monitor.read();
    if (neighbours === null) this.forget();
    else for (const neighbour of neighbours) this.#note(neighbour);
  }

  /** ms at which `poll()` is due. */
  pollAt(): number {
    return this.#careAt;
  }

  /** Keeps the neighbours in use alive. */
  poll(now: number): void {
    if (now < this.#careAt) return;
    if (now >= this.#forgetAt) {
      this.forget();
      return;
    }
    this.#careAt = now + CARE_INTERVAL;
    for (const hop of this.#hops) {
      if (hop === null || hop.gateway === null) continue;
      if (hop.used && (hop.state & SURE_STATES) === 0) this.#ask(hop.link, hop.gateway);
      hop.used = false;
    }
  }

  [Symbol.dispose](): void {
    this.#monitor[Symbol.dispose]();
    this.#netlink[Symbol.dispose]();
  }

  /** Asks the kernel for the way of a packet to a new destination. Returns the index of its hop. */
  #learn(packet: number, now: number): number {
    if (this.#count >= MAX_DESTINATIONS || this.#hops.length >= MAX_HOPS) this.forget();
    if (this.#count === 0) this.#forgetAt = now + ROUTE_LIFETIME;
    if (this.#careAt === Infinity) this.#careAt = now + CARE_INTERVAL;
    const isIpv6 = ipv6.isIpv6(this.#view, packet);
    const size = isIpv6 ? IPV6_SIZE : IPV4_SIZE;
    const addresses = packet + (isIpv6 ? ipv6.SOURCE_ADDRESS_OFFSET : ipv4.SOURCE_ADDRESS_OFFSET);
    const index = this.#hopIndex(
      this.#bytes(addresses, size),
      this.#bytes(addresses + size, size),
    );
    const place = this.#placeOf(packet);
    for (let at = 0; at < 2 * size; at += 4) {
      this.#keys[place * KEY_WORDS + (at >> 2)] = this.#view.getInt32(addresses + at);
    }
    this.#sizes[place] = size;
    this.#indices[place] = index + 1;
    this.#count++;
    return index;
  }

  #bytes(offset: number, size: number): IpAddress {
    return Uint8Array.from({ length: size }, (_, i) => this.#view.getUint8(offset + i));
  }

  #hopIndex(source: IpAddress, destination: IpAddress): number {
    const route = this.#lookUp(source, destination);
    if (route === null) return 0;
    const etherType = destination.length === IPV6_SIZE ? ETH_P_IPV6 : ETH_P_IP;
    const gateway = route.link.arp && !route.link.loopback &&
        route.link.hardwareType === HardwareType.ethernet
      ? route.gateway
      : null;
    const known = this.#hops.findIndex((hop) =>
      hop !== null && hop.link === route.link.index && hop.etherType === etherType &&
      sameAddress(hop.gateway, gateway)
    );
    if (known > 0) return known;
    const hop = this.#newHop(route.link, gateway, etherType);
    return hop === null ? 0 : this.#hops.push(hop) - 1;
  }

  /** The interface by which packets go, and who takes them there; null where they go nowhere. */
  #lookUp(
    source: IpAddress,
    destination: IpAddress,
  ): { link: Link; gateway: IpAddress } | null {
    try {
      const only = this.#only;
      const route = this.#netlink.routes.lookup(destination, {
        mark: this.#mark,
        source,
        ...only === null ? {} : { link: only },
      });
      const passes = (route.type === RouteType.unicast || route.type === RouteType.local) &&
        (only === null || route.link === only);
      const link = passes && route.link !== null ? this.#netlink.links.find(route.link) : null;
      return link === null ? null : { link, gateway: route.gateway ?? destination };
    } catch (error) {
      if (error instanceof NetlinkError) return null;
      throw error;
    }
  }

  #newHop(link: Link, gateway: IpAddress | null, etherType: number): Hop | null {
    const { index, mtu } = link;
    const common = { link: index, mtu, etherType, source: link, gateway, used: false };
    if (gateway !== null) {
      const neighbour = this.#netlink.neighbours.find({ link: link.index, address: gateway });
      const hardwareAddress = neighbour?.hardwareAddress ?? null;
      const state = neighbour?.state ?? NeighbourState.none;
      return { ...common, state, header: ethernetHeader(link, hardwareAddress, etherType) };
    }
    const state = NeighbourState.noArp;
    if (link.hardwareType === HardwareType.none) {
      return { ...common, state, header: new Uint8Array() };
    }
    if (link.hardwareType === HardwareType.loopback) {
      const none = new Uint8Array(HARDWARE_ADDRESS_SIZE);
      const header = ethernetHeader({ hardwareAddress: none }, none, etherType);
      return { ...common, state, header };
    }
    // Without ARP, the kernel writes the interface's own address (`arp_constructor()`). Other headers are unknown here.
    return link.hardwareType === HardwareType.ethernet
      ? { ...common, state, header: ethernetHeader(link, link.hardwareAddress, etherType) }
      : null;
  }

  #note(neighbour: Neighbour): void {
    for (const hop of this.#hops) {
      if (hop === null || hop.link !== neighbour.link) continue;
      if (!sameAddress(hop.gateway, neighbour.address)) continue;
      hop.state = neighbour.state;
      hop.header = ethernetHeader(hop.source, neighbour.hardwareAddress, hop.etherType);
    }
  }

  #ask(link: number, address: IpAddress): void {
    try {
      this.#netlink.neighbours.use({ link, address });
    } catch (error) {
      // The interface has gone, or is down: the route monitor tells of it.
      if (!(error instanceof NetlinkError)) throw error;
    }
  }
}

function isKnown(hop: Hop): hop is Hop & NextHop {
  return hop.header !== null;
}

/** The header of a frame from an interface; null where one of the addresses is not known. */
function ethernetHeader(
  from: Pick<Link, "hardwareAddress">,
  to: Uint8Array | null,
  etherType: number,
): Uint8Array | null {
  const { hardwareAddress } = from;
  if (hardwareAddress?.length !== HARDWARE_ADDRESS_SIZE) return null;
  if (to?.length !== HARDWARE_ADDRESS_SIZE) return null;
  const header = new Uint8Array(ETHERNET_HEADER_SIZE);
  header.set(to);
  header.set(hardwareAddress, HARDWARE_ADDRESS_SIZE);
  new DataView(header.buffer).setUint16(2 * HARDWARE_ADDRESS_SIZE, etherType);
  return header;
}

function sameAddress(a: IpAddress | null, b: IpAddress | null): boolean {
  if (a === null || b === null) return a === b;
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
