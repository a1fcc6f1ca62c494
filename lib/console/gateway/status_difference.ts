/** Status difference: what of a gateway's status has changed since it was told last, and nothing else. */
import type { PeerStatus, Status } from "../../control/status.ts";

/** Members without an entry are left out. */
export interface StatusDifference {
  /** When the later one was true: RFC 3339, UTC. */
  readonly time: string;
  readonly status?: Partial<Omit<Status, "peers" | "time">>;
  /** Of peers that are in both, by public key. */
  readonly peers?: Readonly<Record<string, Partial<PeerStatus>>>;
  readonly added?: readonly PeerStatus[];
  /** Public keys. */
  readonly removed?: readonly string[];
}

/** Null where nothing has changed but the time. */
export function differenceOf(before: Status, after: Status): StatusDifference | null {
  const { peers: peersBefore, time: _time, ...restBefore } = before;
  const { peers: peersAfter, time, ...restAfter } = after;
  const status = changedMembers(restBefore, restAfter);
  const known = new Map(peersBefore.map((peer) => [peer.publicKey, peer]));
  const peers: Record<string, Partial<PeerStatus>> = {};
  const added: PeerStatus[] = [];
  for (const peer of peersAfter) {
    const earlier = known.get(peer.publicKey);
    known.delete(peer.publicKey);
    if (earlier === undefined) added.push(peer);
    else {
      const changed = changedMembers(earlier, peer);
      if (changed !== null) peers[peer.publicKey] = changed;
    }
  }
  const removed = [...known.keys()];
  const difference: Omit<StatusDifference, "time"> = {
    ...(status === null ? {} : { status }),
    ...(Object.keys(peers).length === 0 ? {} : { peers }),
    ...(added.length === 0 ? {} : { added }),
    ...(removed.length === 0 ? {} : { removed }),
  };
  return Object.keys(difference).length === 0 ? null : { time, ...difference };
}

function changedMembers<Type extends object>(before: Type, after: Type): Partial<Type> | null {
  const changed: Partial<Type> = {};
  let isChanged = false;
  for (const name of Object.keys(after) as (keyof Type)[]) {
    if (isSame(before[name], after[name])) continue;
    changed[name] = after[name];
    isChanged = true;
  }
  return isChanged ? changed : null;
}

/** Of plain data. */
function isSame(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) {
    return false;
  }
  return JSON.stringify(one) === JSON.stringify(other);
}
