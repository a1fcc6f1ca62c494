/** Peer options: a configured peer as the device takes it. */
import type { PeerOutsideFile } from "../config/config.ts";
import type { HostAddress } from "../wire/host_address.ts";
import type { PeerOptions } from "../wireguard/peer.ts";

/**
 * What the data plane needs to know of a configured peer.
 *
 * @param accessId its number among those that access rules are about; 0 where there are none
 */
export function peerOptions(
  peer: PeerOutsideFile,
  address: HostAddress | null,
  accessId = 0,
): PeerOptions {
  return {
    publicKey: peer.publicKey,
    presharedKey: peer.presharedKey,
    allowedIps: peer.allowedIps,
    allowedIps6: peer.allowedIps6,
    endpoint: peer.endpoint === null || address === null
      ? null
      : { address, port: peer.endpoint.port },
    persistentKeepalive: peer.persistentKeepalive,
    name: peer.name,
    rateLimit: peer.rateLimit,
    accessId,
    nextKey: peer.nextKey &&
      { publicKey: peer.nextKey.publicKey, presharedKey: peer.nextKey.presharedKey },
  };
}
