/**
 * Topology: the demo's networks, namespaces that only this machine sees, and the cables between them.
 *
 * ```text
 *  client-1  2001:db8:1::2 ------------------------------- 2001:db8:1::1
 *                                                                       gateway  203.0.113.1 -- 203.0.113.2  internet,
 *  client-2  198.51.100.66 -- .65  hotel  198.51.100.130 -- 198.51.100.129                      at 192.0.2.1
 *                                                                        2001:db8:2::1 -- ::2   and 2001:db8:3::1
 * ```
 *
 * One client is in a hotel whose router drops UDP, and forwards what else there is; it calls the gateway by its address
 * on the other side, as it would from behind routers. The other's network has IPv6 alone, as mobile ones do; where the
 * kernel has none, it has IPv4. Of IPv4, the gateway's kernel has nothing to forward, so no sysctl is needed for that:
 * what gets from a client to the internet and back, our own gateway has carried. IPv6 is the kernel's to forward; where
 * that may not be switched on, as in a container, the internet has none.
 */
import { openLibc } from "../../../ffi/libc.ts";
import { defaultPrefix, familyOf, parseIp, parsePrefix } from "../../../ffi/netlink/ip_address.ts";
import { AF_INET6, IPPROTO_UDP } from "../../../ffi/socket_constants.ts";
import { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import { NF_INET_FORWARD, PRIORITY_FILTER } from "../../../ffi/netlink/nftables/hooks.ts";
import { drop, transportIs } from "../../../ffi/netlink/nftables/nftables_expressions.ts";
import { LOOPBACK } from "../../../ffi/netlink/links.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import {
  createNamespace,
  deleteNamespace,
  inNamespace,
  namespaceExists,
  openNamespace,
} from "../../../ffi/netns.ts";
import { difference, networkState } from "./network_state.ts";
import { namespaceName, removeNamespace } from "./traces.ts";

export const HOST_NAMES = ["gateway", "hotel", "client-1", "client-2", "internet"] as const;
export type HostName = (typeof HOST_NAMES)[number];

/** The hosts that have a tunnel. */
export const MEMBER_NAMES = ["gateway", "client-1", "client-2"] as const;
export type MemberName = (typeof MEMBER_NAMES)[number];

/** The gateway's only IPv4 address outside, by which clients call it and the internet sees it. */
export const GATEWAY_ADDRESS = "203.0.113.1";
/** By which a client calls it whose network has IPv6 alone. */
export const GATEWAY_ADDRESS6 = "2001:db8:1::1";
/** Where the internet's services are: not on the gateway's cable, so only its default route leads there. */
export const INTERNET_ADDRESS = "192.0.2.1";
export const INTERNET_ADDRESS6 = "2001:db8:3::1";
/** By which the internet sees those who come by IPv6. */
export const UPLINK_ADDRESS6 = "2001:db8:2::1";
const ROUTER_ADDRESS6 = "2001:db8:2::2";

/** Prefixes are those kept for documentation (RFC 5737, 3849), which no real network has. */
interface Cable {
  /** Has its default route by this cable. */
  readonly near: { readonly host: HostName; readonly address: string };
  readonly far: { readonly host: HostName; readonly address: string };
}

const CABLES: readonly Cable[] = [
  {
    near: { host: "gateway", address: `${GATEWAY_ADDRESS}/24` },
    far: { host: "internet", address: "203.0.113.2/24" },
  },
  {
    near: { host: "hotel", address: "198.51.100.130/26" },
    far: { host: "gateway", address: "198.51.100.129/26" },
  },
  {
    near: { host: "client-2", address: "198.51.100.66/26" },
    far: { host: "hotel", address: "198.51.100.65/26" },
  },
];

/** The first client's: by IPv6, or where the kernel has none. */
const CABLE6: Cable = {
  near: { host: "client-1", address: "2001:db8:1::2/64" },
  far: { host: "gateway", address: `${GATEWAY_ADDRESS6}/64` },
};
const CABLE4: Cable = {
  near: { host: "client-1", address: "198.51.100.2/26" },
  far: { host: "gateway", address: "198.51.100.1/26" },
};

/** What a host calls its end of the cable that its default route goes by; the other end has that host's name. */
const UPLINK = "wan";
const IPV6_DISABLED = "/proc/sys/net/ipv6/conf/default/disable_ipv6";
const IPV6_FORWARDING = "/proc/sys/net/ipv6/conf/all/forwarding";

/** A namespace with its loopback on, and a connection to its network settings. */
export class Host implements Disposable {
  readonly name: string;
  /** In `/run/netns`. */
  readonly namespace: string;
  readonly netlink: Rtnetlink;
  /** What its network was when it was laid. */
  #stateBefore: ReadonlySet<string> = new Set();

  constructor(name: string) {
    this.name = name;
    this.namespace = namespaceName(name);
    createNamespace(this.namespace);
    try {
      this.netlink = this.inside(() => Rtnetlink.open(openLibc()));
      this.netlink.links.configure(LOOPBACK, { up: true });
    } catch (error) {
      deleteNamespace(this.namespace);
      throw error;
    }
  }

  /** Runs `call` with the thread inside, see `inNamespace()`. */
  inside<Result>(call: () => Result): Result {
    return inNamespace(this.namespace, call);
  }

  /** Gives an interface an address and switches it on. */
  configure(interfaceName: string, address: string): void {
    const { index } = this.netlink.links.get(interfaceName);
    const { address: bytes, length } = parsePrefix(address);
    this.netlink.links.configure(index, { up: true });
    this.netlink.addresses.add(index, { address: bytes, prefixLength: length, isUnasked: true });
  }

  /** Whether its interfaces have IPv6: the kernel may have none, and a sysctl may be against it. */
  get hasIpv6(): boolean {
    return this.inside(() => {
      try {
        return Deno.readTextFileSync(IPV6_DISABLED).trim() === "0";
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) return false;
        throw error;
      }
    });
  }

  /** Whether its kernel may be told to forward IPv6. */
  get mayForwardIpv6(): boolean {
    return this.inside(() => {
      try {
        Deno.openSync(IPV6_FORWARDING, { write: true }).close();
        return true;
      } catch {
        return false;
      }
    });
  }

  /** Takes the network as it is now for the one that must be there in the end. */
  remember(): void {
    this.#stateBefore = this.inside(networkState);
  }

  /** What has been added and taken away since `remember()`, a line each. */
  changes(): string[] {
    return difference(this.#stateBefore, this.inside(networkState));
  }

  [Symbol.dispose](): void {
    this.netlink[Symbol.dispose]();
    if (namespaceExists(this.namespace)) removeNamespace(this.namespace);
  }
}

/** All namespaces of a demo. */
export class Topology implements Disposable {
  /** Whether the first client's network has IPv6, and nothing else. */
  readonly hasIpv6: boolean;
  /** Whether the internet has IPv6, too. */
  readonly hasInternet6: boolean;
  readonly #resources: DisposableStack;
  readonly #hosts = new Map<HostName, Host>();

  /** @throws {SystemCallError | NetlinkError} EPERM without CAP_SYS_ADMIN and CAP_NET_ADMIN; nothing is left then */
  constructor() {
    using resources = new DisposableStack();
    for (const name of HOST_NAMES) this.#hosts.set(name, resources.use(new Host(name)));
    this.host("internet").configure("lo", `${INTERNET_ADDRESS}/32`);
    this.hasIpv6 = this.host("client-1").hasIpv6;
    for (const cable of [...CABLES, this.hasIpv6 ? CABLE6 : CABLE4]) this.#lay(cable);
    this.#openHotel();
    this.hasInternet6 = this.hasIpv6 && this.host("gateway").mayForwardIpv6;
    if (this.hasInternet6) this.#openInternet6();
    for (const host of this.#hosts.values()) host.remember();
    this.#resources = resources.move();
  }

  host(name: HostName): Host {
    const host = this.#hosts.get(name);
    if (host === undefined) throw new Error(`Cannot find host "${name}": there is none`);
    return host;
  }

  get hosts(): readonly Host[] {
    return [...this.#hosts.values()];
  }

  /** Takes the namespaces away; safe to call again. */
  [Symbol.dispose](): void {
    this.#resources.dispose();
  }

  /** Has the hotel's router forward, but not UDP, and tells the gateway the way to who is behind it. */
  #openHotel(): void {
    const hotel = this.host("hotel");
    hotel.inside(() => {
      Deno.writeTextFileSync("/proc/sys/net/ipv4/ip_forward", "1");
      using nftables = Nftables.open(openLibc(), { owned: false });
      nftables.replaceTable({ family: "inet", name: "hotel" }, {
        name: "forward",
        hook: { type: "filter", hook: NF_INET_FORWARD, priority: PRIORITY_FILTER },
        rules: [[...transportIs(IPPROTO_UDP), drop()]],
      });
    });
    const { address, length } = parsePrefix("198.51.100.64/26");
    this.host("gateway").netlink.routes.add({
      destination: { address, length },
      gateway: parseIp("198.51.100.130"),
    });
  }

  #openInternet6(): void {
    const [gateway, internet] = [this.host("gateway"), this.host("internet")];
    gateway.configure(UPLINK, `${UPLINK_ADDRESS6}/64`);
    internet.configure("gateway", `${ROUTER_ADDRESS6}/64`);
    internet.configure("lo", `${INTERNET_ADDRESS6}/128`);
    const router = parseIp(ROUTER_ADDRESS6);
    gateway.netlink.routes.add({ destination: defaultPrefix(AF_INET6), gateway: router });
  }

  #lay({ near, far }: Cable): void {
    const nearHost = this.host(near.host);
    const farHost = this.host(far.host);
    using namespace = openNamespace(farHost.namespace);
    const peer = { name: nearHost.name, namespace: namespace.fd };
    nearHost.netlink.links.createVeth(UPLINK, peer);
    farHost.configure(nearHost.name, far.address);
    nearHost.configure(UPLINK, near.address);
    const gateway = parseIp(far.address.split("/")[0]!);
    nearHost.netlink.routes.add({ destination: defaultPrefix(familyOf(gateway)), gateway });
  }
}
