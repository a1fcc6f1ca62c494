/** Peer parameters: the form of a peer in the control protocol, with the keys of a configuration. */
import { ConfigError } from "../core/config/config_error.ts";
import { PEER_KEYS } from "../core/config/values/keys.ts";
import {
  entryOf,
  type PeerSettings,
  settledPeer,
  withoutPlace,
} from "../core/peers/peer_settings.ts";
import type { LivePeer } from "./live_peers.ts";
import { type Params, RequestError } from "./protocol.ts";

/** `Key: "value"`, as in a `[Peer]` section; what the section would not have is left out. */
export type PeerParams = PeerSettings & { readonly PublicKey: string };

/**
 * The peer that parameters stand for. An endpoint with a name is left out: a gateway looks up none.
 *
 * @throws {RequestError}
 */
export function livePeer(params: Params): LivePeer {
  const given = Object.keys(PEER_KEYS).filter((key) => params[key] !== undefined)
    .map((key): [string, string] => {
      const value = params[key];
      if (typeof value === "string") return [key, value];
      throw new RequestError(`Cannot read ${key}: it is not a string`);
    });
  const { PublicKey, ...settings } = Object.fromEntries(given);
  if (PublicKey === undefined) throw new RequestError("Cannot add the peer: PublicKey is missing");
  try {
    return located(
      settledPeer(PEER_KEYS.PublicKey.parse(entryOf("PublicKey", PublicKey)), settings),
    );
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new RequestError(withoutPlace(error.message));
  }
}

/** The peer, without an endpoint that is a name. */
export function located(peer: LivePeer): LivePeer {
  return peer.endpoint?.address === null ? { ...peer, endpoint: null } : peer;
}

/** The public key among parameters. */
export function publicKeyOf(params: Params): Uint8Array {
  return livePeer({ PublicKey: params["PublicKey"] }).publicKey;
}
