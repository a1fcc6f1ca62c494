/**
 * Network of the tests of path MTU: a client and a gateway who see links of 1,500 bytes, with a narrower one between
 * two routers on their path, and an internet behind the gateway.
 *
 * ```text
 *  client  198.51.100.2 -- 198.51.100.1  near  ==== narrow ====  far  192.0.2.2 -- 192.0.2.1  gateway  -- internet
 * ```
 */
import { type BackgroundProcess, type TestNamespace, type Topology } from "../../support/net.ts";
import { configText, newIdentity, type Section } from "./config.ts";
import { withoutIpv6Autoconfiguration } from "./host_state.ts";
import { startVpn } from "./programs/vpn.ts";
import {
  CABLE,
  carrierOn,
  CLIENT_INSIDE,
  SERVER_ENDPOINT,
  SERVER_INSIDE,
  SERVER_OUTSIDE,
  SERVER_PORT,
} from "./wire.ts";
import { WireguardGo } from "./programs/wireguard_go.ts";
import { giveIpv6 } from "./ipv6_addresses.ts";

/** Where the internet is, the gateway's address there, and the network of both. */
export const INTERNET = "203.0.113.9";
export const EXTERNAL = "203.0.113.1";
const INTERNET_NETWORK = "203.0.113.0/24";
/** The client's address on its way to the gateway. */
export const NARROW_CLIENT_OUTSIDE = "198.51.100.2";
/** The same by IPv6, and the gateway's. */
export const NARROW_CLIENT_OUTSIDE6 = "2001:db8:2::2";
export const NARROW_GATEWAY_OUTSIDE6 = "2001:db8:1::1";
/** The interfaces of the routers on the link between them, and of the gateway to the internet. */
export const NARROW = "narrow";
const UPLINK = "eth1";

export const NARROW_PATH_PROGRAMS: readonly string[] = ["ip", "sysctl", "nft"];

export class NarrowPath {
  readonly client: TestNamespace;
  readonly near: TestNamespace;
  readonly far: TestNamespace;
  readonly gateway: TestNamespace;
  readonly internet: TestNamespace;
  readonly #client = newIdentity();
  readonly #gateway = newIdentity();
  #endpoint = SERVER_ENDPOINT;

  private constructor(topology: Topology) {
    const namespace = (label: string) => {
      const made = topology.namespace(label);
      withoutIpv6Autoconfiguration(made);
      return made;
    };
    this.client = namespace("client");
    this.near = namespace("near");
    this.far = namespace("far");
    this.gateway = namespace("gateway");
    this.internet = namespace("internet");
    topology.cable(
      { namespace: this.client, name: CABLE, address: `${NARROW_CLIENT_OUTSIDE}/24` },
      { namespace: this.near, name: CABLE, address: "198.51.100.1/24" },
    );
    topology.cable(
      { namespace: this.near, name: NARROW, address: "198.18.0.1/24" },
      { namespace: this.far, name: NARROW, address: "198.18.0.2/24" },
    );
    topology.cable(
      { namespace: this.far, name: CABLE, address: "192.0.2.2/24" },
      { namespace: this.gateway, name: CABLE, address: `${SERVER_OUTSIDE}/24` },
    );
    topology.cable(
      { namespace: this.gateway, name: UPLINK, address: `${EXTERNAL}/24` },
      { namespace: this.internet, name: CABLE, address: `${INTERNET}/24` },
    );
  }

  /** Lays the cables, the one between the routers of `mtu` bytes. */
  static async lay(topology: Topology, mtu: number): Promise<NarrowPath> {
    const path = new NarrowPath(topology);
    const { client, near, far, gateway, internet } = path;
    await Promise.all([
      ...[client, near, far, gateway, internet].map((namespace) => carrierOn(namespace)),
      ...[near, far].map((namespace) => carrierOn(namespace, NARROW)),
      carrierOn(gateway, UPLINK),
    ]);
    for (const router of [near, far]) {
      await router.output(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]);
    }
    await path.setMtu(mtu);
    await client.output(["ip", "route", "add", "default", "via", "198.51.100.1"]);
    await near.output(["ip", "route", "add", "192.0.2.0/24", "via", "198.18.0.2"]);
    await far.output(["ip", "route", "add", "198.51.100.0/24", "via", "198.18.0.1"]);
    await gateway.output(["ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.2"]);
    await gateway.output(["ip", "route", "add", "default", "via", INTERNET]);
    return path;
  }

  /** Has the tunnel travel by IPv6 from now on, on the same cables; the least that those take is 1,280 bytes. */
  async useIpv6(): Promise<void> {
    const { client, near, far, gateway } = this;
    const add = (namespace: TestNamespace, device: string, address: string) =>
      giveIpv6(namespace, device, `${address}/64`);
    await add(client, CABLE, NARROW_CLIENT_OUTSIDE6);
    await add(near, CABLE, "2001:db8:2::1");
    await add(near, NARROW, "2001:db8:3::1");
    await add(far, NARROW, "2001:db8:3::2");
    await add(far, CABLE, "2001:db8:1::2");
    await add(gateway, CABLE, NARROW_GATEWAY_OUTSIDE6);
    for (const [index, router] of [near, far].entries()) {
      await router.output(["sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1"]);
      // What is only forwarded is asked for from a link-local address (RFC 4861 section 7.2.2), or not at all.
      for (const device of [CABLE, NARROW]) await add(router, device, `fe80::${index + 1}`);
    }
    const route = (namespace: TestNamespace, to: string, by: string) =>
      namespace.output(["ip", "-6", "route", "add", to, "via", by]);
    await route(client, "default", "2001:db8:2::1");
    await route(near, "2001:db8:1::/64", "2001:db8:3::2");
    await route(far, "2001:db8:2::/64", "2001:db8:3::1");
    await route(gateway, "2001:db8:2::/64", "2001:db8:1::2");
    this.#endpoint = `[${NARROW_GATEWAY_OUTSIDE6}]:${SERVER_PORT}`;
  }

  /** The ends of the cables between client and gateway. */
  get cables(): readonly (readonly [TestNamespace, string])[] {
    const { client, near, far, gateway } = this;
    return [
      ...[client, near, far, gateway].map((namespace) => [namespace, CABLE] as const),
      ...[near, far].map((namespace) => [namespace, NARROW] as const),
    ];
  }

  /** Makes the link between the routers take packets of this many bytes. */
  async setMtu(mtu: number): Promise<void> {
    for (const router of [this.near, this.far]) {
      await router.output(["ip", "link", "set", NARROW, "mtu", `${mtu}`]);
    }
  }

  /** Lets both routers forget to tell anybody: no ICMP of theirs leaves. */
  async silence(): Promise<void> {
    for (const router of [this.near, this.far]) {
      await router.output(["nft", "-f", "-"], {
        stdin: "add table inet silent\n" +
          "add chain inet silent output { type filter hook output priority 0; }\n" +
          "add rule inet silent output icmp type destination-unreachable drop\n" +
          "add rule inet silent output icmpv6 type packet-too-big drop\n",
      });
    }
  }

  /** How long the ends remember what ICMP told them; ten minutes otherwise. */
  async forgetAfter(seconds: number): Promise<void> {
    for (const end of [this.client, this.gateway]) {
      await end.output(["sysctl", "-q", "-w", `net.ipv4.route.mtu_expires=${seconds}`]);
    }
  }

  startGateway(section: Section = {}): Promise<BackgroundProcess> {
    return startVpn(
      "server",
      this.gateway,
      this.#gatewayConfig({
        Address: `${SERVER_INSIDE}/24`,
        // The internet of these tests is a neighbour of the gateway's.
        EgressAllow: "lan",
        ...section,
      }),
    );
  }

  startClient(section: Section = {}): Promise<BackgroundProcess> {
    return startVpn(
      "client",
      this.client,
      this.clientConfig({
        Address: `${CLIENT_INSIDE}/24`,
        ...section,
      }),
    );
  }

  /** Starts Debian's wireguard-go in place of our gateway. */
  startOtherGateway(): Promise<WireguardGo> {
    return WireguardGo.start(this.gateway, this.#gatewayConfig(), [`${SERVER_INSIDE}/24`]);
  }

  /** Starts Debian's wireguard-go in place of our client. */
  async startOtherClient(): Promise<WireguardGo> {
    const peer = await WireguardGo.start(this.client, this.clientConfig(), [
      `${CLIENT_INSIDE}/24`,
    ]);
    await peer.route(INTERNET_NETWORK);
    return peer;
  }

  #gatewayConfig(section: Section = {}): string {
    return configText(
      { PrivateKey: this.#gateway.privateKey, ListenPort: SERVER_PORT, ...section },
      { PublicKey: this.#client.publicKey, AllowedIPs: `${CLIENT_INSIDE}/32` },
    );
  }

  /** The client's configuration. */
  clientConfig(section: Section = {}): string {
    return configText({ PrivateKey: this.#client.privateKey, ...section }, {
      PublicKey: this.#gateway.publicKey,
      Endpoint: this.#endpoint,
      AllowedIPs: `10.66.77.0/24, ${INTERNET_NETWORK}`,
    });
  }
}
