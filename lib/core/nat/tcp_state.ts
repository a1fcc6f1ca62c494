/**
 * The state of TCP connections: what of each has been seen decides how long it is kept (RFC 5382 REQ-5, RFC 7857
 * section 2), and whether it is among the first to be evicted.
 *
 * Only a client's packets keep a session alive. A stranger's may change its state, which can only shorten its life (for
 * TCP, whatever is alive acknowledges what it gets, so that outbound packets are enough).
 */
import * as tcp from "../wire/tcp.ts";
import { TCP_ESTABLISHED_TIMEOUT, TCP_TRANSITORY_TIMEOUT } from "./constants.ts";
import type { Mapping, NatSession, SessionList } from "./records.ts";

/** What of a TCP connection has been seen, by direction. */
const SYN_OUT = 1;
const SYN_IN = 2;
const FIN_OUT = 4;
const FIN_IN = 8;
const RST_OUT = 16;
const RST_IN = 32;
/** Something came in that the client's next segment may take for an answer. */
const NEWS = 64;
const SYN_BOTH = SYN_OUT | SYN_IN;
const FIN_BOTH = FIN_OUT | FIN_IN;
const RST = RST_OUT | RST_IN;

const CONTROL = tcp.FLAG_SYN | tcp.FLAG_FIN | tcp.FLAG_RST;

/**
 * Takes note of a client's TCP segment, whose flags are given.
 *
 * @returns ms for which the session is kept now; 0 where it is not refreshed, and over
 */
export function trackOutbound(session: NatSession, flags: number, now: number): number {
  if (now >= session.expiresAt) {
    // One that begins without a SYN of the client's has its handshake behind it, if the remote end could have opened
    // it.
    const isOpened = (flags & tcp.FLAG_SYN) === 0 && isReachable(session.mapping);
    session.seen = isOpened ? SYN_BOTH : 0;
  }
  if ((flags & tcp.FLAG_RST) !== 0) {
    // A client answers by RST to what a stranger sends: that must not refresh anything (RFC 7857 section 7.1).
    session.seen |= RST_OUT;
    return 0;
  }
  if ((flags & tcp.FLAG_SYN) !== 0) {
    // The same endpoints begin again: what is left of their last connection is taken over (RFC 7857 section 7, RFC
    // 6191).
    if (isOver(session.seen)) session.seen = 0;
    // A SYN with ACK answers the other end's.
    session.seen |= (flags & tcp.FLAG_ACK) !== 0 ? SYN_BOTH : SYN_OUT;
  } else {
    // The client goes on: an RST that came before was forged, or the client did not take it (RFC 7857 section 2.2).
    session.seen &= ~RST;
  }
  session.seen &= ~NEWS;
  if ((flags & tcp.FLAG_FIN) !== 0) session.seen |= FIN_OUT;
  return tcpTimeoutOf(session);
}

/** ms for which a connection is kept from its client's last segment, unless that ended it. */
export function tcpTimeoutOf({ seen }: NatSession): number {
  return isOpen(seen) ? TCP_ESTABLISHED_TIMEOUT : TCP_TRANSITORY_TIMEOUT;
}

/**
 * Takes note of a remote end's segment. It may shorten the session's life, never prolong it, nor call it back.
 *
 * @returns whether the session is over
 */
export function trackInbound(session: NatSession, flags: number): boolean {
  if ((flags & tcp.FLAG_SYN) !== 0) session.seen |= SYN_IN | NEWS;
  if ((flags & tcp.FLAG_FIN) !== 0) session.seen |= FIN_IN | NEWS;
  if ((flags & tcp.FLAG_RST) !== 0) session.seen |= RST_IN | NEWS;
  return isOver(session.seen);
}

/**
 * Whether a client's segment, whose flags are given, leaves the state of a connection as it is, unless that has
 * expired.
 */
export function isPlain({ seen }: NatSession, flags: number): boolean {
  return (flags & CONTROL) === 0 && (seen & (RST | NEWS)) === 0;
}

/** The list of its client's that a connection belongs to. */
export function listOf(session: NatSession): SessionList {
  const { lists } = session.mapping;
  const { seen } = session;
  if ((seen & RST_OUT) !== 0 || (seen & FIN_BOTH) === FIN_BOTH) return lists.finished;
  // Anybody can forge an RST from outside: a connection whose client goes on is not among the first to be evicted for
  // it.
  if ((seen & RST_IN) !== 0 || (seen & SYN_BOTH) !== SYN_BOTH) return lists.brief;
  return lists.lasting;
}

/**
 * Whether remote ends can open connections: a port that stands for one connection alone, not yet opened, is known to
 * nobody.
 */
function isReachable({ isStatic, connections }: Mapping): boolean {
  // The session in question counts as one.
  return isStatic || connections > 1;
}

/** Whether both ends have begun a connection, and it is not over. */
export function isOpen(seen: number): boolean {
  return (seen & SYN_BOTH) === SYN_BOTH && !isOver(seen);
}

function isOver(seen: number): boolean {
  return (seen & RST) !== 0 || (seen & FIN_BOTH) === FIN_BOTH;
}
