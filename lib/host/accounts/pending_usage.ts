/** Pending usage: what peers have sent and received that is yet to be written, by day or hour, and peer. */
import type { PeerUsage } from "./account_store.ts";

export class PendingUsage {
  readonly #periods = new Map<number, Map<string, PeerUsage>>();
  readonly #kept: number;

  /** @param kept days, or hours, that are kept while they cannot be written */
  constructor(kept: number) {
    this.#kept = kept;
  }

  add(period: number, { peer, name, received, sent }: PeerUsage): void {
    const peers = this.#periods.get(period) ?? new Map<string, PeerUsage>();
    this.#periods.set(period, peers);
    const known = peers.get(peer);
    peers.set(peer, {
      peer,
      name,
      received: (known?.received ?? 0) + received,
      sent: (known?.sent ?? 0) + sent,
    });
  }

  /** A peer goes by another key from now on. */
  rename(from: string, to: string): void {
    for (const [period, peers] of this.#periods) {
      const usage = peers.get(from);
      if (usage === undefined) continue;
      peers.delete(from);
      this.add(period, { ...usage, peer: to });
    }
  }

  /** Bytes both ways of a peer in a day and those up to another; in all of them for null. */
  used(peer: string, days: { readonly first: number; readonly last: number } | null): number {
    let used = 0;
    for (const [period, peers] of this.#periods) {
      if (days !== null && (period < days.first || period > days.last)) continue;
      const { received = 0, sent = 0 } = peers.get(peer) ?? {};
      used += received + sent;
    }
    return used;
  }

  /** Takes out what there is, one day or hour after the other; what `take` throws leaves that one and the others. */
  takeEach(take: (period: number, peers: readonly PeerUsage[]) => void): void {
    for (const [period, peers] of this.#periods) {
      take(period, [...peers.values()]);
      this.#periods.delete(period);
    }
  }

  /** Forgets the oldest of too many. */
  bound(): void {
    for (const period of this.#periods.keys()) {
      if (this.#periods.size > this.#kept) this.#periods.delete(period);
    }
  }
}

/** What is of a key is another's from now on, which has nothing of its own. */
export function renameKey<Value>(all: Map<string, Value>, from: string, to: string): void {
  const value = all.get(from);
  all.delete(from);
  if (value !== undefined && !all.has(to)) all.set(to, value);
}
