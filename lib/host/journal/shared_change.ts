/**
 * Shared changes: what several instances on one host have in common, as a sysctl that two of them need or a port that
 * both keep. Whoever ends last takes it back.
 */
import type { NftablesTable } from "../../../ffi/netlink/nftables/nftables_objects.ts";
import { type HostChange, undoChange, withoutPorts } from "./host_change.ts";
import { allJournals } from "./journal_files.ts";
import type { JournalOwner } from "./journal_text.ts";
import { currentNetworkNamespace, isSameNamespace } from "./network_namespace.ts";
import { isAlive } from "../../process/process_identity.ts";

/** A change of another process. */
export interface OthersChange<Kind extends HostChange["kind"]> {
  readonly owner: JournalOwner;
  readonly change: Extract<HostChange, { kind: Kind }>;
}

/** The changes of one kind that other living processes have made in this network namespace. */
export function changesOfOthers<Kind extends HostChange["kind"]>(
  kind: Kind,
  ownJournal: string,
): OthersChange<Kind>[] {
  const namespace = currentNetworkNamespace();
  return allJournals()
    .filter(({ path, owner }) =>
      path !== ownJournal && isSameNamespace(owner, namespace) && isAlive(owner)
    )
    .flatMap(({ owner, changes }) =>
      changes.flatMap((change) =>
        change.kind === kind
          ? [{ owner, change: change as Extract<HostChange, { kind: Kind }> }]
          : []
      )
    );
}

/** A change that several processes may have made, by what they then have in common. */
type Shared =
  | { readonly kind: "sysctl" | "directory" | "socket"; readonly path: string }
  | { readonly kind: "resolv-conf"; readonly path: string; readonly directory: string }
  | { readonly kind: "nftables-table" | "kill-switch"; readonly table: NftablesTable };

/**
 * The like change of another living process. For those that belong to a network namespace, it is one of this namespace.
 */
export function otherHolder<Wanted extends Shared>(
  wanted: Wanted,
  ownJournal: string,
): Extract<HostChange, { kind: Wanted["kind"] }> | undefined {
  const namespace = currentNetworkNamespace();
  const isOfNamespace = wanted.kind === "sysctl" || "table" in wanted;
  for (const { path, owner, changes } of allJournals()) {
    if (path === ownJournal || !isAlive(owner)) continue;
    if (isOfNamespace && !isSameNamespace(owner, namespace)) continue;
    const like = changes.find((change) => isLike(change, wanted));
    if (like !== undefined) return like as Extract<HostChange, { kind: Wanted["kind"] }>;
  }
  return undefined;
}

/** Whether another process has noted a directory as its own making, one that is dead and not undone included. */
export function isOthersDirectory(path: string, ownJournal: string): boolean {
  return allJournals().some((journal) =>
    journal.path !== ownJournal &&
    journal.changes.some((change) => isLike(change, { kind: "directory", path }))
  );
}

function isLike(change: HostChange, wanted: Shared): boolean {
  if ("table" in wanted) {
    if (change.kind !== "nftables-table" && change.kind !== "kill-switch") return false;
    const { family, name } = wanted.table;
    return change.kind === wanted.kind && change.table.family === family &&
      change.table.name === name;
  }
  if (change.kind === "resolv-conf" && wanted.kind === "resolv-conf") {
    return change.path === wanted.path && change.directory === wanted.directory;
  }
  return change.kind === wanted.kind && "path" in change && "path" in wanted &&
    change.path === wanted.path;
}

/**
 * Undoes a change, but leaves to another living process what it has in common with that.
 *
 * @param ownJournal of the process that made the change; empty where it is gone
 */
export function undoUnlessHeld(change: HostChange, ownJournal: string): void {
  switch (change.kind) {
    case "sysctl":
    case "socket":
    case "nftables-table":
    case "kill-switch":
      if (otherHolder(change, ownJournal) === undefined) undoChange(change);
      break;
    case "resolv-conf":
      undoChange(change, otherHolder(change, ownJournal));
      break;
    case "reserved-ports": {
      const held = changesOfOthers(change.kind, ownJournal).flatMap((other) => other.change.ranges);
      undoChange({ ...change, ranges: withoutPorts(change.ranges, held) });
      break;
    }
    default:
      undoChange(change);
  }
}
