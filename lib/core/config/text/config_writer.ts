/**
 * Configuration writer: the text of a gateway's file, of a client's, and of a gateway's with a peer added or removed,
 * where every other byte stays as it is.
 */
import { bracketed, type Ipv6Text } from "../../wire/host_address.ts";
import type { Ipv6PrefixText } from "../../wire/ipv6_prefix.ts";
import { formatCidr, formatIpv4, type Ipv4Prefix } from "../../wire/ipv4_text.ts";
import type { Config, Endpoint, PeerConfig } from "../config.ts";
import { parseDocument, type Section } from "./config_document.ts";
import { formatExpires } from "../values/expiry.ts";
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

/** A client that `vpn peer add` makes, as both ends' files have it. */
export interface NewPeer {
  readonly name: string;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 32 bytes. */
  readonly presharedKey: Uint8Array;
  /** Inside, uint32 in host order. */
  readonly address: number;
  /** The same of IPv6; null for none. */
  readonly address6: Ipv6Text | null;
  /** Unix ms; null for never. */
  readonly expires: number | null;
  readonly groups: readonly string[];
}

/** The gateway's file with a section for the peer at its end, behind an empty line. */
export function withPeer(text: string, peer: NewPeer): string {
  const newline = text.includes("\r\n") ? "\r\n" : "\n";
  const lines = [
    "",
    "[Peer]",
    `Name = ${peer.name}`,
    `PublicKey = ${encodeKey(peer.publicKey)}`,
    `PresharedKey = ${encodeKey(peer.presharedKey)}`,
    `AllowedIPs = ${addressesText(peer)}`,
    ...(peer.groups.length === 0 ? [] : [`Groups = ${peer.groups.join(", ")}`]),
    ...(peer.expires === null ? [] : [`Expires = ${formatExpires(peer.expires)}`]),
    "",
  ];
  const ended = text === "" || text.endsWith("\n") ? text : text + newline;
  return ended + lines.join(newline);
}

/**
 * The gateway's file without a peer's sections: each from its header, with the comment right above it, to its last key.
 * An empty line above goes with it, as `withPeer()` put one there. Other comments stay.
 *
 * @param peer a peer of this very text
 */
export function withoutPeer(text: string, peer: PeerConfig): string {
  const key = encodeKey(peer.publicKey);
  const sections = parseDocument(text, "").filter((section) => peerKeyOf(section) === key);
  if (sections.length === 0) throw new RangeError(`Cannot find a [Peer] with the key ${key}`);
  const lines = text.split(/(?<=\n)/);
  const removed = new Set<number>();
  for (const section of sections) {
    let first = section.line - 1;
    while (/^\s*#/.test(lines[first - 1] ?? "")) first--;
    if (/^\s*$/.test(lines[first - 1] ?? "-")) first--;
    for (let at = first; at < section.entries.at(-1)!.line; at++) removed.add(at);
  }
  return lines.filter((_, at) => !removed.has(at)).join("");
}

/** As `wg` reads it: the last one, without blanks. */
export function peerKeyOf({ name, entries }: Section): string | undefined {
  if (name !== "Peer") return undefined;
  return entries.findLast(({ key }) => key.toLowerCase() === "publickey")?.value.replace(/\s/g, "");
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
  readonly endpoint: string;
}

/** The file of a client: standard keys alone, so that any WireGuard takes it, unless a transport needs more. */
export function clientText(client: ClientText): string {
  const { dns, mtu, transport, presharedKey } = client;
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
    `Endpoint = ${client.endpoint}`,
    // Keeps the way back open through the NAT that a client is usually behind.
    "PersistentKeepalive = 25",
    "",
  ].join("\n");
}

/** As in `10.66.77.2/32, fd00:77::2/128`. */
function addressesText({ address, address6 }: NewPeer): string {
  return [`${formatIpv4(address)}/32`, ...address6 === null ? [] : [`${address6}/128`]].join(", ");
}

/** `HOST:PORT`, an IPv6 address in brackets. */
export function formatEndpoint({ host, port }: Endpoint): string {
  return `${bracketed(host)}:${port}`;
}
