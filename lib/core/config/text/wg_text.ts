/**
 * A configuration as `wg setconf` and `wg syncconf` take it: what WireGuard itself knows, and nothing of wg-quick's or
 * ours.
 */
import { formatCidr } from "../../wire/ipv4_text.ts";
import type { Config, PeerConfig } from "../config.ts";
import { formatEndpoint } from "./config_writer.ts";
import { encodeKey } from "../values/key_text.ts";

/**
 * The text. Each peer stands there once and each network with one peer, since for `wg` the second section of a peer
 * would take away what the first has given. IPv6 is kept: it may be for another WireGuard. A key that a command sets is
 * left out.
 */
export function wgText({ interface: section, peers }: Config): string {
  const { lines, listenPort, fwMark, privateKey } = section;
  const own = [
    "[Interface]",
    ...lines.has("PrivateKey") ? [`PrivateKey = ${encodeKey(privateKey)}`] : [],
    ...listenPort === null ? [] : [`ListenPort = ${listenPort}`],
    ...fwMark === null ? [] : [`FwMark = ${fwMark}`],
  ];
  return [own, ...peers.map(peerLines)].map((each) => `${each.join("\n")}\n`).join("\n");
}

function peerLines(peer: PeerConfig): string[] {
  const { otherEndpoints, zonedEndpoint, presharedKey, persistentKeepalive } = peer;
  // Of several, `wg` takes the last.
  const endpoint = otherEndpoints.at(-1) ?? peer.endpoint;
  const place = endpoint === null ? zonedEndpoint : formatEndpoint(endpoint);
  const networks = [...peer.allowedIps.map(formatCidr), ...peer.allowedIps6];
  return [
    "[Peer]",
    `PublicKey = ${encodeKey(peer.publicKey)}`,
    ...presharedKey === null ? [] : [`PresharedKey = ${encodeKey(presharedKey)}`],
    ...networks.length === 0 ? [] : [`AllowedIPs = ${networks.join(", ")}`],
    ...place === null ? [] : [`Endpoint = ${place}`],
    ...persistentKeepalive === 0 ? [] : [`PersistentKeepalive = ${persistentKeepalive}`],
  ];
}
