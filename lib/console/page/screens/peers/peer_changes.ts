/** Changes of peers by the API, as the lists and the screen of one peer make them. */
import type { PeerEntry } from "../../../../control/application/methods.ts";
import { call, peerPath } from "../../state/api.ts";
import { showAnswer } from "../../state/live_feed.ts";

/** Keys of `[Peer]` as the file has them; null takes one out. */
export type KeyChanges = Readonly<Record<string, string | null>>;

/** One of a key, as the file has it; without a revision, whatever else has been changed meanwhile. */
export async function changePeer(
  publicKey: string,
  set: KeyChanges,
  revision: string | null = null,
): Promise<void> {
  showAnswer([await call<PeerEntry>("PATCH", peerPath(publicKey), { body: { set }, revision })]);
}

/** All of them or none. */
export async function changePeers(publicKeys: readonly string[], set: KeyChanges): Promise<void> {
  const body = { peers: publicKeys, set };
  const { peers } = await call<{ peers: readonly PeerEntry[] }>("POST", "/peers/bulk", {
    body,
    revision: null,
  });
  showAnswer(peers);
}

export function enabling(isEnabled: boolean): KeyChanges {
  return { Enabled: isEnabled ? null : "no" };
}

export function deletePeer(publicKey: string): Promise<unknown> {
  return call("DELETE", peerPath(publicKey), { revision: null });
}
