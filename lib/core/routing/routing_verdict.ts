/** Routing verdicts: where a packet goes that goes to no peer. */

/** Numbers that are no index of a peer. */
export const RoutingVerdict = { host: 0, outside: 1 << 20 } as const;
