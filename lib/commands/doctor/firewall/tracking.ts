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
/** Of `-m conntrack` and `-m state` (xt_conntrack.h); that the destination was replaced is one besides. */
export const XT_STATES: Readonly<Record<TrackedState | "DNAT", number>> = {
  INVALID: 1,
  ESTABLISHED: 2,
  NEW: 8,
  DNAT: 128,
  UNTRACKED: 256,
};

/** `IPS_CONFIRMED | IPS_SEEN_REPLY | IPS_ASSURED`: the status of a connection that both sides know. */
const STATUS_ESTABLISHED = 0xe;
/** `IPS_DST_NAT | IPS_DST_NAT_DONE`. */
const STATUS_REDIRECTED = 0x120;

/** The bits of `ct status`. */
export function trackedStatus({ options }: SupposedPacket): number {
  return (options.isEstablished === true ? STATUS_ESTABLISHED : 0) |
    (options.isRedirected === true ? STATUS_REDIRECTED : 0);
}

/** What `--ctstate` finds. */
export function xtStates(packet: SupposedPacket, state: WalkState): number {
  const isRedirected = state.tracking === "tracked" && packet.options.isRedirected === true;
  return XT_STATES[trackedState(packet, state)] | (isRedirected ? XT_STATES.DNAT : 0);
}

export function trackedState({ options }: SupposedPacket, { tracking }: WalkState): TrackedState {
  if (tracking === "before") return "INVALID";
  if (tracking === "untracked") return "UNTRACKED";
  return options.isEstablished === true ? "ESTABLISHED" : "NEW";
}
