/**
 * Store file: what a gateway knows of its fleet's peers, kept for a start without the store, and when it was last
 * heard from. The file has preshared keys: it is its owner's alone, and at every moment there whole or not at all.
 */
import { decodeKey } from "../../core/config/values/key_text.ts";
import {
  COMMIT_KEY,
  commitBytes,
  entryBytes,
  groupKey,
  peerKey,
} from "../../core/fleet/store_entries.ts";
import type { StoreMirror } from "../../core/fleet/store_mirror.ts";
import type { GroupSettings, PeerSettings } from "../../core/peers/peer_settings.ts";
import type { StoredPeers } from "../../core/peers/peer_store.ts";
import { MAX_PEERS } from "../../core/limits/max_peers.ts";
import { errorMessage } from "../../process/errors.ts";
import { newMirror } from "./shared_peer_store.ts";
import { readRegular } from "../files/bounded_read.ts";
import { createKeyFile } from "../files/config_store.ts";

const VERSION = 1;
/** Bytes: four times what a gateway's peers have at most. */
const MAX_SIZE = 64 * 1024 * 1024;

export interface KeptPeers {
  readonly peers: StoredPeers;
  /** When the store was last heard from, Unix ms. */
  readonly contact: number;
}

export class StoreFile {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /**
   * What was kept; null where there is nothing that can be used, with the reason where there is a file.
   */
  read(): KeptPeers | { readonly problem: string } | null {
    try {
      const { bytes, modified } = readRegular(this.path, MAX_SIZE);
      const kept = JSON.parse(new TextDecoder().decode(bytes));
      if (kept?.version !== VERSION) return { problem: "another version has written it" };
      const { revision, contact, groups, peers } = kept;
      const mirror = newMirror(MAX_PEERS, () => {});
      fill(mirror, { groups, peers });
      return {
        peers: { ...mirror.snapshot, revision: String(revision) },
        contact: Math.max(Number.isFinite(contact) ? contact : 0, modified),
      };
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      return { problem: errorMessage(error) };
    }
  }

  /** @throws {AppError} */
  write({ peers: { revision, groups, peers }, contact }: KeptPeers): void {
    const kept = {
      version: VERSION,
      revision,
      contact,
      groups: Object.fromEntries(groups),
      peers: Object.fromEntries(peers),
    };
    const content = new TextEncoder().encode(JSON.stringify(kept));
    createKeyFile({ path: this.path, content, overwrite: true, withFolder: true });
  }

  /** Says that the store was heard from at this time, Unix ms, with all that is kept as it is. */
  touch(contact: number): void {
    Deno.utimeSync(this.path, new Date(contact), new Date(contact));
  }
}

function fill(
  mirror: StoreMirror,
  { groups, peers }: {
    readonly groups: Readonly<Record<string, GroupSettings>>;
    readonly peers: Readonly<Record<string, PeerSettings>>;
  },
): void {
  let revision = 0;
  for (const [name, settings] of Object.entries(groups)) {
    mirror.take({ key: groupKey(name), value: entryBytes(settings), revision: ++revision });
  }
  for (const [key, settings] of Object.entries(peers)) {
    if (decodeKey(key) === null) continue;
    mirror.take({ key: peerKey(key), value: entryBytes(settings), revision: ++revision });
  }
  const nothing = commitBytes({ id: "", recent: [], changes: new Map() });
  mirror.take({ key: COMMIT_KEY, value: nothing, revision: ++revision });
  mirror.loaded();
}
