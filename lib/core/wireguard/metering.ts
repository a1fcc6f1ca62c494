/** Metering: what a peer uses of its quota, message by message. */
import type { DeviceEventKind } from "./device_events.ts";
import type { Peer } from "./peer.ts";

/** Looks how far a peer has come, which has just sent or been sent something: for most, a comparison or two. */
export function meter(peer: Peer, report: (kind: DeviceEventKind, peer: Peer) => void): void {
  const { quota } = peer;
  if (quota === null) return;
  const used = peer.receivedBytes + peer.sentBytes;
  if (!quota.isDue(used)) return;
  const wasPassed = quota.isPassed;
  quota.advance(used);
  report("usage", peer);
  if (!quota.isPassed || wasPassed) return;
  peer.followLimits();
  report("quota-reached", peer);
}
