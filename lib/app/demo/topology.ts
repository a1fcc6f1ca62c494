/**
 * Owns the demo's networks: namespaces that only this machine sees, and the cables between them.
 *
 * ```text
 *  client-1  198.51.100.2 ---- 198.51.100.1
 *                                           gateway  203.0.113.1 ---- 203.0.113.2  internet, at 192.0.2.1
 *  client-2  198.51.100.130 -- 198.51.100.129
 * ```
 *
 * Each client has a cable to the gateway and its default route by that, and calls the gateway by its address on the other
 * side, as it would from behind routers. In the kernel's eyes, no host has to forward anything: no sysctl is needed for
 * that. What gets from a client to the internet and back, then, our own gateway has carried.
 */
import { openLibc } from "../../../ffi/libc.ts";
import { AF_INET, defaultPrefix, parseIp, parsePrefix } from "../../../ffi/netlink/ip_address.ts";
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

export const HOST_NAMES = ["gateway", "client-1", "client-2", "internet"] as const;
export type HostName = (typeof HOST_NAMES)[number];

/** The hosts that have a tunnel. */
export const MEMBER_NAMES = ["gateway", "client-1", "client-2"] as const;
export type MemberName = (typeof MEMBER_NAMES)[number];

/** The gateway's only address outside, by which the clients call it and the internet sees it. */
export const GATEWAY_ADDRESS = "203.0.113.1";
/** Where the internet's services are: not on the gateway's cable, so only its default route leads there. */
export const INTERNET_ADDRESS = "192.0.2.1";

/** Prefixes are those kept for documentation (RFC 5737), which no real network has. */
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
    near: { host: "client-1", address: "198.51.100.2/25" },
    far: { host: "gateway", address: "198.51.100.1/25" },
  },
  {
    near: { host: "client-2", address: "198.51.100.130/25" },
    far: { host: "gateway", address: "198.51.100.129/25" },
  },
];

/** What a host calls its end of the cable that its default route goes by; the other end has that host's name. */
const UPLINK = "wan";

/** A namespace with its loopback on, and a connection to its network settings. */
export class Host implements Disposable {
  readonly name: HostName;
  /** In `/run/netns`. */
  readonly namespace: string;
  readonly netlink: Rtnetlink;
  /** What its network was when it was laid. */
  #stateBefore: ReadonlySet<string> = new Set();

  constructor(name: HostName) {
    this.name = name;
    this.namespace = namespaceName(name);
    createNamespace(this.namespace, { loopbackUp: true });
    try {
      this.netlink = this.inside(() => Rtnetlink.open(openLibc()));
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
    this.netlink.addresses.add(index, { address: bytes, prefixLength: length });
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
  readonly #resources: DisposableStack;
  readonly #hosts = new Map<HostName, Host>();

  /** @throws {SystemCallError | NetlinkError} EPERM without CAP_SYS_ADMIN and CAP_NET_ADMIN; nothing is left then */
  constructor() {
    using resources = new DisposableStack();
    for (const name of HOST_NAMES) this.#hosts.set(name, resources.use(new Host(name)));
    this.host("internet").configure("lo", `${INTERNET_ADDRESS}/32`);
    for (const cable of CABLES) this.#lay(cable);
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

  #lay({ near, far }: Cable): void {
    const nearHost = this.host(near.host);
    const farHost = this.host(far.host);
    using namespace = openNamespace(farHost.namespace);
    const peer = { name: nearHost.name, namespace: namespace.fd };
    nearHost.netlink.links.createVeth(UPLINK, peer);
    farHost.configure(nearHost.name, far.address);
    nearHost.configure(UPLINK, near.address);
    nearHost.netlink.routes.add({
      destination: defaultPrefix(AF_INET),
      gateway: parseIp(far.address.split("/")[0]!),
    });
  }
}
