/**
 * Store mirror: what a bucket's entries come to, as they arrive in the order of the bucket's revisions.
 *
 * A change of several entries is one write, the commit; its writer puts each entry behind it, and nobody commits before
 * that is done. So entries are as all commits before the last one have left them, and those of the last count by what
 * it says: at each commit, and at no other time, the table moves. A reader that has missed commits sees entries of one
 * that it does not know; they wait for the next.
 *
 * An entry that cannot be used is left out and takes nothing of others' with it: who has a name, or a network, keeps
 * it.
 */
import type { GroupSettings, PeerSettings } from "../peers/peer_settings.ts";
import type { StoredPeers } from "../peers/peer_store.ts";
import { BucketEntries } from "./bucket_entries.ts";
import { gatewayOfKey } from "./gateway_entries.ts";
import { TERM_KEY } from "./mesh/term_entry.ts";
import {
  type Commit,
  COMMIT_KEY,
  type EntryId,
  entryOfKey,
  type EntryValue,
  peerKey,
  readCommit,
  readEntry,
} from "./store_entries.ts";

/** As it comes from the bucket. */
export interface BucketEntry {
  readonly key: string;
  /** Null where it was deleted. */
  readonly value: Uint8Array | null;
  /** Grows with every write to the bucket. */
  readonly revision: number;
}

export interface StoreMirrorOptions {
  readonly maxPeers: number;
  /** The same for the same text, and no text can be told by it. */
  readonly hash: (text: string) => string;
  /** Is told of each entry that is left out, once for each reason. */
  readonly onLeftOut: (what: string, reason: string) => void;
}

/** Entries that are left out at which keys of others' programs are no longer remembered, nor told of. */
const MAX_LEFT_OUT = 1_000;

/** Bytes of entries for each peer that there may be: a few hundred are usual. */
const SIZE_FOR_PEER = 4_096;
/** The same of an entry of the gateways themselves; of a longer one, nothing is kept but that it is there. */
const MAX_GATEWAY_ENTRY = 4_096;
/** What of the store that is more than there may be is remembered by. */
const OVERFLOW = "";

/** Members of a group that cannot be read reach nothing: without its rules they might reach more than they may. */
const CLOSED_GROUP: GroupSettings = { Deny: "any" };

interface Placed<Settings> {
  readonly settings: Settings;
  readonly revision: string;
}

export class StoreMirror {
  readonly #options: StoreMirrorOptions;
  readonly #entries: BucketEntries;
  /** Keys whose entries have come since the table last moved. */
  #touched = new Set<string>();
  #commit: (Commit & { readonly revision: number }) | null = null;
  #isLoaded = false;
  /** Of the gateways themselves, by key. */
  readonly #gateways = new Map<string, BucketEntry>();

  readonly #peers = new Map<string, Placed<PeerSettings>>();
  readonly #groups = new Map<string, Placed<GroupSettings>>();
  /** Who has it, by public key. */
  readonly #names = new Map<string, string>();
  readonly #networks = new Map<string, string>();
  /** Peers that others stand in the way of, by public key. */
  readonly #waiting = new Map<string, PeerSettings>();
  /** Why an entry is left out, by key. */
  readonly #leftOut = new Map<string, string>();
  #snapshot: StoredPeers | null = null;

  constructor(options: StoreMirrorOptions) {
    this.#options = options;
    const { maxPeers } = options;
    this.#entries = new BucketEntries({ maxSize: maxPeers * SIZE_FOR_PEER, maxGone: 4 * maxPeers });
  }

  /** What there is; the same object until it changes. */
  get snapshot(): StoredPeers {
    return this.#snapshot ??= this.#taken();
  }

  /** The last commit; null where none was made. */
  get commit(): (Commit & { readonly revision: number }) | null {
    return this.#commit;
  }

  /** What there is of the gateways themselves, by key. */
  get gateways(): ReadonlyMap<string, BucketEntry> {
    return this.#gateways;
  }

  /** Entries that are left out. */
  get leftOut(): number {
    return this.#leftOut.size;
  }

  /** The revision of an entry, of one that is gone as well; 0 where there never was one, or it is not known. */
  revisionOf(key: string): number {
    return this.#entries.revisionOf(key);
  }

  /**
   * Takes an entry.
   *
   * @returns whether the table may have moved
   */
  take({ key, value, revision }: BucketEntry): boolean {
    if (key === COMMIT_KEY) return this.#takeCommit(value, revision);
    if (gatewayOfKey(key) !== null || key === TERM_KEY) {
      return this.#takeGateway({ key, value, revision });
    }
    const id = entryOfKey(key);
    if (id === null) {
      if (value === null) this.#leftOut.delete(key);
      // One who can write to the store could fill the memory with what is nobody's.
      else if (this.#leftOut.size < MAX_LEFT_OUT) {
        this.#leaveOut(key, `the key ${JSON.stringify(key.slice(0, 80))}`, "it is no key of ours");
      }
      return false;
    }
    if (revision <= this.revisionOf(key)) return false;
    this.#takeEntry(key, id, { value, revision });
    return false;
  }

  #takeEntry(
    key: string,
    id: EntryId,
    { value, revision }: Pick<BucketEntry, "value" | "revision">,
  ): void {
    const entries = this.#entries;
    if (value === null) {
      entries.remove(key, revision);
      // Who puts entries there only to take them out again leaves nothing behind.
      if (this.#isKnown(key, id)) this.#touched.add(key);
      else this.#touched.delete(key);
    } else if (entries.put(key, { revision, value: readEntry(id, value) }, value.length)) {
      this.#touched.add(key);
    } else {
      // What the table has of it, by the commit that it is of, stays.
      this.#touched.delete(key);
      this.#leaveOut(OVERFLOW, "what is too much", "the store has more than peers need");
    }
  }

  /** Whether the table, or what is said of it, has something of an entry. */
  #isKnown(key: string, id: EntryId): boolean {
    if (this.#leftOut.has(key)) return true;
    return id.kind === "group"
      ? this.#groups.has(id.name)
      : this.#peers.has(id.publicKey) || this.#waiting.has(id.publicKey);
  }

  #takeGateway({ key, value, revision }: BucketEntry): boolean {
    if (revision <= (this.#gateways.get(key)?.revision ?? 0)) return false;
    const isTooLong = value !== null && value.length > MAX_GATEWAY_ENTRY;
    this.#gateways.set(key, { key, value: isTooLong ? new Uint8Array() : value, revision });
    return this.#isLoaded;
  }

  /** All that was in the bucket has come: from now on the table moves by commits. */
  loaded(): void {
    this.#isLoaded = true;
    this.#move();
  }

  #takeCommit(value: Uint8Array | null, revision: number): boolean {
    if (revision <= (this.#commit?.revision ?? 0)) return false;
    const read = value === null ? null : readCommit(value);
    // What it was to change is in the entries sooner or later.
    if (read === null) this.#leaveOut(COMMIT_KEY, "the last change", "it cannot be read");
    else this.#leftOut.delete(COMMIT_KEY);
    this.#commit = { ...read ?? { id: "", recent: [], changes: new Map() }, revision };
    if (this.#isLoaded) this.#move();
    return this.#isLoaded;
  }

  /** Makes the table what entries and the last commit say. */
  #move(): void {
    const wanted = new Map<string, EntryValue | null>();
    const commit = this.#commit;
    for (const key of this.#touched) wanted.set(key, this.#entries.valueOf(key));
    this.#touched = new Set();
    for (const [key, value] of commit?.changes ?? []) wanted.set(key, value);
    const ids = Array.from(wanted, ([key, value]) => ({ key, id: entryOfKey(key)!, value }));
    // Groups before those who are in them; what is given up before it is taken.
    for (const { key, id, value } of ids) {
      if (id.kind === "group") this.#putGroup(key, id.name, value);
      else this.#release(id.publicKey);
    }
    for (const { key, id, value } of ids) {
      if (id.kind === "peer") this.#putPeer(key, id.publicKey, value);
    }
    this.#placeWaiting();
    this.#snapshot = null;
  }

  #putGroup(key: string, name: string, value: EntryValue | null): void {
    if (value === null) {
      this.#groups.delete(name);
      this.#leftOut.delete(key);
      // Who is still in it has no rules that are known.
      for (const [publicKey, { settings }] of this.#peers) {
        if (!groupsOf(settings).includes(name)) continue;
        this.#release(publicKey);
        this.#waiting.set(publicKey, settings);
      }
      return;
    }
    const { maxPeers } = this.#options;
    if (this.#groups.size >= maxPeers && !this.#groups.has(name)) {
      this.#leaveOut(
        key,
        `group ${name}`,
        `there are ${maxPeers} groups, the most that there may be`,
      );
      return;
    }
    if ("settings" in value) {
      this.#leftOut.delete(key);
      this.#groups.set(name, this.#placed({ kind: "group", name }, value.settings));
      return;
    }
    this.#leaveOut(key, `group ${name}`, `${value.problem}: its members reach nothing`);
    this.#groups.set(name, this.#placed({ kind: "group", name }, CLOSED_GROUP));
  }

  #putPeer(key: string, publicKey: string, value: EntryValue | null): void {
    this.#waiting.delete(publicKey);
    if (value === null) this.#leftOut.delete(key);
    else if ("problem" in value) this.#leaveOut(key, `peer ${publicKey}`, value.problem);
    else if (this.#waiting.size >= 2 * this.#options.maxPeers) {
      this.#leaveOut(key, `peer ${publicKey}`, "too many others are left out");
    } else this.#waiting.set(publicKey, value.settings);
  }

  #placeWaiting(): void {
    for (const [publicKey, settings] of this.#waiting) {
      const key = peerKey(publicKey);
      const obstacle = this.#obstacle(settings);
      if (obstacle !== null) {
        this.#leaveOut(key, `peer ${publicKey}`, obstacle);
        continue;
      }
      this.#leftOut.delete(key);
      this.#waiting.delete(publicKey);
      this.#peers.set(publicKey, this.#placed({ kind: "peer", publicKey }, settings));
      if (settings.Name !== undefined) this.#names.set(settings.Name, publicKey);
      for (const network of networksOf(settings)) this.#networks.set(network, publicKey);
    }
  }

  #obstacle(settings: PeerSettings): string | null {
    if (this.#peers.size >= this.#options.maxPeers) {
      return `there are ${this.#options.maxPeers} peers, the most that a gateway takes`;
    }
    if (settings.Name !== undefined && this.#names.has(settings.Name)) {
      return `the name ${settings.Name} is another's`;
    }
    const network = networksOf(settings).find((each) => this.#networks.has(each));
    if (network !== undefined) return `${network} is another's`;
    const group = groupsOf(settings).find((each) => !this.#groups.has(each));
    return group === undefined ? null : `there is no group ${group}`;
  }

  #release(publicKey: string): void {
    const placed = this.#peers.get(publicKey);
    if (placed === undefined) return;
    this.#peers.delete(publicKey);
    if (placed.settings.Name !== undefined) this.#names.delete(placed.settings.Name);
    for (const network of networksOf(placed.settings)) this.#networks.delete(network);
  }

  #placed<Settings extends object>(id: EntryId, settings: Settings): Placed<Settings> {
    return { settings, revision: this.#options.hash(JSON.stringify([id, settings])) };
  }

  #leaveOut(key: string, what: string, reason: string): void {
    if (this.#leftOut.get(key) === reason) return;
    const most = MAX_LEFT_OUT + 4 * this.#options.maxPeers;
    if (this.#leftOut.size >= most && !this.#leftOut.has(key)) return;
    this.#leftOut.set(key, reason);
    this.#options.onLeftOut(what, reason);
  }

  #taken(): StoredPeers {
    return {
      peers: new Map(Array.from(this.#peers, ([key, { settings }]) => [key, settings])),
      groups: new Map(Array.from(this.#groups, ([name, { settings }]) => [name, settings])),
      revision: `${this.#commit?.revision ?? 0}`,
      peerRevisions: new Map(Array.from(this.#peers, ([key, { revision }]) => [key, revision])),
      groupRevisions: new Map(Array.from(this.#groups, ([name, { revision }]) => [name, revision])),
    };
  }
}

function networksOf({ AllowedIPs }: PeerSettings): readonly string[] {
  return AllowedIPs?.split(", ") ?? [];
}

function groupsOf({ Groups }: PeerSettings): readonly string[] {
  return Groups?.split(", ") ?? [];
}
