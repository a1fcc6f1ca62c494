/**
 * Owns the changes to the host that outlive the process: what each is, in a form that can be written down, and its undoing.
 *
 * Addresses and routes on the TUN are not among them: they vanish with the device, and the device with the process.
 */
import { openLibc } from "../../ffi/libc.ts";
import { parsePrefix } from "../../ffi/netlink/ip_address.ts";
import { NetlinkError } from "../../ffi/netlink/socket.ts";
import type { RouteType } from "../../ffi/netlink/routes.ts";
import { Rtnetlink } from "../../ffi/netlink/rtnetlink.ts";
import type { RuleSpec } from "../../ffi/netlink/rules.ts";

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
  /** A file under `/proc/sys`; `before` is put back unless somebody has changed `value` since. */
  | {
    readonly kind: "sysctl";
    readonly path: string;
    readonly value: string;
    readonly before: string;
  };

/** What the kernel says of something that is not there any more. */
const GONE_ERRORS: ReadonlySet<string> = new Set(["ENOENT", "ESRCH", "ENODEV"]);

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
      Deno.writeTextFileSync(change.path, change.value);
      break;
  }
}

/** Undoes a change. That it was never made, or is undone already, is no error: undoing twice must do no harm. */
export function undoChange(change: HostChange): void {
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
        Deno.writeTextFileSync(change.path, change.before);
        break;
    }
  } catch (error) {
    if (error instanceof NetlinkError && GONE_ERRORS.has(error.code)) return;
    if (error instanceof Deno.errors.NotFound) return;
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
  }
}

/** The value of a file under `/proc/sys`. */
export function readSysctl(path: string): string {
  return Deno.readTextFileSync(path).trim();
}

function routeSpec(change: Extract<HostChange, { kind: "route" }>) {
  const { table, type } = change;
  return { destination: parsePrefix(change.destination), table, type };
}
