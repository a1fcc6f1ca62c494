/**
 * Claims: which gateway a peer is at. A gateway claims a peer when a session with it is confirmed: by data under its
 * key, or by the answer to an initiation of the gateway's. The epoch of a claim is the greatest timestamp of an
 * initiation of the peer's own that a session has come from, then that of the gateway's initiation, if that is where
 * this session comes from.
 *
 * So epochs need no counter that all agree on, and no word with the store: nobody but the peer can make its timestamp,
 * which rises with each initiation and is a replay at every gateway that has taken a greater one; and of the gateways'
 * initiations, the peer itself takes only one that is later than the last. The order is the same for all who know the
 * claims, in whatever order, however late and how often they come.
 */
import { compareTai64n } from "../noise/tai64n.ts";
import { TIMESTAMP_SIZE } from "../wire/messages.ts";

/** Stands for the number of a gateway where there is none. */
export const NO_GATEWAY = -1;

/** Of a session that the peer began: there is no initiation of the gateway's. */
export const NO_TIMESTAMP: Uint8Array = new Uint8Array(TIMESTAMP_SIZE);

export interface Claim {
  readonly gateway: number;
  /** TAI64N, 12 bytes: of the peer's initiation. */
  readonly ofPeer: Uint8Array;
  /** The same of the gateway's, or `NO_TIMESTAMP`. */
  readonly ofGateway: Uint8Array;
}

/** Above 0 where the first claim is the later one, 0 for one claim of one gateway, below 0 where the second is. */
export function compareClaims(one: Claim, other: Claim): number {
  return compareTai64n(one.ofPeer, other.ofPeer) || compareTai64n(one.ofGateway, other.ofGateway) ||
    one.gateway - other.gateway;
}
