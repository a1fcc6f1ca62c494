/**
 * The looking at paths to peers for the data plane: asks the kernel what their first link takes, sends the probes, and
 * reads what routers say of those. Without CAP_NET_RAW no router's answer arrives, and those of peers alone count.
 */
import { SystemCallError } from "../../ffi/errno.ts";
import { IcmpErrorSocket } from "../../ffi/sockets/icmp_errors.ts";
import type { Libc } from "../../ffi/libc.ts";
import { Rtnetlink } from "../../ffi/netlink/rtnetlink.ts";
import { NetlinkError } from "../../ffi/netlink/socket.ts";
import { HEADERS_SIZE } from "../core/transport/fake_tcp/constants.ts";
import type { PeerEndpoint } from "../core/transport/peer_endpoint.ts";
import { Transport } from "../core/transport/transport.ts";
import { addressBytes } from "../core/wire/host_address.ts";
import { PathClaim } from "../core/wireguard/path/path_claim.ts";
import { OUTER_HEADERS6_SIZE, OUTER_HEADERS_SIZE } from "../core/wireguard/constants.ts";
import { PATH_OVERHEAD, PathMtuSearch } from "../core/wireguard/path/path_mtu.ts";
import { PathWatch } from "../core/wireguard/path/path_watch.ts";
import type { Device } from "../core/wireguard/device.ts";
import type { Peer } from "../core/wireguard/peer.ts";
import type { Engine } from "../core/engine/engine.ts";
import { pathClaimFilter, pathClaimFilter6 } from "./filters/path_claim_filter.ts";

/** Bytes by which fake TCP's headers are longer than UDP's. */
const MORE_IN_FAKE_TCP = HEADERS_SIZE - OUTER_HEADERS_SIZE;

/** Bytes by which IPv6's header is longer than IPv4's. */
const MORE_IN_IPV6 = OUTER_HEADERS6_SIZE - OUTER_HEADERS_SIZE;

/** Paths looked at in one turn of the loop: each costs two requests to the kernel, while packets wait. */
const MAX_LOOKS = 16;
/** ICMP messages read in one turn: they may be a flood of forged ones. */
const MAX_CLAIMS = 16;
/** Bytes of the longest that is read: more than routers quote (RFC 1812 section 4.3.2.3). */
const MAX_CLAIM_SIZE = 2048;

export interface PathProberOptions {
  readonly device: Device;
  readonly engine: Engine;
  /** Ours, that the tunnel's datagrams leave from. */
  readonly port: number;
  /** The firewall mark of the tunnel's datagrams; 0 for none. */
  readonly mark: number;
  /** The most bytes inside. */
  readonly maxMtu: number;
  /** The same for a peer that has answered no probe. */
  readonly unprovenMtu: number;
  /** Bytes inside that a connection of fake TCP takes; null without one. */
  readonly linkMtu: (endpoint: PeerEndpoint) => number | null;
  /** Takes a peer whose MTU is another now. */
  readonly onChange: (peer: Peer) => void;
}

export class PathProber implements Disposable {
  readonly #netlink: Rtnetlink;
  readonly #options: PathProberOptions;
  readonly #search: PathMtuSearch;
  readonly #watch: PathWatch;
  /** Of ICMP, and of ICMPv6; null where there is none. */
  readonly #errors: IcmpErrorSocket | null;
  readonly #errors6: IcmpErrorSocket | null;
  readonly #message = new Uint8Array(MAX_CLAIM_SIZE);
  readonly #messageView = new DataView(this.#message.buffer);
  readonly #claim = new PathClaim();

  constructor(libc: Libc, options: PathProberOptions) {
    this.#netlink = Rtnetlink.open(libc);
    const { port } = options;
    this.#errors = openErrors(() => IcmpErrorSocket.open(libc, pathClaimFilter(port)));
    this.#errors6 = openErrors6(libc, port);
    this.#options = options;
    this.#search = new PathMtuSearch(options.maxMtu, options.unprovenMtu);
    this.#watch = new PathWatch(this.#search, () => options.device.peers);
  }

  /** Readable when there is something to `serve()`, for an epoll set; none where routers' answers do not arrive. */
  get fds(): readonly number[] {
    return [this.#errors, this.#errors6].flatMap((errors) => errors?.fd ?? []);
  }

  /** Whether routers' answers of IPv6 arrive. */
  get hears6(): boolean {
    return this.#errors6 !== null;
  }

  /** Looks at the path to a peer from now on. */
  start(peer: Peer, now: number): void {
    this.#search.start(peer, now);
  }

  /** Looks at the path to a peer no more, which is removed. */
  forget(peer: Peer): void {
    this.#search.forget(peer);
  }

  /** Interfaces, addresses or routes have changed: so may have what the first links take. */
  networkChanged(): void {
    this.#watch.networkChanged();
  }

  /** Takes what routers say; `poll()` then looks at the paths they speak of. */
  serve(now: number): void {
    for (let i = 0; i < MAX_CLAIMS; i++) {
      const length = this.#errors?.receive(this.#message) ?? 0;
      if (length === 0) break;
      if (this.#claim.read(this.#messageView, length, this.#options.port)) {
        this.#search.claimed(this.#claim, now);
      }
    }
    for (let i = 0; i < MAX_CLAIMS; i++) {
      const length = this.#errors6?.receive(this.#message) ?? 0;
      if (length === 0) return;
      if (this.#claim.readIpv6(this.#messageView, length, this.#options.port)) {
        this.#search.claimed(this.#claim, now);
      }
    }
  }

  /** When `poll()` has something to do, monotonic ms. */
  pollAt(): number {
    return Math.min(this.#search.pollAt(), this.#watch.pollAt());
  }

  /** Looks at the paths whose time has come. Costs one comparison when there are none. */
  poll(now: number): void {
    this.#watch.poll(now);
    for (let looks = 0; looks < MAX_LOOKS; looks++) {
      const peer = this.#watch.next();
      if (peer === null) break;
      this.#watch.asked(peer, this.#pathMtu(peer), now);
    }
    const { device, engine } = this.#options;
    for (let looks = 0; looks < MAX_LOOKS; looks++) {
      const peer = this.#search.next(now);
      if (peer === null) return;
      const before = peer.mtu;
      const pathMtu = this.#pathMtu(peer);
      this.#watch.looked(peer, pathMtu, now);
      const probes = this.#search.looked(peer, pathMtu, now);
      if (peer.mtu !== before) this.#options.onChange(peer);
      for (const length of probes) {
        const write = () => device.sendProbe(peer, length, now);
        engine.sendProbe(write, peer.endpoint.transport, now);
      }
    }
  }

  [Symbol.dispose](): void {
    this.#errors?.[Symbol.dispose]();
    this.#errors6?.[Symbol.dispose]();
    this.#netlink[Symbol.dispose]();
  }

  /**
   * Bytes that a datagram of UDP may have with its headers, were the path to this peer by UDP and IPv4; null without a
   * way.
   */
  #pathMtu(peer: Peer): number | null {
    const kernelsMtu = this.#kernelsMtu(peer);
    const pathMtu = peer.endpoint.isIpv6 && kernelsMtu !== null
      ? kernelsMtu - MORE_IN_IPV6
      : kernelsMtu;
    if (peer.endpoint.transport === Transport.udp || pathMtu === null) return pathMtu;
    const limit = this.#options.linkMtu(peer.endpoint);
    const least = pathMtu - MORE_IN_FAKE_TCP;
    return limit === null ? least : Math.min(least, limit + PATH_OVERHEAD);
  }

  /**
   * Bytes, headers included: what a route is configured to take, or the first link; null without a way. What ICMP has
   * told the kernel, of this or of any other connection to the host, does not count: it may be forged. `serve()` reads
   * it itself.
   */
  #kernelsMtu(peer: Peer): number | null {
    try {
      const { mark } = this.#options;
      const route = this.#netlink.routes.lookup(addressBytes(peer.endpoint.address), { mark });
      if (route.mtu !== null && !route.mtuIsLearnt) return route.mtu;
      return route.link === null ? null : this.#netlink.links.get(route.link).mtu;
    } catch (error) {
      if (error instanceof NetlinkError) return null;
      throw error;
    }
  }
}

/**
 * Whether a prober of this port, in any thread, hears what routers say of paths of IPv6: then nobody else, as the
 * kernel is, need be told of them.
 */
export function hearsRouters6(libc: Libc, port: number): boolean {
  using errors = openErrors6(libc, port);
  return errors !== null;
}

function openErrors6(libc: Libc, port: number): IcmpErrorSocket | null {
  return openErrors(() => IcmpErrorSocket.open6(libc, pathClaimFilter6(port)));
}

/** Null without CAP_NET_RAW, or without the family. */
function openErrors(open: () => IcmpErrorSocket): IcmpErrorSocket | null {
  try {
    return open();
  } catch (error) {
    if (error instanceof SystemCallError) return null;
    throw error;
  }
}
