/**
 * Network of the tests of fake TCP: a client and a server, and between them a router whose firewall does what routers
 * of ships and hotels do.
 *
 * ```text
 *  client  198.51.100.2 -- 198.51.100.1  router  192.0.2.254 -- 192.0.2.1  server
 * ```
 */
import { type BackgroundProcess, type TestNamespace, type Topology } from "../../support/net.ts";
import type { Section } from "./config.ts";
import { withoutIpv6Autoconfiguration } from "./host_state.ts";
import { type SimpleTunnel, simpleTunnel } from "./simple_tunnel.ts";
import { startVpn } from "./programs/vpn.ts";
import { CABLE, carrierOn, SERVER_INSIDE, SERVER_OUTSIDE, SERVER_PORT } from "./wire.ts";
import { giveIpv6 } from "./ipv6_addresses.ts";

export const ROUTED_PATH_PROGRAMS: readonly string[] = ["ip", "nft", "sysctl", "ping"];

/** Outer addresses. */
export const ROUTER_TO_SERVER = "192.0.2.254";
export const CLIENT_ADDRESS = "198.51.100.2";
const ROUTER_TO_CLIENT = "198.51.100.1";
/** Those of IPv6. */
export const SERVER_ADDRESS6 = "2001:db8:5::1";
const ROUTER_TO_SERVER6 = "2001:db8:5::fe";
const CLIENT_ADDRESS6 = "2001:db8:c::2";
const ROUTER_TO_CLIENT6 = "2001:db8:c::1";
/** The router's interface to the server; that to the client is `CABLE`. */
const UPLINK = "eth1";

/**
 * Strict connection tracking: no connection is picked up in its middle, none goes beyond its windows. What breaks the
 * rules is counted, and dropped.
 */
export const STRICT = `
  table ip strict {
    counter invalid { }
    chain forward {
      type filter hook forward priority filter; policy accept;
      ct state invalid counter name invalid drop
    }
  }`;
/** The same of both families. */
export const STRICT_INET: string = STRICT.replace("table ip ", "table inet ");
/** Lets no UDP through. */
export const NO_UDP = `
  table ip noudp {
    chain forward {
      type filter hook forward priority filter; policy accept;
      ip protocol udp drop
    }
  }`;

export class RoutedPath {
  readonly client: TestNamespace;
  readonly router: TestNamespace;
  readonly server: TestNamespace;
  readonly tunnel: SimpleTunnel = simpleTunnel();

  private constructor(topology: Topology) {
    this.client = topology.namespace("client");
    this.router = topology.namespace("router");
    this.server = topology.namespace("server");
    for (const namespace of [this.client, this.router, this.server]) {
      withoutIpv6Autoconfiguration(namespace);
    }
    topology.cable(
      { namespace: this.client, name: CABLE, address: `${CLIENT_ADDRESS}/24` },
      { namespace: this.router, name: CABLE, address: `${ROUTER_TO_CLIENT}/24` },
    );
    topology.cable(
      { namespace: this.router, name: UPLINK, address: `${ROUTER_TO_SERVER}/24` },
      { namespace: this.server, name: CABLE, address: `${SERVER_OUTSIDE}/24` },
    );
  }

  /**
   * Lays the cables.
   *
   * @param masquerades whether the router hides the client behind its own address; if not, the server knows the way
   * back
   */
  static async lay(topology: Topology, { masquerades = false } = {}): Promise<RoutedPath> {
    const path = new RoutedPath(topology);
    const { client, router, server } = path;
    await Promise.all([
      ...[client, router, server].map((namespace) => carrierOn(namespace)),
      carrierOn(router, UPLINK),
    ]);
    await client.output(["ip", "route", "add", "default", "via", ROUTER_TO_CLIENT]);
    await router.output(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]);
    if (masquerades) {
      await path.firewall(
        "table ip nat {\nchain out {\ntype nat hook postrouting priority srcnat\nmasquerade\n}\n}",
      );
    } else {
      await server.output(["ip", "route", "add", "198.51.100.0/24", "via", ROUTER_TO_SERVER]);
    }
    return path;
  }

  /** Lays the same path for IPv6 beside that of IPv4. */
  async addIpv6(): Promise<void> {
    const { client, router, server } = this;
    const add = (namespace: TestNamespace, device: string, address: string) =>
      giveIpv6(namespace, device, `${address}/64`);
    await Promise.all([
      add(client, CABLE, CLIENT_ADDRESS6),
      add(router, CABLE, ROUTER_TO_CLIENT6),
      add(router, UPLINK, ROUTER_TO_SERVER6),
      // By which a router asks for the neighbours of what it forwards.
      add(router, CABLE, "fe80::1"),
      add(router, UPLINK, "fe80::1"),
      add(server, CABLE, SERVER_ADDRESS6),
      router.output(["sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1"]),
    ]);
    await client.output(["ip", "-6", "route", "add", "default", "via", ROUTER_TO_CLIENT6]);
    await server.output(["ip", "-6", "route", "add", "default", "via", ROUTER_TO_SERVER6]);
  }

  /** Loads nftables rules into the router; the settings of connection tracking are the strict ones. */
  async firewall(rules: string): Promise<void> {
    await this.router.output(["nft", "-f", "-"], { stdin: rules });
    // They exist once something tracks connections.
    await this.router.run([
      "sysctl",
      "-q",
      "-w",
      "net.netfilter.nf_conntrack_tcp_be_liberal=0",
      "net.netfilter.nf_conntrack_tcp_loose=0",
    ]);
  }

  async removeTable(name: string): Promise<void> {
    await this.router.output(["nft", "delete", "table", "ip", name]);
  }

  /** Packets that strict connection tracking found invalid, of `STRICT`, or of `STRICT_INET` with family inet. */
  async invalidPackets(family = "ip"): Promise<number> {
    const listed = await this.router.output([
      "nft",
      "list",
      "counter",
      family,
      "strict",
      "invalid",
    ]);
    const count = /packets (\d+)/.exec(listed);
    if (count === null) throw new Error(`Cannot find the counter in ${listed}`);
    return Number(count[1]);
  }

  startServer(section: Section = {}, ...args: readonly string[]): Promise<BackgroundProcess> {
    const config = this.tunnel.server({ Transport: "auto", ...section });
    return startVpn("server", this.server, config, ...args);
  }

  startClient(section: Section = {}, ...args: readonly string[]): Promise<BackgroundProcess> {
    const config = this.tunnel.client({ Transport: "faketcp", ...section });
    return startVpn("client", this.client, config, ...args);
  }

  /** Whether the server answers the client through the tunnel. */
  async answers(): Promise<boolean> {
    const { code } = await this.client.run(["ping", "-c", "1", "-W", "1", SERVER_INSIDE]);
    return code === 0;
  }
}

export { SERVER_INSIDE, SERVER_OUTSIDE, SERVER_PORT };
