/** Lost changes: what killed runs left on the host and no journal names, found by its own marks. */
import { AF_INET } from "../../ffi/socket_constants.ts";
import type { NftablesTable } from "../../ffi/netlink/nftables/nftables_objects.ts";
import { closingTables, lostTables } from "../host/firewall/lost_tables.ts";
import {
  describeChange,
  type HostChange,
  type SysctlChange,
  undoChange,
} from "../host/journal/host_change.ts";
import { withJournalsLockedIfPossible } from "../host/journal/journal_files.ts";
import { otherHolder } from "../host/journal/shared_change.ts";
import { FORWARDING_SWITCHES } from "../host/network/forwarding_switch.ts";
import { lostRouting, type RoutingChange } from "../host/network/lost_routing.ts";
import { readSysctl, sysctlName } from "../host/network/sysctl.ts";
import type { Undoing } from "./undoing.ts";

/** Those that a tunnel sets, with what the kernel has where nobody has set them. */
const SYSCTLS = [
  ["/proc/sys/net/ipv4/conf/all/src_valid_mark", "0"],
  ["/proc/sys/net/ipv4/ip_local_reserved_ports", ""],
  ["/proc/sys/net/ipv4/ip_forward", "0"],
  ["/proc/sys/net/ipv6/conf/all/forwarding", "0"],
] as const;

/**
 * Undoes what is certain to be of tunnels of this network namespace that have ended.
 *
 * @returns how many changes
 */
export function undoLost(undoing: Undoing): number {
  const before = undoing.lines.length;
  // Between looking and undoing, none may start.
  withJournalsLockedIfPossible(() => {
    const { changes, isDoubtful } = lostRouting();
    const tables = lostTables().ours;
    const found: HostChange[] = [
      ...tables.map((table): HostChange => ({ kind: "nftables-table", table })),
      // In front of the tables, which keep the host from being an open router: it would stay one.
      ...closingTables(tables).flatMap(switchOf),
      ...isDoubtful ? [] : changes,
    ];
    for (const change of found.toReversed()) {
      const what = describeChange(change);
      undoing.attempt(`undo ${what}`, "run `vpn cleanup` as root", () => {
        undoChange(change);
        undoing.lines.push(`undid (no journal): ${what}`);
      });
    }
  });
  return undoing.lines.length - before;
}

/** The switch that a table's gateway has turned on, of which the table tells that it was off before. */
function switchOf({ family }: NftablesTable): SysctlChange[] {
  const path = family === "ip6" ? FORWARDING_SWITCHES.ip6 : FORWARDING_SWITCHES.ip;
  const kind = "sysctl";
  if (readSysctl(path) !== "1" || otherHolder({ kind, path }, "") !== undefined) return [];
  return [{ kind, path, value: "1", before: "0", links: [] }];
}

/**
 * A line for each thing that may have been left by a run without a journal, but is not certain to.
 *
 * @param hasUndone whether others were undone: what these were before, no journal tells any more
 */
export function describeDoubtful({ hasUndone }: { readonly hasUndone: boolean }): string[] {
  const { changes, isDoubtful } = lostRouting();
  return [
    ...lostTables().doubtful.map(({ family, name }) =>
      `left: nftables table ${family} ${name}, which may be another program's, or in use: ` +
      `if it is not, remove it with \`nft delete table ${family} ${name}\``
    ),
    ...isDoubtful ? changes.map(describeRouting) : [],
    ...hasUndone ? SYSCTLS.flatMap(describeSysctl) : [],
  ];
}

/** The TUN may be another program's, too: what runs has its rules removed by a person alone. */
function describeRouting(change: RoutingChange): string {
  const command = change.kind === "rule"
    ? `ip -${change.rule.family === AF_INET ? 4 : 6} rule delete priority ${change.rule.priority}`
    : `ip route delete unreachable ${change.destination} table ${change.table}`;
  return `left: ${
    describeChange(change)
  }, which may be of a tunnel in a container that shares this network: ` +
    `if none runs, remove it with \`${command}\``;
}

/** None where it is as the kernel has it, or a tunnel that runs has it. */
function describeSysctl([path, usual]: (typeof SYSCTLS)[number]): string[] {
  let value;
  try {
    value = readSysctl(path);
  } catch {
    // A kernel without IPv6 has none of its files.
    return [];
  }
  if (value === usual || otherHolder({ kind: "sysctl", path }, "") !== undefined) return [];
  const name = sysctlName(path);
  return [
    `left: ${name} is "${value}", and no journal tells what it was before: ` +
    `if nothing else needs it, run \`sysctl -w ${name}=${usual}\``,
  ];
}
