/** Where peers with an `Endpoint` are, apart from a client's server: looked up once, as WireGuard does it. */
import type { Config, Endpoint, PeerConfig } from "../../core/config/config.ts";
import type { PutPeer } from "../../core/config/config_change.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import type { PeerOptions } from "../../core/wireguard/peer.ts";
import { AppError } from "../../process/errors.ts";
import type { Logger } from "../../process/logging.ts";
import { resolveEndpoint } from "./resolve.ts";
import { peerOptions } from "../../core/peers/peer_options.ts";

/** The peers as the data plane begins with them. One that is not found may still call, and is warned of. */
export async function locatedPeers(
  peers: readonly PeerConfig[],
  { config, logger }: { readonly config: Config; readonly logger: Logger },
): Promise<PeerOptions[]> {
  const { connectTimeout } = config.interface;
  return await Promise.all(peers.map(async (peer) => {
    const { endpoint, line } = peer;
    if (endpoint === null) return peerOptions(peer, null);
    try {
      return peerOptions(peer, await resolveEndpoint(endpoint, connectTimeout));
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      logger.warn(
        "{file}:{line}: [Peer]: this end does not connect to it, but it may connect: {error}",
        {
          file: config.fileName,
          line,
          error: error.message,
        },
      );
      return peerOptions(peer, null);
    }
  }));
}

/** The places of those peers that a change of the file moves, by their keys as text; null for one that is not found. */
export async function movedPlaces(
  put: readonly PutPeer[],
  timeout: number,
): Promise<ReadonlyMap<string, Endpoint | null>> {
  const found = put.map(async ({ peer, isMoved }): Promise<[string, Endpoint | null]> => {
    const key = encodeKey(peer.publicKey);
    const { endpoint } = peer;
    if (!isMoved || endpoint === null) return [key, null];
    const address = await resolveEndpoint(endpoint, timeout).catch(() => null);
    return [key, address === null ? null : { ...endpoint, address }];
  });
  return new Map(await Promise.all(found));
}
