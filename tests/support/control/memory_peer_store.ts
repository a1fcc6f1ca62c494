/** A peer store in memory, for tests of what is done with one; it can be made to fail. */
import {
  changedTable,
  type PeerStore,
  type StoreChange,
  type StoredPeers,
  type StoreOutcome,
  type StoreTable,
} from "../../../lib/core/peers/peer_store.ts";

export class MemoryPeerStore implements PeerStore {
  /** What a write says in place of being made, once it was accepted. */
  failure: Error | null = null;
  #table: StoreTable = { peers: new Map(), groups: new Map() };
  readonly #revisions = new Map<string, string>();
  #count = 0;
  readonly #listeners = new Set<(snapshot: StoredPeers) => void>();
  #last: Promise<unknown> = Promise.resolve();

  snapshot(): Promise<StoredPeers> {
    const of = (kind: string, all: ReadonlyMap<string, unknown>) =>
      new Map(Array.from(all.keys(), (id) => [id, this.#revisions.get(`${kind} ${id}`)!]));
    return Promise.resolve({
      ...this.#table,
      revision: `${this.#count}`,
      peerRevisions: of("peer", this.#table.peers),
      groupRevisions: of("group", this.#table.groups),
    });
  }

  watch(onChange: (snapshot: StoredPeers) => void): Disposable {
    this.#listeners.add(onChange);
    return { [Symbol.dispose]: () => void this.#listeners.delete(onChange) };
  }

  change(
    make: (before: StoredPeers) => readonly StoreChange[],
    accept: (outcome: StoreOutcome) => Promise<void> = () => Promise.resolve(),
  ): Promise<StoredPeers> {
    const made = this.#last.then(async () => {
      const before = await this.snapshot();
      const after = changedTable(before, make(before));
      await accept({ before, after });
      if (this.failure !== null) throw this.failure;
      if (isSame(before, after)) return before;
      this.#count++;
      this.#mark("peer", before.peers, after.peers);
      this.#mark("group", before.groups, after.groups);
      this.#table = after;
      const snapshot = await this.snapshot();
      for (const tell of this.#listeners) tell(snapshot);
      return snapshot;
    });
    this.#last = made.catch(() => {});
    return made;
  }

  #mark(
    kind: string,
    before: ReadonlyMap<string, unknown>,
    after: ReadonlyMap<string, unknown>,
  ): void {
    for (const [id, settings] of after) {
      if (JSON.stringify(settings) === JSON.stringify(before.get(id))) continue;
      this.#revisions.set(`${kind} ${id}`, `${this.#count}`);
    }
  }
}

function isSame(one: StoreTable, other: StoreTable): boolean {
  const text = ({ peers, groups }: StoreTable) => JSON.stringify([[...peers], [...groups]]);
  return text(one) === text(other);
}
