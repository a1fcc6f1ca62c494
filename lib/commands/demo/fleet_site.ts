/**
 * Fleet site: one Ethernet with three gateways and a client on it, and the internet at the host of its bridge.
 *
 * ```text
 *  gateway-1 203.0.113.11 --\
 *  gateway-2 203.0.113.12 ---- bridge, 203.0.113.254  internet, at 192.0.2.1
 *  gateway-3 203.0.113.13 --/
 *  client    203.0.113.20 -/         the gateways' virtual address is 203.0.113.5
 * ```
 */
import { defaultPrefix, familyOf, ipv4ToNumber, parseIp } from "../../../ffi/netlink/ip_address.ts";
import { openNamespace } from "../../../ffi/netns.ts";
import { parseIpv4 } from "../../core/wire/ipv4_text.ts";
import { Host } from "./topology.ts";

export const GATEWAY_NAMES = ["gateway-1", "gateway-2", "gateway-3"] as const;
export type GatewayName = (typeof GATEWAY_NAMES)[number];
const FLEET_HOSTS = [...GATEWAY_NAMES, "client", "internet"] as const;
export type FleetHost = (typeof FLEET_HOSTS)[number];

export const VIRTUAL_ADDRESS = "203.0.113.5";
export const WEB_ADDRESS = "192.0.2.1";
const ROUTER_ADDRESS = "203.0.113.254";
const BRIDGE = "lan";
const UPLINK = "wan";

/** Where the hosts of the Ethernet are. */
export const LAN_ADDRESSES: Readonly<Record<Exclude<FleetHost, "internet">, string>> = {
  "gateway-1": "203.0.113.11",
  "gateway-2": "203.0.113.12",
  "gateway-3": "203.0.113.13",
  "client": "203.0.113.20",
};

export class FleetSite implements Disposable {
  readonly #hosts = new Map<FleetHost, Host>();
  readonly #resources: DisposableStack;

  /** @throws {SystemCallError | NetlinkError} where it cannot be laid; nothing is left then */
  constructor() {
    using resources = new DisposableStack();
    for (const name of FLEET_HOSTS) this.#hosts.set(name, resources.use(new Host(name)));
    const internet = this.host("internet");
    internet.configure("lo", `${WEB_ADDRESS}/32`);
    internet.netlink.links.createBridge(BRIDGE);
    internet.configure(BRIDGE, `${ROUTER_ADDRESS}/24`);
    for (const [name, address] of Object.entries(LAN_ADDRESSES)) {
      this.#join(this.host(name as FleetHost), `${address}/24`);
    }
    for (const host of this.#hosts.values()) host.remember();
    this.#resources = resources.move();
  }

  host(name: FleetHost): Host {
    return this.#hosts.get(name)!;
  }

  get hosts(): readonly Host[] {
    return [...this.#hosts.values()];
  }

  /** The gateways that have the virtual address. */
  get holders(): readonly GatewayName[] {
    const virtual = parseIpv4(VIRTUAL_ADDRESS);
    return GATEWAY_NAMES.filter((name) =>
      this.host(name).netlink.addresses.list().some(({ address }) =>
        address.length === 4 && ipv4ToNumber(address) === virtual
      )
    );
  }

  #join(host: Host, address: string): void {
    const { namespace, netlink } = this.host("internet");
    using open = openNamespace(namespace);
    host.netlink.links.createVeth(UPLINK, { name: host.name, namespace: open.fd });
    const master = netlink.links.get(BRIDGE).index;
    netlink.links.configure(host.name, { up: true, master });
    host.configure(UPLINK, address);
    const gateway = parseIp(ROUTER_ADDRESS);
    host.netlink.routes.add({ destination: defaultPrefix(familyOf(gateway)), gateway });
  }

  /** Takes the namespaces away; safe to call again. */
  [Symbol.dispose](): void {
    this.#resources.dispose();
  }
}
