/**
 * Forwarding switches: what makes a router of the host, and what each interface has of its own.
 *
 * Who writes the switch of all interfaces writes that of each (`inet_forward_change()`, `addrconf_forward_change()`):
 * what they had has to be known before, both to put it back and to keep closed what was closed.
 */
import type { Link } from "../../../ffi/netlink/links.ts";
import { guestBridges, type HostLinks } from "./guest_bridges.ts";
import { readSysctl, writeSysctl } from "./sysctl.ts";

/** By the family of the firewall's tables. */
export type ForwardingFamily = "ip" | "ip6";

/** The switch of all interfaces. */
export const FORWARDING_SWITCHES = {
  ip: "/proc/sys/net/ipv4/ip_forward",
  ip6: "/proc/sys/net/ipv6/conf/all/forwarding",
} as const;

const INTERFACES = { ip: "/proc/sys/net/ipv4/conf", ip6: "/proc/sys/net/ipv6/conf" } as const;
/** Stands for interfaces that are not there yet. */
const DEFAULT = "default";
const OFF = "0";
const ON = "1";

/** What an interface had of its own; `default` has index 0. */
export interface OwnForwarding {
  readonly name: string;
  readonly index: number;
  /** Of its switch. */
  readonly value: string;
  /** Whether what came by it was forwarded. */
  readonly forwards: boolean;
}

/** What each interface has, while the switch of all of them is off. */
export function readOwnForwarding(
  family: ForwardingFamily,
  { links }: Pick<HostLinks, "links">,
): OwnForwarding[] {
  return [{ name: DEFAULT, index: 0 }, ...links.list()].flatMap(({ name, index }) => {
    const value = settingOf(family, name, "forwarding");
    if (value === null) return [];
    // Of IPv4, that by which a packet comes decides; of IPv6, the switch of all, but for this newer one.
    const decides = family === "ip" ? value : settingOf(family, name, "force_forwarding");
    return [{ name, index, value, forwards: decides === ON }];
  });
}

/**
 * Which of these interfaces forwarded by their own, and which of the bridges of guests may be relied on to forward:
 * those that came when forwarding was on already, as who starts guests switches it on where it is off, and those that
 * have kept it since. Their names.
 */
export function openLinks(
  { before, links, guests }: {
    readonly before: readonly OwnForwarding[];
    /** Those that there are now. */
    readonly links: readonly Pick<Link, "name" | "index">[];
    /** Of which these are bridges of guests. */
    readonly guests: readonly string[];
  },
): string[] {
  const known = new Map(before.map((own) => [own.index, own]));
  return links.filter(({ name, index }) => {
    const own = known.get(index);
    return own?.forwards === true || guests.includes(name) && (own?.value ?? ON) === ON;
  }).map(({ name }) => name);
}

/** Gives interfaces back what they had, once the switch of all is off; guests keep what they had when they came. */
export function restoreOwnForwarding(
  path: string,
  before: readonly OwnForwarding[],
  host: HostLinks,
): void {
  const family = path === FORWARDING_SWITCHES.ip ? "ip" : "ip6";
  const links = host.links.list();
  const known = new Set(before.map(({ index }) => index));
  const own = before.filter(({ name, index, value }) =>
    value !== OFF &&
    (index === 0 || links.some((link) => link.index === index && link.name === name))
  ).map(({ name }) => name);
  const guests = guestBridges(host).filter((name) =>
    links.some((link) => link.name === name && !known.has(link.index))
  );
  for (const name of [...own, ...guests]) {
    try {
      writeSysctl(`${INTERFACES[family]}/${name}/forwarding`, ON);
    } catch (error) {
      // It has gone meanwhile.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

/** Null where the kernel has no such setting, or the interface none of this family. */
function settingOf(family: ForwardingFamily, name: string, setting: string): string | null {
  try {
    return readSysctl(`${INTERFACES[family]}/${name}/${setting}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
