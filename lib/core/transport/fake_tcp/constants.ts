/** Numbers of fake TCP: those of README.md first, those of this implementation apart. Times in ms. */
import * as ipv4 from "../../wire/ipv4.ts";
import * as ipv6 from "../../wire/ipv6.ts";
import * as tcp from "../../wire/tcp.ts";

// From README.md.

/** The window field of each segment, and window scale: with it, a gigabyte may be on its way. */
export const WINDOW = 65_535;
export const WINDOW_SHIFT = 14;
export const TIME_TO_LIVE = 64;
/** When, after the first SYN, the identical one is sent again. */
export const SYN_AGAIN_AT: readonly number[] = [500, 1_000, 2_000];
/** Datagrams that wait for a connection to open. */
export const MAX_WAITING = 8;
/** Bytes received, without and with window scale, after which they are acknowledged; less are after `ACK_DELAY`. */
export const ACK_AFTER_BYTES = 16 * 1024;
export const ACK_AFTER_BYTES_SCALED = 1024 * 1024;
export const ACK_DELAY = 200;
/** Without progress of acknowledgments for this long, `snd_nxt` goes back. */
export const STALL_TIME = 1_000;
/** A connection on which nothing was sent for this long asks for a keepalive. */
export const KEEPALIVE_TIME = 20_000;
/** How long authenticated data may take to prove that RST or FIN was somebody else's. */
export const HINT_TIME = 1_000;
/** Challenge ACKs of a connection are at least so far apart. */
export const CHALLENGE_INTERVAL = 1_000;
/** A connection silent for this long gives way to a new one of the same four-tuple. */
export const REPLACE_AFTER_SILENCE = 6_000;
/** A silent one that nobody asked may be idle: it is asked first, and has this long to answer. */
export const SILENCE_ANSWER_TIME = 1_000;

// Of this implementation.

/** Bytes of the IPv4 and TCP headers before each datagram; and the same of IPv6, the most there are. */
export const HEADERS_SIZE: number = ipv4.MIN_HEADER_SIZE + tcp.MIN_HEADER_SIZE;
export const HEADERS6_SIZE: number = ipv6.HEADER_SIZE + tcp.MIN_HEADER_SIZE;
/** When, after the first SYN, it counts as unanswered: where the next one would be due. */
export const SYN_GIVEN_UP_AFTER = 4_000;
/** Longest time between two stalls' goings back; RFC 6298 (5.5) lets a maximum be set. */
export const MAX_STALL_TIME = 8_000;
/** Behind a SYN/ACK without a window, datagrams wait for one this long. */
export const ZERO_WINDOW_TIME = 500;
/**
 * Bytes by which segments that nothing authenticates may be ahead of those before them, all together, less what came in
 * turn. The window is a gigabyte: of numbers guessed blindly one in four is in it.
 */
export const MAX_UNPROVEN_JUMP: number = 1024 * 1024;
/** Bytes by which the other end's acknowledgments may lag behind the highest one: what overtakes on the path. */
export const MAX_ACK_LAG: number = WINDOW;
/**
 * Probes of an end that may have drifted away are so far apart; so many that bring more signs of it show that it has.
 */
export const PROBE_INTERVAL = 1_000;
export const DRIFT_SIGNS = 4;
/** A server forgets a connection in silence after this: as long as `nf_conntrack_tcp_timeout_max_retrans`. */
export const SILENT_TIMEOUT = 300_000;
/** The same for one that nothing authenticated ever came by. */
export const UNPROVEN_TIMEOUT = 30_000;
/** Connections of clients in all, and of one client: a roaming one may have left some behind. */
export const MAX_FAKE_TCP_SESSIONS = 16_384;
export const MAX_SESSIONS_OF_CLIENT = 4;
/** Connections by which nothing authenticated has come yet: in all, and from one address, that of a NAT perhaps. */
export const MAX_UNPROVEN_SESSIONS = 8_192;
export const MAX_UNPROVEN_OF_ADDRESS = 1_024;
/**
 * RST in answer to segments of no connection, in one second: of one address, enough for the clients behind a NAT to
 * learn of a restart within seconds; and of one connection, should one be lost. Each is no longer than what it answers:
 * no use to a reflector.
 */
export const RESETS_OF_ADDRESS = 50;
export const RESETS_OF_CONNECTION = 8;
/** Events kept for a caller that does not drain them. */
export const MAX_EVENTS = 4_096;
