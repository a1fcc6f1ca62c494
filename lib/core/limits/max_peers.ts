/** The most peers of one end of a tunnel. */

/** Bounded by the bits of a result (lib/core/wireguard/received.ts); tables that hold something of each follow it. */
export const MAX_PEERS = 8192;
