/**
 * IPv6 of a gateway test's network: the internet's router, which the gateway knows by its advertisement alone, and
 * clients with addresses of both families inside.
 *
 * ```text
 *  client-1 ---- 2001:db8:2::1  gateway  2001:db8:1::1 ---- 2001:db8:1::9  internet, at 2001:db8:99::9
 * ```
 */
import { type TestNamespace } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { addressBytes } from "../../../lib/core/wire/host_address.ts";
import { type Bytes, referenceChecksum } from "../../support/packets/packet_builder.ts";
import { configText, type Section } from "./config.ts";
import { type Client, type GatewayNetwork, INSIDE, UPLINK } from "./gateway.ts";
import { sendWithVnetHeader, VNET_HEADER_SIZE } from "./outside.ts";
import { CABLE, SERVER_PORT } from "./wire.ts";
import { giveIpv6 } from "./ipv6_addresses.ts";

export const EXTERNAL6 = "2001:db8:1::1";
export const ROUTER6 = "2001:db8:1::9";
/** Where the internet has its services. */
export const INTERNET6 = "2001:db8:99::9";
/** The gateway's address inside, and those of clients. */
export const INSIDE6 = "fd00:77::1";
/** Of the link that the first client is on. */
export const LAN6 = "2001:db8:2::1";
const ROUTER_LOCAL = "fe80::9";

/** Gives all of them addresses, and the gateway a route to the internet as routers advertise it. */
export async function addIpv6To(
  network: GatewayNetwork,
  ...further: readonly string[]
): Promise<void> {
  const { gateway, internet, client } = network;
  // Else it would say to neighbours that it is no router, and they forget the route by it (RFC 4861 section 7.3.3).
  await internet.output(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"]);
  await giveIpv6(internet, CABLE, `${ROUTER_LOCAL}/64`, `${ROUTER6}/64`);
  await giveIpv6(internet, "lo", `${INTERNET6}/128`, ...further);
  await giveIpv6(gateway, UPLINK, "fe80::1/64", `${EXTERNAL6}/64`);
  await giveIpv6(gateway, "lan1", `${LAN6}/64`);
  await giveIpv6(client.namespace, CABLE, "2001:db8:2::2/64");
  await internet.output(["ip", "-6", "route", "add", "default", "via", EXTERNAL6]);
  await client.namespace.output(["ip", "-6", "route", "add", "default", "via", LAN6]);
  await hearRouter(network);
}

/** Has the internet's router advertise itself until the gateway has taken note. */
export async function hearRouter({ gateway, internet }: GatewayNetwork): Promise<void> {
  await eventually(async () => {
    advertiseRouter({ from: internet, to: gateway });
    const routes = await gateway.output(["ip", "-6", "route", "show", "default"]);
    return routes.includes("proto ra") || null;
  }, { what: "the advertised route" });
}

/** A router advertisement (RFC 4861 section 4.2), good for half an hour. */
function advertiseRouter(link: { from: TestNamespace; to: TestNamespace }): void {
  const message = Uint8Array.of(134, 0, 0, 0, 64, 0, 0x07, 0x08, ...new Uint8Array(8));
  const addresses = [...addressBytes(ROUTER_LOCAL), ...addressBytes("ff02::1")];
  const sum = referenceChecksum(
    Uint8Array.from([...addresses, ...[0, 0, 0, message.length], ...[0, 0, 0, 58], ...message]),
  );
  message.set([sum >>> 8, sum & 0xff], 2);
  const packet: Bytes = Uint8Array.from([
    ...[0x60, 0, 0, 0, 0, message.length, 58, 255],
    ...addresses,
    ...message,
  ]);
  sendWithVnetHeader(link, new Uint8Array(VNET_HEADER_SIZE), packet);
}

/** The gateway's configuration with both families inside, and keys for each client's section. */
export function config6(
  network: GatewayNetwork,
  section: Section,
  insides: readonly string[],
  ...ofPeers: readonly Section[]
): string {
  return configText(
    {
      PrivateKey: network.identity.privateKey,
      ListenPort: SERVER_PORT,
      Address: `${INSIDE}/24, ${INSIDE6}/64`,
      ...section,
    },
    ...network.clients.map(({ identity, inside }, index) => ({
      PublicKey: identity.publicKey,
      AllowedIPs: `${inside}/32, ${insides[index]}/128`,
      ...ofPeers[index],
    })),
  );
}

/** A client's configuration that sends all of both families through the tunnel. */
export function clientConfig6(
  network: GatewayNetwork,
  client: Client,
  inside6: string,
  section: Section = {},
): string {
  return configText(
    {
      PrivateKey: client.identity.privateKey,
      Address: `${client.inside}/24, ${inside6}/64`,
      ...section,
    },
    {
      PublicKey: network.identity.publicKey,
      Endpoint: client.endpoint,
      AllowedIPs: "0.0.0.0/0, ::/0",
    },
  );
}
