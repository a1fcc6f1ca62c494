/** Configuration writer: the text of a new gateway's file, and of a client's. */
import { bracketed } from "../../wire/host_address.ts";
import type { Ipv6PrefixText } from "../../wire/ipv6_prefix.ts";
import { formatCidr, type Ipv4Prefix } from "../../wire/ipv4_text.ts";
import type { Config, Endpoint } from "../config.ts";
import { encodeKey } from "../values/key_text.ts";

/** A gateway that `vpn init` makes. */
export interface NewServer {
  /** 32 bytes. */
  readonly privateKey: Uint8Array;
  /** The gateway's address inside, with the network's prefix length. */
  readonly address: Ipv4Prefix;
  /** The same of IPv6; null for none. */
  readonly address6: Ipv6PrefixText | null;
  /** Where clients reach it; its port is also the one listened on. */
  readonly endpoint: Endpoint;
  /** The group of users that may administer it; null for none. */
  readonly controlGroup: string | null;
}

/** The file of a new gateway. */
export function serverFileText(
  { privateKey, address, address6, endpoint, controlGroup }: NewServer,
): string {
  const control = controlGroup === null
    ? ""
    : `# Members of this group administer the gateway, by \`vpn console\`.\nControlGroup = ${controlGroup}\n`;
  return `[Interface]
PrivateKey = ${encodeKey(privateKey)}
Address = ${[formatCidr(address), ...address6 === null ? [] : [address6]].join(", ")}
ListenPort = ${endpoint.port}
# Where clients reach this gateway; \`vpn peer add\` writes it into their files.
PublicEndpoint = ${formatEndpoint(endpoint)}
# Clients ask the gateway for names, and it asks these resolvers.
DnsProxy = 9.9.9.9, 1.1.1.1
${control}`;
}

/**
 * AllowedIPs of a client that sends everything through the tunnel. IPv6 ends there where the gateway does not carry it:
 * left out, the stock apps would send it past the tunnel.
 */
export const FULL_TUNNEL = "0.0.0.0/0, ::/0";

/** What a client's file says, as it stands there. */
export interface ClientText {
  readonly privateKey: string;
  readonly addresses: readonly string[];
  readonly dns: string | null;
  readonly mtu: number | null;
  /** The gateway's. */
  readonly transport: Config["interface"]["transport"];
  readonly publicKey: string;
  readonly presharedKey: string | null;
  readonly allowedIps: string;
  /** Several are separated by commas, in the order of preference. */
  readonly endpoint: string;
}

/** What a file with several endpoints says of them. */
const SEVERAL_ENDPOINTS =
  "# `vpn` goes on by the next of these when one is lost; wg takes the last, and some apps refuse several.";

/** The file of a client: standard keys alone, so that any WireGuard takes it, unless a transport needs more. */
export function clientText(client: ClientText): string {
  const { dns, mtu, transport, presharedKey } = client;
  const endpoints = client.endpoint.split(", ");
  return [
    "[Interface]",
    `PrivateKey = ${client.privateKey}`,
    `Address = ${client.addresses.join(", ")}`,
    ...(dns === null ? [] : [`DNS = ${dns}`]),
    ...(mtu === null ? [] : [`MTU = ${mtu}`]),
    ...(transport === "faketcp" ? [`Transport = ${transport}`] : []),
    "",
    "[Peer]",
    `PublicKey = ${client.publicKey}`,
    ...(presharedKey === null ? [] : [`PresharedKey = ${presharedKey}`]),
    `AllowedIPs = ${client.allowedIps}`,
    ...(endpoints.length > 1 ? [SEVERAL_ENDPOINTS] : []),
    ...endpoints.map((endpoint) => `Endpoint = ${endpoint}`),
    // Keeps the way back open through the NAT that a client is usually behind.
    "PersistentKeepalive = 25",
    "",
  ].join("\n");
}

/** `HOST:PORT`, an IPv6 address in brackets. */
export function formatEndpoint({ host, port }: Endpoint): string {
  return `${bracketed(host)}:${port}`;
}
