/** Numbers of the tunnel: those of the WireGuard paper (section 6.1) first, those of this implementation apart. */

// From the specification. Times in ms.

/**
 * A sender that began the session asks for new keys after this many messages: 2^60, as the high half of the counter.
 */
export const REKEY_AFTER_MESSAGES_HIGH = 2 ** 28;
export const REKEY_AFTER_TIME = 120_000;
export const REJECT_AFTER_TIME = 180_000;
const REKEY_ATTEMPT_TIME = 90_000;
export const REKEY_TIMEOUT = 5_000;
/** Up to this much is added at random, so that two ends which began at once do not collide for ever. */
export const REKEY_TIMEOUT_JITTER = 334;
export const KEEPALIVE_TIMEOUT = 10_000;

// Of this implementation.

/** Retries of one handshake before it is given up. */
export const MAX_HANDSHAKE_ATTEMPTS = REKEY_ATTEMPT_TIME / REKEY_TIMEOUT;
/** An initiator that only receives renews its key this long after the handshake, while the old one is still good. */
export const REKEY_AFTER_TIME_RECEIVING = REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT;
/** Keys that no new handshake replaced are zeroed after this time. */
export const ZERO_KEYS_AFTER_TIME = 3 * REJECT_AFTER_TIME;
/** Two initiations of one peer this close together (50 a second) are a flood; wireguard-go draws the same line. */
export const MIN_INITIATION_INTERVAL = 20;
/** Initiations besides the newest that may have their response yet: at 0.7 s each, those of 3.5 s. */
export const MAX_EARLIER_HANDSHAKES = 5;
/** How long a device is under load, and asks for cookies, after the last initiation that was too many. */
export const UNDER_LOAD_TIME = 1_000;
/** Packets that wait for one peer's handshake; beyond it the oldest is dropped, for TCP will have sent it again. */
export const MAX_STAGED_PACKETS = 128;
/** Bytes that wait for all handshakes together, so that many silent peers cannot fill the memory. */
export const MAX_STAGED_BYTES = 16 * 1024 * 1024;
/** Bytes that UDP and IPv4 put in front of a message. */
export const OUTER_HEADERS_SIZE = 28;
/** The same of IPv6. */
export const OUTER_HEADERS6_SIZE = 48;
