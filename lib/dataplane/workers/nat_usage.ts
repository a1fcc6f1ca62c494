/**
 * NAT usage: what peers hold of the NAT, as each packet worker writes it into shared memory, for the statistics. A peer
 * is one worker's; what another still has of its time there counts all the same.
 */
import { MAX_PEERS } from "../../core/limits/max_peers.ts";
import type { NatUsage } from "../../core/nat/records.ts";

/** What a peer holds, and how many of its packets were refused as it had no room left. */
export type PeerNatUsage = NatUsage & { readonly refused: number };

/** Words of a peer, by its index: ports, sessions, packets refused. */
const WORDS = 3;

/** Bytes for one worker. */
export const NAT_USAGE_SIZE: number = 4 * WORDS * (MAX_PEERS + 1);

/** Writes what each peer holds; all others hold nothing. */
export function writeNatUsage<Peer extends { readonly index: number }>(
  memory: SharedArrayBuffer,
  peers: Iterable<Peer>,
  usageOf: (peer: Peer) => PeerNatUsage,
): void {
  const words = new Int32Array(memory).fill(0);
  for (const peer of peers) {
    const { ports, sessions, refused } = usageOf(peer);
    words.set([ports, sessions, refused], peer.index * WORDS);
  }
}

/** What the peer with this index holds at all workers. */
export function readNatUsage(
  memories: readonly SharedArrayBuffer[],
  peerIndex: number,
): PeerNatUsage {
  const sum = [0, 0, 0];
  for (const memory of memories) {
    const words = new Int32Array(memory, 4 * WORDS * peerIndex, WORDS);
    for (let i = 0; i < WORDS; i++) sum[i] += words[i];
  }
  const [ports, sessions, refused] = sum;
  return { ports, sessions, refused };
}
