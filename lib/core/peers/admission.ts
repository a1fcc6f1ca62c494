/**
 * Admission: whether a configured peer has access at a moment. One that has none is to the data plane, its tables and
 * the host's routes as if it were not configured; its key, its name and its addresses stay its own.
 */
import type { PeerConfig } from "../config/config.ts";

/** Of one that is both, that it is disabled is what a person has decided. */
export type AdmissionState = "admitted" | "disabled" | "expired";

/** What decides. */
export type AdmissionTerms = Pick<PeerConfig, "isEnabled" | "expires">;

/** @param now Unix ms: it is the wall clock that counts, wherever it is set to */
export function admissionOf({ isEnabled, expires }: AdmissionTerms, now: number): AdmissionState {
  if (!isEnabled) return "disabled";
  return expires !== null && now >= expires ? "expired" : "admitted";
}

/** Those that have access. */
export function admittedPeers<Peer extends AdmissionTerms>(
  peers: readonly Peer[],
  now: number,
): readonly Peer[] {
  return peers.filter((peer) => admissionOf(peer, now) === "admitted");
}
