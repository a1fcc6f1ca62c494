/**
 * Lost tables: those of the firewall that a process of ours has left behind and no journal names, as `/run/vpn` was
 * emptied, or went with a container that shared its network with this one. Kill switches are `standing_blocks.ts`'s.
 */
import { SystemCallError } from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import { dumpFirewall, readFirewall } from "../../../ffi/netlink/nftables/nftables_listing.ts";
import type { NftablesTable } from "../../../ffi/netlink/nftables/nftables_objects.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { isInterfaceName } from "../../core/config/values/interface_name.ts";
import { allJournals } from "../journal/journal_files.ts";
import { currentNetworkNamespace, isSameNamespace } from "../journal/network_namespace.ts";
import { FORWARDING_SUFFIX } from "./forwarding.ts";

/** What our tables are called behind `vpn_` and the tunnel's interface, where they are not called by that alone. */
const SUFFIXES: readonly string[] = ["_6", "_faketcp", FORWARDING_SUFFIX, "_inner", "_return"];
/** Of a relay, which has no interface by which it could be seen to run. */
const RELAY = /^vpn_relay_.+_\d+$/;

export interface LostTables {
  /** Made by tunnels that do not run any more. */
  readonly ours: readonly NftablesTable[];
  /** Called as ours are, but they do not say that they are, or may be in use. */
  readonly doubtful: readonly NftablesTable[];
}

/** Those of this network namespace; none where they may not be asked for. */
export function lostTables(): LostTables {
  const { unowned, made } = listTables();
  const known = knownTables();
  using netlink = Rtnetlink.open(openLibc());
  const devices = new Set(netlink.links.list().map(({ name }) => name));
  // A TUN goes with its process: where none has the name, no tunnel of ours has the tables. One that is starting, and
  // whose journal cannot be seen from here, finds that they are gone and puts them back (`upkeep.ts`).
  const lost = unowned.filter((table) =>
    !known.has(keyOf(table)) && !interfacesOf(table).some((name) => devices.has(name))
  );
  const isOurs = (table: NftablesTable) =>
    made.has(keyOf(table)) && interfacesOf(table).length > 0 && !RELAY.test(table.name);
  return {
    ours: lost.filter(isOurs),
    doubtful: lost.filter((table) =>
      !isOurs(table) && (RELAY.test(table.name) || interfacesOf(table).length > 1)
    ),
  };
}

/**
 * Those of these tables by which a host that forwarded nothing goes on without, though forwarding was switched on:
 * their last rule is for every packet.
 */
export function closingTables(tables: readonly NftablesTable[]): NftablesTable[] {
  const candidates = tables.filter(({ name }) => name.endsWith(FORWARDING_SUFFIX));
  if (candidates.length === 0) return [];
  const forAll = new Set(
    readFirewall(dumpFirewall(openLibc())).rules
      .filter(({ expressions }) => expressions.length === 1)
      .map(({ table }) => keyOf(table)),
  );
  return candidates.filter((table) => forAll.has(keyOf(table)));
}

/** Of journals of the living and of the dead: those are undone by their journals. */
function knownTables(): Set<string> {
  const namespace = currentNetworkNamespace();
  return new Set(
    allJournals().filter(({ owner }) => isSameNamespace(owner, namespace)).flatMap(({ changes }) =>
      changes.flatMap((change) => change.kind === "nftables-table" ? [keyOf(change.table)] : [])
    ),
  );
}

/** The interfaces that a table may be of: `vpn_a_inner` is of `a`, or of `a_inner`. */
function interfacesOf({ name }: NftablesTable): string[] {
  if (!name.startsWith("vpn_") || name.endsWith("_killswitch")) return [];
  const rest = name.slice("vpn_".length);
  return [
    rest,
    ...SUFFIXES.filter((suffix) => rest.endsWith(suffix))
      .map((suffix) => rest.slice(0, -suffix.length)),
  ].filter((name, index) => index > 0 ? isInterfaceName(name) : name !== "");
}

/** Those that no open socket owns, and which of them say that we made them. */
function listTables(): { readonly unowned: NftablesTable[]; readonly made: Set<string> } {
  try {
    using nftables = Nftables.open(openLibc(), { owned: false });
    const made = nftables.listTables({ unowned: true, ours: true });
    return { unowned: nftables.listTables({ unowned: true }), made: new Set(made.map(keyOf)) };
  } catch (error) {
    if (error instanceof SystemCallError && !error.isShortage) {
      return { unowned: [], made: new Set() };
    }
    throw error;
  }
}

function keyOf({ family, name }: NftablesTable): string {
  return `${family} ${name}`;
}
