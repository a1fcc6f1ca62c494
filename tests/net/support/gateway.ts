/**
 * Network of gateway tests: clients, a gateway, and an internet behind it.
 *
 * ```text
 *  client-1  198.51.100.2 ---- 198.51.100.1
 *                                           gateway  192.0.2.1 ---- 192.0.2.9  internet, at 203.0.113.9 and .10
 *  client-2  198.51.100.130 -- 198.51.100.129
 * ```
 *
 * The internet knows the gateway's address outside and no way to any other: an answer reaches a client only where the
 * question came from the gateway's address.
 */
import { type BackgroundProcess, type TestNamespace, type Topology } from "../../support/net.ts";
import { configText, type Identity, newIdentity, type Section } from "./config.ts";
import { withoutIpv6Autoconfiguration } from "./host_state.ts";
import { startVpn } from "./programs/vpn.ts";
import { CABLE, carrierOn, SERVER_INSIDE, SERVER_PORT } from "./wire.ts";
import { WireguardGo } from "./programs/wireguard_go.ts";

/** The gateway's only address outside, and the internet's end of that cable. */
export const EXTERNAL = "192.0.2.1";
export const ROUTER = "192.0.2.9";
/** Where the internet has its services. */
export const INTERNET = "203.0.113.9";
export const OTHER_INTERNET = "203.0.113.10";
/** A network with nobody in it, which the internet's services are in. */
const INTERNET_NETWORK = "203.0.113.0/24";
/** The gateway's inner address. */
export const INSIDE: string = SERVER_INSIDE;
/** The external interface. */
export const UPLINK: string = CABLE;

/** The clients' inner and outer addresses, and the gateway's end of each one's cable. */
const CLIENTS = [
  { inside: "10.66.77.2", outside: "198.51.100.2", gateway: "198.51.100.1", device: "lan1" },
  { inside: "10.66.77.3", outside: "198.51.100.130", gateway: "198.51.100.129", device: "lan2" },
  { inside: "10.66.77.4", outside: "198.18.0.2", gateway: "198.18.0.1", device: "lan3" },
] as const;

/** A host with a tunnel to the gateway. */
export interface Client {
  readonly namespace: TestNamespace;
  readonly identity: Identity;
  /** Inner address. */
  readonly inside: string;
  /** Outer address. */
  readonly outside: string;
  /** `Endpoint` of the gateway, as this client calls it. */
  readonly endpoint: string;
}

/** Programs that a test with such a network needs. */
export const GATEWAY_PROGRAMS: readonly string[] = ["ip", "ping", "sysctl"];

export class GatewayNetwork {
  readonly identity: Identity = newIdentity();
  readonly gateway: TestNamespace;
  readonly internet: TestNamespace;
  readonly clients: readonly Client[];

  private constructor(topology: Topology, clients: number) {
    this.gateway = namespaceOf(topology, "gateway");
    this.internet = namespaceOf(topology, "internet");
    topology.cable(
      { namespace: this.internet, name: CABLE, address: `${ROUTER}/24` },
      { namespace: this.gateway, name: UPLINK, address: `${EXTERNAL}/24` },
    );
    this.clients = CLIENTS.slice(0, clients).map((plan, index) => {
      const namespace = namespaceOf(topology, `client-${index + 1}`);
      topology.cable(
        { namespace, name: CABLE, address: `${plan.outside}/25` },
        { namespace: this.gateway, name: plan.device, address: `${plan.gateway}/25` },
      );
      const endpoint = `${plan.gateway}:${SERVER_PORT}`;
      return { ...plan, namespace, identity: newIdentity(), endpoint };
    });
  }

  /** Lays the cables. */
  static async lay(
    topology: Topology,
    { clients = 1 }: { readonly clients?: 1 | 2 | 3 } = {},
  ): Promise<GatewayNetwork> {
    const network = new GatewayNetwork(topology, clients);
    const devices = CLIENTS.slice(0, clients).map(({ device }) => device);
    await Promise.all([
      carrierOn(network.internet),
      ...[UPLINK, ...devices].map((device) => carrierOn(network.gateway, device)),
      ...network.clients.map(({ namespace }) => carrierOn(namespace)),
    ]);
    await network.internet.output(["ip", "-batch", "-"], {
      stdin: `address add ${INTERNET}/32 dev lo\naddress add ${OTHER_INTERNET}/32 dev lo\n`,
    });
    await network.gateway.output(["ip", "route", "add", "default", "via", ROUTER]);
    return network;
  }

  /** The first client, which is the only one in most tests. */
  get client(): Client {
    return this.clients[0]!;
  }

  /** The gateway's configuration: a peer for each client, and the keys given. */
  config(section: Section = {}): string {
    return configText(
      {
        PrivateKey: this.identity.privateKey,
        ListenPort: SERVER_PORT,
        Address: `${INSIDE}/24`,
        ...section,
      },
      ...this.clients.map(({ identity, inside }) => ({
        PublicKey: identity.publicKey,
        AllowedIPs: `${inside}/32`,
      })),
    );
  }

  /** Starts the gateway; `args` are further options of the command. */
  start(section: Section = {}, ...args: readonly string[]): Promise<BackgroundProcess> {
    return startVpn("server", this.gateway, this.config(section), ...args);
  }

  /** Starts our client, which sends everything through the tunnel. */
  connect(client: Client = this.client, section: Section = {}): Promise<BackgroundProcess> {
    const config = configText(
      { PrivateKey: client.identity.privateKey, Address: `${client.inside}/24`, ...section },
      {
        PublicKey: this.identity.publicKey,
        Endpoint: client.endpoint,
        AllowedIPs: "0.0.0.0/0",
      },
    );
    return startVpn("client", client.namespace, config);
  }

  /** Starts Debian's wireguard-go as a client, with the internet routed through the tunnel. */
  async connectWireguardGo(client: Client = this.client): Promise<WireguardGo> {
    const config = configText({ PrivateKey: client.identity.privateKey }, {
      PublicKey: this.identity.publicKey,
      Endpoint: client.endpoint,
      AllowedIPs: "0.0.0.0/0",
    });
    const peer = await WireguardGo.start(client.namespace, config, [`${client.inside}/24`]);
    await peer.route(INTERNET_NETWORK);
    return peer;
  }

  /** Starts both, and our client. */
  async startBoth(section: Section = {}): Promise<BackgroundProcess> {
    const gateway = await this.start(section);
    for (const client of this.clients) await this.connect(client);
    return gateway;
  }
}

function namespaceOf(topology: Topology, label: string): TestNamespace {
  const namespace = topology.namespace(label);
  withoutIpv6Autoconfiguration(namespace);
  return namespace;
}
