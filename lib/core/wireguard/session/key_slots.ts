/**
 * Key slots: the three sessions of a peer, how a new session comes in, is confirmed, takes over and goes.
 *
 * The rules are the reference implementation's: the initiator may use a new key at once, the responder only when the
 * first packet under it has shown that the initiator has it; what was current serves as previous for packets under way.
 */
import { MAX_EARLIER_HANDSHAKES } from "../constants.ts";
import type { IndexTable } from "../handshake/index_table.ts";
import type { Peer, PendingHandshake } from "../peer.ts";
import type { Successor } from "../successor.ts";
import type { PeerSession } from "./peer_session.ts";

/**
 * ms after which no response comes; less than REKEY_TIMEOUT, so that in ordinary use a peer has one initiation under
 * way.
 */
const LONGEST_ROUND_TRIP = 4_000;

/** Puts the session that we initiated in use. */
export function installInitiated(table: IndexTable, peer: Peer, session: PeerSession): void {
  peer.endSteady();
  if (peer.next !== null) {
    // We answered the peer's handshake too; the older session goes, so that no more than three are kept.
    session.isCrossed = true;
    release(table, peer.current);
    release(table, peer.previous);
    peer.previous = peer.next;
    peer.next = null;
  } else {
    release(table, peer.previous);
    peer.previous = peer.current;
  }
  install(table, peer, session);
  peer.current = session;
}

/** Keeps the session that the peer initiated until a packet under it arrives. */
export function installResponded(table: IndexTable, peer: Peer, session: PeerSession): void {
  release(table, peer.next);
  release(table, peer.previous);
  peer.previous = null;
  install(table, peer, session);
  peer.next = session;
}

/** Keeps the session that the key to come has initiated, beside those of the key that is. */
export function installSucceeding(
  table: IndexTable,
  successor: Successor,
  session: PeerSession,
): void {
  release(table, successor.session);
  table.attach(session.localIndex, session);
  successor.session = session;
}

/**
 * Takes note of an authenticated packet under `session`.
 *
 * @returns true when this confirmed a session that waited for it, which is now the current one, and the only one where
 *   it is that of the key to come
 */
export function confirm(table: IndexTable, peer: Peer, session: PeerSession): boolean {
  if (session !== peer.next) return takesOver(table, peer, session);
  release(table, peer.previous);
  peer.previous = peer.current;
  peer.current = session;
  peer.next = null;
  return true;
}

function takesOver(table: IndexTable, peer: Peer, session: PeerSession): boolean {
  const { successor } = peer;
  if (successor === null || successor.session !== session) return false;
  // It is both by now, until the peer has the key (`HandshakeDriver.completed()`).
  successor.session = null;
  dropSessions(table, peer);
  peer.current = successor.session = session;
  peer.renewalAsked = false;
  return true;
}

/** An initiation of ours has been sent; those before it may have their response yet, but for the oldest of too many. */
export function addHandshake(table: IndexTable, peer: Peer, handshake: PendingHandshake): void {
  if (peer.handshake !== null) peer.earlierHandshakes.push(peer.handshake);
  peer.handshake = handshake;
  const { earlierHandshakes: earlier } = peer;
  while (
    earlier.length > MAX_EARLIER_HANDSHAKES ||
    (earlier.length > 0 && handshake.sentAt - earlier[0].sentAt > LONGEST_ROUND_TRIP)
  ) releaseHandshake(table, earlier.shift()!);
}

/** The initiation of ours with this index that waits for its response; null for none. */
export function handshakeOf(peer: Peer, localIndex: number): PendingHandshake | null {
  if (peer.handshake?.localIndex === localIndex) return peer.handshake;
  return peer.earlierHandshakes.find((each) => each.localIndex === localIndex) ?? null;
}

/**
 * The response to an initiation of ours has come: those before it are of no use. Those after it are: the responder may
 * have answered them as well by now, and keeps the newest session alone.
 */
export function takeHandshake(table: IndexTable, peer: Peer, taken: PendingHandshake): void {
  const { earlierHandshakes: earlier } = peer;
  const place = earlier.indexOf(taken);
  const older = place < 0 ? earlier.splice(0) : earlier.splice(0, place + 1).slice(0, -1);
  for (const each of older) releaseHandshake(table, each);
  if (place < 0) peer.handshake = null;
}

/** Ends the handshakes of ours that are under way, and zeroes their secrets. */
export function dropHandshake(table: IndexTable, peer: Peer): void {
  for (const each of peer.earlierHandshakes.splice(0)) releaseHandshake(table, each);
  if (peer.handshake === null) return;
  releaseHandshake(table, peer.handshake);
  peer.handshake = null;
}

function releaseHandshake(table: IndexTable, { state, localIndex }: PendingHandshake): void {
  state.destroy();
  table.release(localIndex);
}

/** Zeroes all keys of a peer. */
export function dropSessions(table: IndexTable, peer: Peer): void {
  peer.endSteady();
  dropSucceeding(table, peer.successor);
  release(table, peer.previous);
  release(table, peer.current);
  release(table, peer.next);
  peer.previous = peer.current = peer.next = null;
}

/** Zeroes those of a key that was to come. */
export function dropSucceeding(table: IndexTable, successor: Successor | null): void {
  if (successor === null) return;
  release(table, successor.session);
  successor.session = null;
}

function install(table: IndexTable, peer: Peer, session: PeerSession): void {
  table.attach(session.localIndex, session);
  peer.renewalAsked = false;
}

function release(table: IndexTable, session: PeerSession | null): void {
  if (session === null) return;
  table.release(session.localIndex);
  session.destroy();
}
