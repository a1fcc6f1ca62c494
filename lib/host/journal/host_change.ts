/**
 * Host changes: those that outlive the process, each in a form that can be written down, and how each is undone.
 *
 * Addresses and routes on the TUN are not among them: they vanish with the device, and the device with the process.
 */
import type { PortRange } from "../../core/wire/port_range.ts";
import type { HostAddress } from "../../core/wire/host_address.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { parsePrefix } from "../../../ffi/netlink/ip_address.ts";
import { NoNftablesError } from "../../../ffi/netlink/nftables/nfnetlink.ts";
import { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import type { NftablesTable } from "../../../ffi/netlink/nftables/nftables_objects.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import { RouteProtocol, type RouteSpec, type RouteType } from "../../../ffi/netlink/routes.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import type { RuleSpec } from "../../../ffi/netlink/rules.ts";
import { removeDeadSocket } from "./socket_file.ts";
import {
  makeResolvconf,
  makeResolvectl,
  type ResolvconfChange,
  type ResolvectlChange,
  undoResolvconf,
  undoResolvectl,
} from "../dns/programs.ts";
import { makeResolvConf, type ResolvConfChange, undoResolvConf } from "../dns/resolv_conf_file.ts";
import { type PreparedHook, runPostDown } from "../hooks/hook_command.ts";
import {
  makeProxies,
  type ProxiedNeighboursChange,
  undoProxies,
} from "../network/proxied_neighbours.ts";
import { type OwnForwarding, restoreOwnForwarding } from "../network/forwarding_switch.ts";
import { readSysctl, writeSysctl } from "../network/sysctl.ts";

const RESERVED_PORTS = "/proc/sys/net/ipv4/ip_local_reserved_ports";

/** A file under `/proc/sys`; `before` is put back unless somebody has changed `value` since. */
export interface SysctlChange {
  readonly kind: "sysctl";
  readonly path: string;
  readonly value: string;
  readonly before: string;
  /** Another value that somebody may give it meanwhile, and that then stays. */
  readonly yields?: string | undefined;
  /** Of the switch that makes a router of the host: what interfaces had of their own. */
  readonly links?: readonly OwnForwarding[] | undefined;
}

/** A change, with all that undoes it. Plain data: it goes through JSON. */
export type HostChange =
  | { readonly kind: "rule"; readonly rule: RuleSpec }
  | {
    readonly kind: "route";
    /** As in `0.0.0.0/0`. */
    readonly destination: string;
    readonly table: number;
    readonly type: RouteType;
  }
  | SysctlChange
  /** A table of the firewall; it is noted before it is made. */
  | { readonly kind: "nftables-table"; readonly table: NftablesTable }
  /**
   * The table of a kill switch, which the next client on the same interface takes over. `server` is where this one's
   * was: its name cannot be looked up while the host is closed.
   */
  | {
    readonly kind: "kill-switch";
    readonly table: NftablesTable;
    readonly server: { readonly name: string; readonly address: HostAddress } | null;
  }
  | ProxiedNeighboursChange
  /** Ports kept from the kernel's own choice that were not before; both ends of a range included. */
  | { readonly kind: "reserved-ports"; readonly ranges: readonly PortRange[] }
  /** Ports outside that a gateway's NAT takes on an interface. Nothing on the host: it is for other gateways to see. */
  | {
    readonly kind: "nat-ports";
    readonly device: string;
    readonly tcp: readonly PortRange[];
    readonly udp: readonly PortRange[];
  }
  /** The same of IPv6. */
  | {
    readonly kind: "nat-ports6";
    readonly device: string;
    readonly tcp: readonly PortRange[];
    readonly udp: readonly PortRange[];
  }
  /** What the `PostDown` commands are to undo; noted before the commands that did it run. */
  | { readonly kind: "hook"; readonly commands: readonly PreparedHook[] }
  /** An empty directory; it goes unless something is in it. */
  | { readonly kind: "directory"; readonly path: string }
  /**
   * The file of a local socket, noted before a process listens on it; it goes unless another process listens on
   * it.
   */
  | { readonly kind: "socket"; readonly path: string; readonly pid: number }
  | ResolvConfChange
  | ResolvconfChange
  | ResolvectlChange;

/** A change that is a table of the firewall, which anyone who makes the change puts there. */
export type TableChange = Extract<HostChange, { readonly table: NftablesTable }>;

/** What the kernel says of something that is not there any more, also as it has not its like at all. */
const GONE_ERRORS: ReadonlySet<string> = new Set([
  "ENOENT",
  "ESRCH",
  "ENODEV",
  "EAFNOSUPPORT",
  "EOPNOTSUPP",
]);

/** Makes a change in the thread's network namespace. */
export function makeChange(change: HostChange): void {
  using netlink = Rtnetlink.open(openLibc());
  switch (change.kind) {
    case "rule":
      netlink.rules.add(change.rule);
      break;
    case "route":
      netlink.routes.add(routeSpec(change));
      break;
    case "sysctl":
      writeSysctl(change.path, change.value);
      break;
    case "reserved-ports":
      writeReservedPorts(readReservedPorts().union(portsOf(change.ranges)));
      break;
    case "proxied-neighbours":
      makeProxies(change, netlink);
      break;
    case "directory":
      Deno.mkdirSync(change.path, { recursive: true, mode: 0o755 });
      break;
    case "resolv-conf":
      makeResolvConf(change);
      break;
    case "resolvconf":
      makeResolvconf(change);
      break;
    case "resolvectl":
      makeResolvectl(change);
      break;
    case "nftables-table":
    case "kill-switch":
    case "nat-ports":
    case "nat-ports6":
    case "hook":
    case "socket":
      break;
  }
}

/**
 * Undoes a change. That it was never made, or is undone already, is no error: undoing twice must do no harm.
 *
 * @param heldBy the like change of another living process of ours, where there is one, for what they share by turns
 */
export function undoChange(change: HostChange, heldBy: HostChange | null = null): void {
  using netlink = Rtnetlink.open(openLibc());
  try {
    switch (change.kind) {
      case "rule":
        netlink.rules.delete(change.rule);
        break;
      case "route":
        netlink.routes.delete(routeSpec(change));
        break;
      case "sysctl":
        if (readSysctl(change.path) !== change.value) return;
        writeSysctl(change.path, change.before);
        if (change.links !== undefined) restoreOwnForwarding(change.path, change.links, netlink);
        break;
      case "reserved-ports":
        writeReservedPorts(readReservedPorts().difference(portsOf(change.ranges)));
        break;
      case "proxied-neighbours":
        undoProxies(change, netlink);
        break;
      case "nftables-table":
      case "kill-switch": {
        using nftables = Nftables.open(openLibc());
        nftables.deleteTable(change.table);
        break;
      }
      case "nat-ports":
      case "nat-ports6":
        break;
      case "hook":
        runPostDown(change.commands);
        break;
      case "directory":
        removeIfEmpty(change.path);
        break;
      case "socket":
        removeDeadSocket(change.path, change.pid);
        break;
      case "resolv-conf":
        undoResolvConf(change, heldBy?.kind === "resolv-conf" ? heldBy.text : null);
        break;
      case "resolvconf":
        undoResolvconf(change);
        break;
      case "resolvectl":
        // Gone with the link, where that is gone.
        if (netlink.links.find(change.interfaceName)?.index === change.index) {
          undoResolvectl(change);
        }
        break;
    }
  } catch (error) {
    if (error instanceof NetlinkError && GONE_ERRORS.has(error.code)) return;
    if (error instanceof Deno.errors.NotFound || error instanceof NoNftablesError) return;
    throw error;
  }
}

/** One line that names a change, for `vpn cleanup`. */
export function describeChange(change: HostChange): string {
  switch (change.kind) {
    case "rule":
      return `routing rule to table ${change.rule.table}`;
    case "route":
      return `route ${change.destination} in table ${change.table}`;
    case "sysctl":
      return `${change.path} (back to ${change.before})`;
    case "nftables-table":
      return `nftables table ${change.table.family} ${change.table.name}`;
    case "kill-switch":
      return `kill switch (nftables table ${change.table.family} ${change.table.name})`;
    case "reserved-ports":
      return `reserved ports ${formatRanges(portsOf(change.ranges))}`;
    case "proxied-neighbours":
      return `${change.addresses.length} addresses answered for on ${change.device}`;
    case "nat-ports":
      return `the NAT's ports on ${change.device}`;
    case "nat-ports6":
      return `the ports of the NAT of IPv6 on ${change.device}`;
    case "hook":
      return `the changes that PostDown undoes (${
        change.commands.map(({ place }) => place).join(", ")
      })`;
    case "directory":
    case "socket":
    case "resolv-conf":
      return change.path;
    case "resolvconf":
      return `resolvconf record ${change.record}`;
    case "resolvectl":
      return `resolvers of ${change.interfaceName} with systemd-resolved`;
  }
}

function removeIfEmpty(path: string): void {
  if (Deno.readDirSync(path)[Symbol.iterator]().next().done === true) Deno.removeSync(path);
}

/** Ports that the kernel does not hand out to connections of the host's own. */
export function readReservedPorts(): Set<number> {
  const text = readSysctl(RESERVED_PORTS);
  const ranges = text === "" ? [] : text.split(",").map((range) => {
    const [first, last = first] = range.split("-").map(Number);
    return { first, last };
  });
  return portsOf(ranges);
}

/**
 * Where nothing changes, nothing is written: where it cannot be written (a container), there is nothing to undo,
 * either.
 */
function writeReservedPorts(ports: ReadonlySet<number>): void {
  if (ports.symmetricDifference(readReservedPorts()).size === 0) return;
  writeSysctl(RESERVED_PORTS, formatRanges(ports));
}

/** Ranges of the ports of `ranges` that `others` have not. */
export function withoutPorts(
  ranges: readonly PortRange[],
  others: readonly PortRange[],
): PortRange[] {
  return rangesOf(portsOf(ranges).difference(portsOf(others)));
}

export function portsOf(ranges: readonly PortRange[]): Set<number> {
  const ports = new Set<number>();
  for (const { first, last } of ranges) {
    for (let port = first; port <= last; port++) ports.add(port);
  }
  return ports;
}

function rangesOf(ports: ReadonlySet<number>): PortRange[] {
  const ranges: PortRange[] = [];
  for (const port of [...ports].sort((a, b) => a - b)) {
    const open = ranges.at(-1);
    if (open !== undefined && open.last === port - 1) {
      ranges[ranges.length - 1] = { first: open.first, last: port };
    } else {
      ranges.push({ first: port, last: port });
    }
  }
  return ranges;
}

/** As in `20000-29999,51820`. */
function formatRanges(ports: ReadonlySet<number>): string {
  return rangesOf(ports)
    .map(({ first, last }) => first === last ? `${first}` : `${first}-${last}`)
    .join(",");
}

/** The route of a change, for the kernel. */
export function routeSpec(change: Extract<HostChange, { kind: "route" }>): RouteSpec {
  const { table, type } = change;
  return {
    destination: parsePrefix(change.destination),
    table,
    type,
    protocol: RouteProtocol.kernel,
  };
}
