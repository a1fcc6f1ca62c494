/**
 * Kill switches that stand without their client: which there are, and their take-over by the next client.
 *
 * A client that ends against its will leaves its table, and the entry in its journal, so that nothing leaves the host
 * in the clear. A person opens the host, by `vpn cleanup`, or by ending the client that has taken the block over.
 */
import { openLibc } from "../../../ffi/libc.ts";
import { inNamespace, namespaceExists } from "../../../ffi/netns.ts";
import { NoNftablesError } from "../../../ffi/netlink/nftables/nfnetlink.ts";
import { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import type {
  NftablesFamily,
  NftablesTable,
} from "../../../ffi/netlink/nftables/nftables_objects.ts";
import { SystemCallError } from "../../../ffi/errno.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import type { HostChange } from "../journal/host_change.ts";
import { hasIpv6 } from "../network/ipv6_presence.ts";
import {
  allJournals,
  type JournalFile,
  removeJournal,
  staleJournals,
  strikeOut,
} from "../journal/journal_files.ts";
import type { JournalEntry, JournalOwner } from "../journal/journal_text.ts";
import { currentNetworkNamespace, isGone, isSameNamespace } from "../journal/network_namespace.ts";
import { isAlive } from "../../process/process_identity.ts";

/** Of a kill switch's table. */
const FAMILIES: readonly NftablesFamily[] = ["inet", "ip"];

/** What a kill switch leaves in a journal. */
export type KillSwitchChange = Extract<HostChange, { kind: "kill-switch" }>;

/** A kill switch of a process that has ended. */
export interface StandingBlock {
  /** Its `pid` is 0 where no journal tells. */
  readonly owner: JournalOwner;
  readonly change: KillSwitchChange;
}

/** Those of this user, in all network namespaces. */
export function standingBlocks(): StandingBlock[] {
  const found = new Map<string, StandingBlock>();
  for (const { owner, changes } of staleJournals()) {
    for (const change of changes) {
      if (change.kind !== "kill-switch" || !stands(owner, change.table)) continue;
      found.set(`${owner.namespace} ${change.table.name}`, { owner, change });
    }
  }
  return [...found.values(), ...blocksWithoutJournal()];
}

/**
 * The table of both families. A kernel that was built without IPv6 has no such tables, and needs none.
 *
 * @throws {AppError} with exit code 5 where it has IPv6 all the same, which would then leave in the clear
 */
export function killSwitchTable(interfaceName: string, nftables: Nftables): NftablesTable {
  const name = `vpn_${interfaceName}_killswitch`;
  if (nftables.supports("inet")) return { family: "inet", name };
  if (!hasIpv6()) return { family: "ip", name };
  throw new AppError(
    "Cannot block the host: the kernel has no nftables tables of family inet, without which IPv6 would bypass the tunnel: " +
      "load or build nf_tables with NF_TABLES_INET, or set KillSwitch = off",
    { exitCode: ExitCode.privilege },
  );
}

/**
 * Kill switches of this network namespace that nobody has, and no journal: somebody has emptied `/run/vpn`, or it went
 * with a container that shared its network with this one.
 */
export function blocksWithoutJournal(): StandingBlock[] {
  const here = currentNetworkNamespace();
  const known = new Set(
    allJournals().filter(({ owner }) => isSameNamespace(owner, here)).flatMap(({ changes }) =>
      changes.flatMap((change) => change.kind === "kill-switch" ? [change.table.name] : [])
    ),
  );
  return unownedTables().flatMap((table) => {
    const [, interfaceName] = /^vpn_(.+)_killswitch$/.exec(table.name) ?? [];
    if (interfaceName === undefined || !FAMILIES.includes(table.family)) return [];
    if (known.has(table.name)) return [];
    const owner = { pid: 0, startTime: "", ...here, interfaceName };
    return [{ owner, change: { kind: "kill-switch", table, server: null } }];
  });
}

/** None where they may not be asked for. */
function unownedTables(): NftablesTable[] {
  try {
    using nftables = Nftables.open(openLibc(), { owned: false });
    return nftables.listTables({ unowned: true });
  } catch (error) {
    if (error instanceof SystemCallError && !error.isShortage) return [];
    throw error;
  }
}

/** One line that says what is closed, and what opens it. */
export function describeBlock({ owner: { interfaceName, pid } }: StandingBlock): string {
  const whose = pid === 0 ? "its journal is gone" : `process ${pid}, which has ended`;
  return `the kill switch of ${interfaceName} (${whose}) blocks this host: only loopback and ` +
    "DHCP can leave it: start its client again, or remove the block with `vpn cleanup`";
}

/** Those that close the network namespace of this thread. */
export function blocksHere(): StandingBlock[] {
  const here = currentNetworkNamespace();
  return standingBlocks().filter(({ owner }) => isSameNamespace(owner, here));
}

/** Whether a table is in the network namespace of this thread; where that may not be asked, it counts as there. */
function isTableThere({ family, name }: NftablesTable): boolean {
  try {
    using nftables = Nftables.open(openLibc(), { owned: false });
    return nftables.listTables().some((table) => table.family === family && table.name === name);
  } catch (error) {
    if (error instanceof NoNftablesError) return false;
    if (error instanceof SystemCallError) return true;
    throw error;
  }
}

/** Takes a table that is another process's by now out of the journals of those that have ended. */
export function forgetBlocks({ family, name }: NftablesTable): void {
  const here = currentNetworkNamespace();
  const isIt = ({ change }: JournalEntry) =>
    change.kind === "kill-switch" && change.table.family === family && change.table.name === name;
  for (const { path, owner, entries } of staleJournals()) {
    if (!isSameNamespace(owner, here)) continue;
    for (const entry of entries.filter(isIt)) strikeOut(path, entry);
    if (entries.every(isIt)) removeJournal(path);
  }
}

/** Whether a process that lives has the table by now. */
function isTakenOver(from: JournalOwner, { family, name }: NftablesTable): boolean {
  return allJournals().some(({ owner, changes }) =>
    isAlive(owner) && isSameNamespace(owner, from) &&
    changes.some((change) =>
      change.kind === "kill-switch" && change.table.family === family && change.table.name === name
    )
  );
}

/** What a journal has beside the kill switches that stand: those stay until a person opens the host. */
export function isNoStandingBlock({ owner }: JournalFile, change: HostChange): boolean {
  return change.kind !== "kill-switch" || !stands(owner, change.table);
}

function stands(owner: JournalOwner, table: NftablesTable): boolean {
  if (isTakenOver(owner, table)) return false;
  if (isSameNamespace(owner, currentNetworkNamespace())) return isTableThere(table);
  if (isGone(owner)) return false;
  const { netns } = owner;
  if (netns === undefined || !namespaceExists(netns)) return true;
  try {
    return inNamespace(netns, () => isTableThere(table));
  } catch (error) {
    // To enter a namespace takes more rights than to see that it is there.
    if (error instanceof SystemCallError) return true;
    throw error;
  }
}
