/**
 * Owns the demo's networks: namespaces that only this machine sees, and the cables between them.
 *
 * ```text
 *  client-1  198.51.100.2 ---- 198.51.100.1  gateway  192.0.2.1 ---- 192.0.2.2  client-2
 *                                     203.0.113.1 on its loopback
 * ```
 *
 * The "internet" has no router of its own: each client has a cable to the gateway and its default route by that, and
 * the gateway is called by an address that is on neither cable, as one behind routers would be. Nothing has to be
 * forwarded, so no sysctl is needed, which containers have read-only.
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
import { namespaceName } from "./traces.ts";

export const HOST_NAMES = ["gateway", "client-1", "client-2"] as const;
export type HostName = (typeof HOST_NAMES)[number];

/** The address by which the clients call the gateway. */
export const GATEWAY_ADDRESS = "203.0.113.1";

interface Cable {
  readonly client: Exclude<HostName, "gateway">;
  readonly clientAddress: string;
  readonly gatewayAddress: string;
}

/** The prefixes are those kept for documentation (RFC 5737), which no real network has. */
const CABLES: readonly Cable[] = [
  { client: "client-1", clientAddress: "198.51.100.2/24", gatewayAddress: "198.51.100.1/24" },
  { client: "client-2", clientAddress: "192.0.2.2/24", gatewayAddress: "192.0.2.1/24" },
];

/** What a client calls its end of the cable. */
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
      this.netlink = inNamespace(this.namespace, () => Rtnetlink.open(openLibc()));
    } catch (error) {
      deleteNamespace(this.namespace);
      throw error;
    }
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
    this.#stateBefore = networkState(this.netlink);
  }

  /** What has been added and taken away since `remember()`, a line each. */
  changes(): string[] {
    return difference(this.#stateBefore, networkState(this.netlink));
  }

  [Symbol.dispose](): void {
    this.netlink[Symbol.dispose]();
    if (namespaceExists(this.namespace)) deleteNamespace(this.namespace);
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
    this.host("gateway").configure("lo", `${GATEWAY_ADDRESS}/32`);
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

  #lay({ client, clientAddress, gatewayAddress }: Cable): void {
    const gateway = this.host("gateway");
    const host = this.host(client);
    using namespace = openNamespace(gateway.namespace);
    const peer = { name: client, namespace: namespace.fd };
    host.netlink.links.createVeth(UPLINK, peer);
    host.configure(UPLINK, clientAddress);
    gateway.configure(client, gatewayAddress);
    host.netlink.routes.add({
      destination: defaultPrefix(AF_INET),
      gateway: parseIp(gatewayAddress.split("/")[0]!),
    });
  }
}
