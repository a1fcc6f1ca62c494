/**
 * Shared peer store: peers that several gateways have in common, in a bucket that a server keeps.
 *
 * What is read is a mirror in memory, so that all goes on without the server; what is written waits for the server's
 * word. A change of any number of entries is one write, by the revision that it was made from (store_mirror.ts): of
 * two writers one has to look again.
 */
import { createHash, randomUUID } from "node:crypto";
import { RefusalError } from "../../core/config/refusal_error.ts";
import {
  type Commit,
  COMMIT_KEY,
  commitBytes,
  entryBytes,
  type EntryValue,
  groupKey,
  MAX_COMMIT_SIZE,
  peerKey,
  RECENT_COMMITS,
} from "../../core/fleet/store_entries.ts";
import { type BucketEntry, StoreMirror } from "../../core/fleet/store_mirror.ts";
import {
  changedTable,
  type PeerStore,
  type StoreChange,
  type StoredPeers,
  type StoreOutcome,
  type StoreTable,
} from "../../core/peers/peer_store.ts";
import { background, guarded } from "../../process/guard.ts";
import type { Logger } from "../../process/logging.ts";
import type { StoreBucket } from "./store_bucket.ts";
import { StoreLink, type StoreState } from "./store_link.ts";

/** ms until a change that was written has come back, or one whose answer was lost. */
const ECHO_TIMEOUT = 5_000;
/** Writers that may be in each other's way before one gives up; ms that each waits for what the other has written. */
const ATTEMPTS = 20;
const OTHER_TIMEOUT = 2_000;
/** Entries that are written at once. */
const WRITES_AT_ONCE = 64;

export interface SharedPeerStoreOptions {
  /** Reaches the bucket. @throws {Error} with the reason */
  readonly open: () => Promise<StoreBucket>;
  readonly maxPeers: number;
  /** What was there last, where that is known. */
  readonly kept: StoredPeers | null;
  readonly logger: Logger;
  /** ms; those of a gateway, if left out. */
  readonly pauses?: { readonly first: number; readonly longest: number; readonly probe: number };
}

interface Waiter {
  readonly revision: number;
  readonly resolve: (snapshot: StoredPeers) => void;
}

export class SharedPeerStore implements PeerStore, AsyncDisposable {
  readonly #options: SharedPeerStoreOptions;
  readonly #link: StoreLink;
  #mirror: StoreMirror | null = null;
  #known: StoredPeers | null;
  readonly #listeners = new Set<(snapshot: StoredPeers) => void>();
  #waiters: Waiter[] = [];
  #last: Promise<unknown> = Promise.resolve();
  /** The entries of the last change that was made here. */
  #settling: Promise<unknown> = Promise.resolve();
  /** What was said of entries that are left out: another mirror finds them again. */
  readonly #told = new Set<string>();

  constructor(options: SharedPeerStoreOptions) {
    this.#options = options;
    this.#known = options.kept;
    this.#link = new StoreLink({
      ...options,
      newMirror: () =>
        newMirror(options.maxPeers, (what, reason) => this.#tellLeftOut(what, reason)),
      onLoaded: (mirror) => {
        this.#mirror = mirror;
        this.#moved();
      },
      onMoved: () => this.#moved(),
    });
  }

  /** How the server is reached. */
  get state(): StoreState {
    return { ...this.#link.state, leftOut: this.#mirror?.leftOut ?? 0 };
  }

  /** What there is by what is known; null where nothing ever was. */
  get known(): StoredPeers | null {
    return this.#known;
  }

  /** What there is of the fleet's gateways, by key; null before the store was reached. */
  get gateways(): ReadonlyMap<string, BucketEntry> | null {
    return this.#mirror?.gateways ?? null;
  }

  /**
   * Writes an entry of the gateways.
   *
   * @param value null to delete it
   * @param expected the revision that it has; 0: there never was one
   * @returns its revision now; null where it had another
   * @throws {Error} where it is not known whether it is written
   */
  async putGateway(
    key: string,
    value: Uint8Array<ArrayBuffer> | null,
    expected: number,
  ): Promise<number | null> {
    return await this.#open().bucket.put(key, value, expected);
  }

  /**
   * Waits until it has been read.
   *
   * @param timeout ms
   * @throws {RefusalError} where that takes longer
   */
  async reached(timeout: number): Promise<StoredPeers> {
    if (!await this.#link.connected(timeout)) throw this.#unavailable("read the peers");
    return this.#known!;
  }

  snapshot(): Promise<StoredPeers> {
    if (this.#known !== null) return Promise.resolve(this.#known);
    return Promise.reject(this.#unavailable("read the peers"));
  }

  watch(onChange: (snapshot: StoredPeers) => void): Disposable {
    const tell = guarded("control", "following the store", onChange);
    this.#listeners.add(tell);
    return {
      [Symbol.dispose]: () => {
        this.#listeners.delete(tell);
      },
    };
  }

  change(
    make: (before: StoredPeers) => readonly StoreChange[],
    accept: (outcome: StoreOutcome) => Promise<void> = () => Promise.resolve(),
  ): Promise<StoredPeers> {
    const made = this.#last.then(async () => {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const after = await this.#attempt(make, accept);
        if (after !== null) return after;
      }
      throw new RefusalError(
        "revision",
        "Cannot change the peers: others change them all the time: try again",
      );
    });
    this.#last = made.catch(() => {});
    return made;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#last;
    await this.#settling.catch(() => {});
    await this.#link[Symbol.asyncDispose]();
  }

  /** @returns all that is kept after the change; null where another has written meanwhile */
  async #attempt(
    make: (before: StoredPeers) => readonly StoreChange[],
    accept: (outcome: StoreOutcome) => Promise<void>,
  ): Promise<StoredPeers | null> {
    const { bucket, mirror } = this.#open();
    const before = mirror.snapshot;
    const last = mirror.commit;
    const after = changedTable(before, make(before));
    if (after.peers.size > this.#options.maxPeers) {
      throw new RefusalError(
        "refused",
        `Cannot add the peer: there would be ${after.peers.size} peers, and ${this.#options.maxPeers} at most: ` +
          "remove one first",
      );
    }
    const changes = changesOf(before, after);
    const commit: Commit = {
      id: randomUUID(),
      recent: last === null ? [] : [last.id, ...last.recent].slice(0, RECENT_COMMITS),
      changes,
    };
    const bytes = commitBytes(commit);
    if (bytes.length > MAX_COMMIT_SIZE) {
      throw new RefusalError(
        "refused",
        "Cannot change so many peers at once: they do not fit one message to the store: change fewer at a time",
      );
    }
    await accept({ before, after });
    if (changes.size === 0) return before;
    let revision: number | null;
    try {
      // The writer of the last change may not have come to the end of it.
      if (last !== null) await settle(bucket, mirror, last);
      revision = await bucket.put(COMMIT_KEY, bytes, last?.revision ?? 0);
    } catch (error) {
      return await this.#find(commit.id, error);
    }
    if (revision === null) {
      // What the other has written is on its way; what was settled may have been another's already.
      await this.#until((last?.revision ?? 0) + 1, OTHER_TIMEOUT);
      return null;
    }
    this.#settling = settle(bucket, mirror, { ...commit, revision });
    background("control", "writing peers to the store", this.#settling);
    const echoed = await this.#until(revision, ECHO_TIMEOUT);
    if (echoed === null) throw this.#unsure();
    return echoed;
  }

  #open(): { readonly bucket: StoreBucket; readonly mirror: StoreMirror } {
    const { bucket } = this.#link;
    if (bucket === null || this.#mirror === null) throw this.#unavailable("change the peers");
    return { bucket, mirror: this.#mirror };
  }

  /** A change that was written, or not: the server's answer is lost. */
  async #find(id: string, error: unknown): Promise<StoredPeers> {
    const isMade = () => {
      const commit = this.#mirror?.commit ?? null;
      return commit !== null && (commit.id === id || commit.recent.includes(id));
    };
    const end = performance.now() + ECHO_TIMEOUT;
    for (let left = ECHO_TIMEOUT; left > 0; left = end - performance.now()) {
      if (isMade()) return this.#known!;
      await this.#until((this.#mirror?.commit?.revision ?? 0) + 1, left);
    }
    throw this.#unsure(error);
  }

  /** Waits until a commit of this revision, or a later one, has come; null where none does. */
  async #until(revision: number, timeout: number): Promise<StoredPeers | null> {
    if ((this.#mirror?.commit?.revision ?? 0) >= revision) return this.#known;
    const { promise, resolve } = Promise.withResolvers<StoredPeers | null>();
    const waiter = { revision, resolve };
    this.#waiters.push(waiter);
    const timer = setTimeout(() => resolve(null), timeout);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiters = this.#waiters.filter((each) => each !== waiter);
    }
  }

  /** The mirror has moved, or is another. */
  #moved(): void {
    const mirror = this.#mirror;
    if (mirror === null) return;
    const snapshot = this.#known = mirror.snapshot;
    for (const { revision, resolve } of this.#waiters) {
      if ((mirror.commit?.revision ?? 0) >= revision) resolve(snapshot);
    }
    for (const tell of this.#listeners) tell(snapshot);
  }

  #unavailable(action: string): RefusalError {
    const { problem } = this.#link.state;
    return new RefusalError(
      "unavailable",
      `Cannot ${action}: the store cannot be reached${problem === null ? "" : `: ${problem}`}: ` +
        "gateways continue with the peers that they know: try again when it is back",
    );
  }

  #unsure(cause?: unknown): RefusalError {
    return new RefusalError(
      "unavailable",
      "Cannot say whether the change is made: the store has not answered: read the list of peers when it is back",
      { cause },
    );
  }

  #tellLeftOut(what: string, reason: string): void {
    const text = `${what}: ${reason}`;
    // One who can write to the store could fill the memory by it.
    if (this.#told.has(text) || this.#told.size >= 1_000) return;
    this.#told.add(text);
    this.#options.logger.warn("store: {what} is left out: {reason}", { what, reason });
  }
}

/** Entries that differ, with what they are to be. */
function changesOf(before: StoreTable, after: StoreTable): ReadonlyMap<string, EntryValue | null> {
  const changes = new Map<string, EntryValue | null>();
  const compare = <Settings extends object>(
    one: ReadonlyMap<string, Settings>,
    other: ReadonlyMap<string, Settings>,
    keyOf: (id: string) => string,
  ) => {
    for (const id of one.keys()) if (!other.has(id)) changes.set(keyOf(id), null);
    for (const [id, settings] of other) {
      const earlier = one.get(id);
      if (earlier === settings || JSON.stringify(earlier) === JSON.stringify(settings)) continue;
      changes.set(keyOf(id), { settings });
    }
  };
  compare(before.groups, after.groups, groupKey);
  compare(before.peers, after.peers, peerKey);
  return changes;
}

/** Puts the entries that a commit is about, but those that are there already, or are a later commit's. */
async function settle(
  bucket: StoreBucket,
  mirror: StoreMirror,
  { changes, revision }: Commit & { readonly revision: number },
): Promise<void> {
  const open = Array.from(changes).filter(([key]) => mirror.revisionOf(key) < revision);
  for (let first = 0; first < open.length; first += WRITES_AT_ONCE) {
    const part = open.slice(first, first + WRITES_AT_ONCE);
    await Promise.all(
      part.map(([key, value]) =>
        settleEntry(bucket, { key, value, known: mirror.revisionOf(key) }, revision)
      ),
    );
  }
}

async function settleEntry(
  bucket: StoreBucket,
  { key, value, known }: {
    readonly key: string;
    readonly value: EntryValue | null;
    readonly known: number;
  },
  commit: number,
): Promise<void> {
  // What could not be read here is put back by its writer.
  if (value !== null && "problem" in value) return;
  const bytes = value === null ? null : entryBytes(value.settings);
  for (let expected = known; expected < commit;) {
    if (bytes === null && expected === 0) return;
    if (await bucket.put(key, bytes, expected) !== null) return;
    expected = await bucket.revisionOf(key);
  }
}

/** A mirror with nothing in it. */
export function newMirror(
  maxPeers: number,
  onLeftOut: (what: string, reason: string) => void,
): StoreMirror {
  return new StoreMirror({ maxPeers, hash, onLeftOut });
}

/** 132 bits of a hash; one who knows it cannot tell a secret in the text by it. */
function hash(text: string): string {
  return createHash("sha256").update(text).digest("base64url").slice(0, 22);
}
