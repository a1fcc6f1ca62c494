/** Changes of peers by the API, as the lists and the screen of one peer make them. */
import { call, peerPath } from "../../state/api.ts";

/** Keys of `[Peer]` as the file has them; null takes one out. */
export type KeyChanges = Readonly<Record<string, string | null>>;

/** One of a key, as the file has it; without a revision, whatever else has been changed meanwhile. */
export function changePeer(
  publicKey: string,
  set: KeyChanges,
  revision: string | null = null,
): Promise<unknown> {
  return call("PATCH", peerPath(publicKey), { body: { set }, revision });
}

/** All of them or none. */
export function changePeers(publicKeys: readonly string[], set: KeyChanges): Promise<unknown> {
  return call("POST", "/peers/bulk", { body: { peers: publicKeys, set }, revision: null });
}

export function enabling(isEnabled: boolean): KeyChanges {
  return { Enabled: isEnabled ? null : "no" };
}

export function deletePeer(publicKey: string): Promise<unknown> {
  return call("DELETE", peerPath(publicKey), { revision: null });
}
