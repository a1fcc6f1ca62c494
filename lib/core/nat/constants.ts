/** The NAT's numbers: those that RFCs ask for first, those of this implementation apart. Times in ms. */

/** The timer wheel has a slot for each second. */
export const SECOND = 1000;

// From RFCs.

/** RFC 4787 REQ-5: 300 s is recommended, under 120 s forbidden. Outbound packets alone refresh it (REQ-6). */
export const UDP_TIMEOUT = 300_000;
/** RFC 4787 REQ-5: no mapping ends sooner, but for well-known ports (REQ-5a). */
export const MIN_UDP_TIMEOUT = 120_000;
/**
 * RFC 4787 REQ-5a: for a mapping that talks to well-known ports alone, 0 to 1023. QUIC's keepalives come every 15 to 30
 * s.
 */
export const WELL_KNOWN_UDP_TIMEOUT = 60_000;
/** RFC 4787 REQ-5a: for one that talks to port 53 alone, once all its questions are answered. */
export const ANSWERED_DNS_TIMEOUT = 20_000;
/** RFC 5508 REQ-2: at least 60 s. */
export const ICMP_QUERY_TIMEOUT = 60_000;
/** RFC 5382 REQ-5: at least 2 hours and 4 minutes. */
export const TCP_ESTABLISHED_TIMEOUT = 7_440_000;
/**
 * RFC 5382 REQ-5: at least 4 minutes, for connections that are opening or closing: twice the maximum segment lifetime
 * of RFC 793. After RST, RFC 7857 section 2.2.
 */
export const TCP_TRANSITORY_TIMEOUT = 240_000;
/** RFC 6888 REQ-8: a port is not given out again before packets for its last user have died out. */
export const PORT_REST_TIME = 120_000;
/** RFC 4787 REQ-14: fragments out of order are kept no longer than a receiver would wait for them. */
export const FRAGMENT_TIMEOUT = 15_000;

// Of this implementation.

/**
 * Ports of each protocol that one client may hold, those at rest after its use included, unless configured (RFC 6888
 * REQ-4).
 */
export const DEFAULT_CLIENT_QUOTA = 4096;
/**
 * Sessions that one client may hold of each protocol for each port that it may (RFC 6888 REQ-5): many share a port, of
 * one inner endpoint or, under pressure, of several.
 */
export const SESSIONS_PER_PORT = 16;
/** Sessions of all clients together: some 50 MB. */
export const MAX_SESSIONS = 262_144;
/** An established TCP connection is in use, and never evicted, until its client has been silent for so long. */
export const TCP_IN_USE_TIME = 300_000;
/** Sessions that end in search of a port for one packet. */
export const MAX_EVICTIONS = 8;
/**
 * For each direction: fragmented packets whose first fragment has come, those whose has not, and the bytes of these.
 */
export const MAX_DECIDED_TRAINS = 1024;
export const MAX_WAITING_TRAINS = 1024;
export const MAX_WAITING_BYTES = 1024 * 1024;
/** Of what waits, one sender may have one of so many parts. */
export const WAITING_PARTS = 8;
/** Fragments of one packet that may wait for its first: 64 KiB in pieces of 1,024 bytes and more. */
export const MAX_WAITING_FRAGMENTS = 64;
/** ICMP errors of our own: for each receiver in a second (RFC 1812 section 4.3.2.8 asks for a limit). */
export const ICMP_ERRORS_PER_SECOND = 10;
/** Of those about the path to a client, in place of each of which a packet that could go on in fragments is lost. */
export const PATH_ERRORS_PER_SECOND = 1;
/** Receivers of ICMP errors in one second, on either side; others get none. */
export const ICMP_ERROR_RECEIVERS_INSIDE = 4096;
/** Few: whose packets are answered here may have forged their source, and we would be a reflector. */
export const ICMP_ERROR_RECEIVERS_OUTSIDE = 128;
/** How often expired mappings and sessions are removed; what looks them up does not see them before that either. */
export const SWEEP_INTERVAL = 1_000;
