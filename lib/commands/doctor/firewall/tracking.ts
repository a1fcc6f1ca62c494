/** Connection tracking as rules see it: the states of a supposed packet, in nftables' bits and in iptables'. */
import type { SupposedPacket } from "./packet.ts";
import type { WalkState } from "./walk.ts";

/** What a rule finds. A packet that was not tracked yet is invalid to rules (nft_ct.c, xt_conntrack.c). */
export type TrackedState = "INVALID" | "ESTABLISHED" | "NEW" | "UNTRACKED";

/** Of `ct state` (include/uapi/linux/netfilter/nf_conntrack_common.h). */
export const NFT_STATES: Readonly<Record<TrackedState, number>> = {
  INVALID: 1,
  ESTABLISHED: 2,
  NEW: 8,
  UNTRACKED: 64,
};
/** Of `-m conntrack` and `-m state` (xt_conntrack.h). */
export const XT_STATES: Readonly<Record<TrackedState, number>> = {
  INVALID: 1,
  ESTABLISHED: 2,
  NEW: 8,
  UNTRACKED: 256,
};

/**
 * `IPS_CONFIRMED | IPS_SEEN_REPLY | IPS_ASSURED` and nothing of NAT's: the status of a connection that both sides know.
 */
export const STATUS_ESTABLISHED = 0xe;

export function trackedState({ options }: SupposedPacket, { tracking }: WalkState): TrackedState {
  if (tracking === "before") return "INVALID";
  if (tracking === "untracked") return "UNTRACKED";
  return options.isEstablished === true ? "ESTABLISHED" : "NEW";
}
