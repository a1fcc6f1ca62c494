/** Turn limits: how much of what has come is taken in one turn of the loop, so that nothing else waits for long. */

/** Diffie-Hellmans after which a turn ends, so that packets under way are not kept waiting by a storm of handshakes. */
export const HANDSHAKES = 3;
/** Receives in one turn where handshakes come alone and one by one: of a flood, most cost next to nothing. */
export const HANDSHAKE_ROUNDS = 64;
/** Packets that other workers have handed over. */
export const HANDED_OVER = 64;
/** Datagrams that packet workers have sealed. */
export const SEALED = 512;
/** Packets read from the TUN. */
export const TUN_READS = 64;
/** ms without a packet of the host's, after which the next one leaves before it is asked whether others follow. */
export const PAUSE = 1;
/** Times that packets are let go that have waited for their peer's rate. */
export const RELEASE_ROUNDS = 16;
