/**
 * Owns the three key slots of a peer: how a new session comes in, is confirmed, takes over and goes.
 *
 * The rules are the reference implementation's: the initiator may use a new key at once, the responder only when the first
 * packet under it has shown that the initiator has it; what was current serves as previous for packets under way.
 */
import type { IndexTable } from "./index_table.ts";
import type { Keypair } from "./keypair.ts";
import type { Peer } from "./peer.ts";

/** Puts the session that we initiated in use. */
export function installInitiated(table: IndexTable, peer: Peer, keypair: Keypair): void {
  if (peer.next !== null) {
    // We answered the peer's handshake too; the older session goes, so that no more than three are kept.
    release(table, peer.current);
    release(table, peer.previous);
    peer.previous = peer.next;
    peer.next = null;
  } else {
    release(table, peer.previous);
    peer.previous = peer.current;
  }
  install(table, keypair);
  peer.current = keypair;
}

/** Keeps the session that the peer initiated until a packet under it arrives. */
export function installResponded(table: IndexTable, peer: Peer, keypair: Keypair): void {
  release(table, peer.next);
  release(table, peer.previous);
  peer.previous = null;
  install(table, keypair);
  peer.next = keypair;
}

/**
 * Takes note of an authenticated packet under `keypair`.
 *
 * @returns true when this confirmed the next session, which is now the current one
 */
export function confirm(table: IndexTable, peer: Peer, keypair: Keypair): boolean {
  if (keypair !== peer.next) return false;
  release(table, peer.previous);
  peer.previous = peer.current;
  peer.current = keypair;
  peer.next = null;
  return true;
}

/** Ends a handshake of ours, if one is under way, and zeroes its secrets. */
export function dropHandshake(table: IndexTable, peer: Peer): void {
  if (peer.handshake === null) return;
  peer.handshake.state.destroy();
  table.release(peer.handshake.localIndex);
  peer.handshake = null;
}

/** Zeroes all keys of a peer. */
export function dropSessions(table: IndexTable, peer: Peer): void {
  release(table, peer.previous);
  release(table, peer.current);
  release(table, peer.next);
  peer.previous = peer.current = peer.next = null;
}

function install(table: IndexTable, keypair: Keypair): void {
  table.attach(keypair.localIndex, keypair);
  keypair.peer.renewalAsked = false;
}

function release(table: IndexTable, keypair: Keypair | null): void {
  if (keypair === null) return;
  table.release(keypair.localIndex);
  keypair.destroy();
}
