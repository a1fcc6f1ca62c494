/** Peer update: what becomes of a device's peers by their configuration: settings, and which key each has. */
import { constantTimeEqual } from "../noise/constant_time.ts";
import type { HandshakeDriver } from "./handshake/handshake_driver.ts";
import type { Peer, PeerOptions } from "./peer.ts";
import type { PeerTable } from "./peer_table.ts";

export interface PeerUpdateParts {
  readonly peers: PeerTable;
  readonly handshakes: HandshakeDriver;
  /** Takes from a peer its sessions and its place. */
  readonly release: (peer: Peer) => void;
}

/**
 * Adds a peer. Its allowed IPs are taken from any peer that had them, as WireGuard does. A key that one is to have
 * becomes that one's.
 *
 * @throws {RangeError} when the public key is already a peer's, or there are too many peers
 */
export function addOrReplace(options: PeerOptions, now: number, parts: PeerUpdateParts): Peer {
  const peer = parts.peers.bySuccessor(options.publicKey);
  if (peer === null) return parts.peers.add(options, now);
  updatePeer(peer, options, now, parts);
  return peer;
}

/**
 * Updates a peer, see `PeerTable.update()`. Its session stays, unless it is to have another public key than it has by
 * now: a configuration of before its next key took over says nothing else than what holds.
 */
export function updatePeer(
  peer: Peer,
  options: PeerOptions,
  now: number,
  { peers, handshakes, release }: PeerUpdateParts,
): void {
  const { publicKey, nextKey = null } = options;
  if (nextKey !== null && constantTimeEqual(nextKey.publicKey, peer.publicKey)) {
    peers.update(peer, { ...options, ...nextKey }, now);
    return;
  }
  if (!constantTimeEqual(publicKey, peer.publicKey)) {
    release(peer);
    handshakes.setSuccessor(peer, options);
    peers.succeed(peer, peer.successor!);
  }
  peers.forgetFormerKey(peer);
  handshakes.setSuccessor(peer, nextKey);
  peers.update(peer, options, now);
}
