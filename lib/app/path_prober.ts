/** The looking at paths to peers for the data plane: asks the kernel what their first link takes, and sends the probes. */
import type { Libc } from "../../ffi/libc.ts";
import { ipv4FromNumber } from "../../ffi/netlink/ip_address.ts";
import { Rtnetlink } from "../../ffi/netlink/rtnetlink.ts";
import { NetlinkError } from "../../ffi/netlink/socket.ts";
import { HEADERS_SIZE } from "../carrier/constants.ts";
import { Carrier, type Endpoint } from "../tunnel/endpoint.ts";
import { OUTER_HEADERS_SIZE, PATH_OVERHEAD, PathMtuSearch } from "../tunnel/path_mtu.ts";
import type { Peer } from "../tunnel/peer.ts";
import type { PacketMover } from "./packet_mover.ts";

/** Bytes by which fake TCP's headers are longer than UDP's. */
const MORE_IN_FAKE_TCP = HEADERS_SIZE - OUTER_HEADERS_SIZE;

/** Paths looked at in one turn of the loop: each costs two requests to the kernel, while packets wait. */
const MAX_LOOKS = 16;

export interface PathProberOptions {
  readonly mover: PacketMover;
  /** The firewall mark of the tunnel's datagrams; 0 for none. */
  readonly mark: number;
  /** The most bytes inside. */
  readonly maxMtu: number;
  /** Bytes inside that a connection of fake TCP takes; null without one. */
  readonly linkMtu: (endpoint: Endpoint) => number | null;
  /** Takes a peer whose MTU is another now. */
  readonly onChange: (peer: Peer) => void;
}

export class PathProber implements Disposable {
  readonly #netlink: Rtnetlink;
  readonly #options: PathProberOptions;
  readonly #search: PathMtuSearch;

  constructor(libc: Libc, options: PathProberOptions) {
    this.#netlink = Rtnetlink.open(libc);
    this.#options = options;
    this.#search = new PathMtuSearch(options.maxMtu);
  }

  /** Looks at the path to a peer from now on. */
  start(peer: Peer, now: number): void {
    this.#search.start(peer, now);
  }

  /** Looks at the path to a peer no more, which is removed. */
  forget(peer: Peer): void {
    this.#search.forget(peer);
  }

  /** When `poll()` has something to do, monotonic ms. */
  pollAt(): number {
    return this.#search.pollAt();
  }

  /** Looks at the paths whose time has come. Costs one comparison when there are none. */
  poll(now: number): void {
    for (let looks = 0; looks < MAX_LOOKS; looks++) {
      const peer = this.#search.next(now);
      if (peer === null) return;
      const before = peer.mtu;
      const probes = this.#search.looked(peer, this.#pathMtu(peer), now);
      if (peer.mtu !== before) this.#options.onChange(peer);
      for (const length of probes) this.#options.mover.sendProbe(peer, length, now);
    }
  }

  [Symbol.dispose](): void {
    this.#netlink[Symbol.dispose]();
  }

  /** Bytes that a datagram of UDP may have with its headers, were the path to this peer by UDP; null without a way. */
  #pathMtu(peer: Peer): number | null {
    const pathMtu = this.#kernelsMtu(peer);
    if (peer.endpoint.carrier === Carrier.udp || pathMtu === null) return pathMtu;
    const limit = this.#options.linkMtu(peer.endpoint);
    const least = pathMtu - MORE_IN_FAKE_TCP;
    return limit === null ? least : Math.min(least, limit + PATH_OVERHEAD);
  }

  /**
   * Bytes, headers included: what a route is configured to take, or the first link; null without a way. What ICMP has told
   * the kernel, of this or of any other connection to the host, does not count: it may be forged, and our probes find out.
   */
  #kernelsMtu(peer: Peer): number | null {
    try {
      const { mark } = this.#options;
      const route = this.#netlink.routes.lookup(ipv4FromNumber(peer.endpoint.address), { mark });
      if (route.mtu !== null && !route.mtuIsLearnt) return route.mtu;
      return route.link === null ? null : this.#netlink.links.get(route.link).mtu;
    } catch (error) {
      if (error instanceof NetlinkError) return null;
      throw error;
    }
  }
}
