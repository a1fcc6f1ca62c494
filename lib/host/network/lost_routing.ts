/**
 * Lost routing: the rules of full tunnels, and the routes behind them that lead nowhere, which processes of ours have
 * left behind and no journal names.
 *
 * The kernel has no room for a name in a rule. What tells ours is all of it together: rules that say they are of the
 * kernel's making, which makes none of that kind; one after the other, as `HostNetwork` puts them there; and their
 * tables lead to no interface, as they do while a tunnel runs.
 */
import { formatPrefix } from "../../../ffi/netlink/ip_address.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { HardwareType } from "../../../ffi/netlink/links.ts";
import { type Route, RouteProtocol, RouteTable, RouteType } from "../../../ffi/netlink/routes.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import type { Rule } from "../../../ffi/netlink/rules.ts";
import { isAlive } from "../../process/process_identity.ts";
import type { HostChange } from "../journal/host_change.ts";
import { allJournals } from "../journal/journal_files.ts";
import { currentNetworkNamespace, isSameNamespace } from "../journal/network_namespace.ts";

/** `FR_ACT_TO_TBL`. */
const TO_TABLE = 1;
/** Of one byte are the tables that others number by hand. */
const FIRST_TABLE = 256;
const ALL_BITS = 0xffffffff;

export type RoutingChange = Extract<HostChange, { kind: "rule" | "route" }>;

export interface LostRouting {
  /** In the order in which they were made. */
  readonly changes: readonly RoutingChange[];
  /** Whether a TUN is there that no tunnel of this host is known to have: the rules may be of one that runs. */
  readonly isDoubtful: boolean;
}

/** That of this network namespace. */
export function lostRouting(): LostRouting {
  using netlink = Rtnetlink.open(openLibc(), { strict: true });
  const namespace = currentNetworkNamespace();
  const journals = allJournals().filter(({ owner }) => isSameNamespace(owner, namespace));
  const known = new Set(
    journals.flatMap(({ changes }) =>
      changes.flatMap((change) =>
        change.kind === "rule" ? [change.rule.table] : change.kind === "route" ? [change.table] : []
      )
    ),
  );
  const alive = journals.filter(({ owner }) => isAlive(owner));
  const tunnels = new Set(alive.map(({ owner }) => owner.interfaceName));
  return {
    changes: lostRules(netlink.rules.list(), {
      isKnown: (table) => known.has(table),
      routesOf: (table) => netlink.routes.list({ table }),
    }),
    isDoubtful: netlink.links.list().some(({ name, kind, hardwareType }) =>
      kind === "tun" && hardwareType === HardwareType.none && !tunnels.has(name)
    ),
  };
}

/**
 * The changes that nobody has noted, of all rules of a network namespace in the order in which they are tried.
 *
 * @param host `isKnown`: whether a journal names a table; `routesOf`: the routes of a table, of both families
 */
export function lostRules(
  rules: readonly Rule[],
  { isKnown, routesOf }: {
    readonly isKnown: (table: number) => boolean;
    readonly routesOf: (table: number) => readonly Route[];
  },
): RoutingChange[] {
  const blocks = rules.map((_, index) => blockAt(rules, index)).filter((block) => block !== null);
  const inBlocks = new Set(blocks.flat());
  const tablesOf = (block: readonly Rule[]) =>
    new Set(block.map(({ table }) => table).filter((table) => table !== RouteTable.main));
  const isLost = (table: number) =>
    !isKnown(table) &&
    rules.every((rule) => rule.table !== table || inBlocks.has(rule)) &&
    routesOf(table).every(leadsNowhere);
  const lost = blocks.filter((block) =>
    [...tablesOf(block)].every(isLost) &&
    // Without a mark, the rules alone are too little to tell ours by.
    (block.some(({ mark }) => mark !== null) ||
      [...tablesOf(block)].some((table) => routesOf(table).length > 0))
  );
  const tables = new Set(lost.flatMap((block) => [...tablesOf(block)]));
  return [
    ...[...tables].flatMap((table) => routesOf(table).map((route) => routeChange(route))),
    ...lost.flat().map(ruleChange),
  ];
}

/**
 * The rules around one that leaves the main table's default route out, if it is in the midst of ours: in front of it
 * may be the like for the tunnel's table; behind it are that table, and one that leads nowhere, which may be missing.
 */
function blockAt(rules: readonly Rule[], index: number): Rule[] | null {
  const [middle, outside, nowhere] = rules.slice(index, index + 3);
  const inside = rules[index - 1];
  if (middle === undefined || outside === undefined) return null;
  const { family, priority } = middle;
  const isPart = (rule: Rule, distance: number) =>
    rule.family === family && rule.priority === priority + distance && isOfOurMaking(rule);
  if (!isPart(middle, 0) || middle.table !== RouteTable.main) return null;
  if (middle.mark !== null || middle.inverted || middle.suppressPrefixLength !== 0) return null;
  if (!isPart(outside, 1) || !isWithoutMark(outside)) return null;
  if (outside.suppressPrefixLength !== null) return null;
  const isLike = (rule: Rule) => isWithoutMark(rule) && rule.mark?.value === outside.mark?.value;
  return [
    ...inside !== undefined && isPart(inside, -1) && isLike(inside) &&
        inside.table === outside.table &&
        inside.suppressPrefixLength === 0
      ? [inside]
      : [],
    ...[middle, outside],
    ...nowhere !== undefined && isPart(nowhere, 2) && isLike(nowhere) &&
        nowhere.suppressPrefixLength === null
      ? [nowhere]
      : [],
  ];
}

function isOfOurMaking(rule: Rule): boolean {
  return rule.action === TO_TABLE && rule.protocol === RouteProtocol.kernel &&
    rule.source === null && rule.destination === null &&
    rule.inputInterface === null && rule.outputInterface === null;
}

/** Whether a rule is for all packets to a table of a tunnel's, or for all but those with the tunnel's mark. */
function isWithoutMark({ table, mark, inverted }: Rule): boolean {
  if (table < FIRST_TABLE) return false;
  return mark === null ? !inverted : inverted && mark.mask === ALL_BITS;
}

function leadsNowhere({ type, protocol }: Route): boolean {
  return type === RouteType.unreachable && protocol === RouteProtocol.kernel;
}

function routeChange({ destination, table }: Route): RoutingChange {
  return {
    kind: "route",
    destination: formatPrefix(destination),
    table,
    type: RouteType.unreachable,
  };
}

function ruleChange({ family, table, priority, mark, ...rule }: Rule): RoutingChange {
  return {
    kind: "rule",
    rule: {
      family,
      priority,
      protocol: RouteProtocol.kernel,
      table,
      ...mark === null ? {} : { mark: { value: mark.value }, inverted: rule.inverted },
      ...rule.suppressPrefixLength === null
        ? {}
        : { suppressPrefixLength: rule.suppressPrefixLength },
    },
  };
}
