/** Network state: all of a namespace's network as lines, to be compared as sets before and after. */
import { openLibc } from "../../../ffi/libc.ts";
import { formatIp, formatPrefix } from "../../../ffi/netlink/ip_address.ts";
import { AF_INET6 } from "../../../ffi/socket_constants.ts";
import { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import { RouteProtocol, RouteScope } from "../../../ffi/netlink/routes.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";

const IPV4_SYSCTLS = "/proc/sys/net/ipv4";
const IPV6_INTERFACES = "/proc/sys/net/ipv6/conf";

/** The network of the namespace that the thread is in, a line for each thing. */
export function networkState(): Set<string> {
  using rtnetlink = Rtnetlink.open(openLibc());
  using nftables = Nftables.open(openLibc(), { owned: false });
  return new Set([
    ...linkLines(rtnetlink),
    ...nftables.listTables().map(({ family, name }) => `nftables table ${family} ${name}`),
    ...sysctlLines(IPV4_SYSCTLS, (name) => name.startsWith("ip_")),
    ...sysctlLines(`${IPV4_SYSCTLS}/conf/all`, () => true),
    ...ipv6Lines(),
  ]);
}

/**
 * Links, addresses, routes of all tables and rules. IPv6 link-local addresses and the kernel's own IPv6 routes are left
 * out: they come by themselves, some time after an interface is switched on.
 */
function linkLines({ links, addresses, routes, rules }: Rtnetlink): string[] {
  const all = links.list();
  const nameOf = (index: number | null) =>
    all.find((link) => link.index === index)?.name ?? `link ${index}`;
  return [
    ...all.map(({ name, up }) => `interface ${name}, ${up ? "up" : "down"}`),
    ...addresses.list()
      .filter(({ family, scope }) => family !== AF_INET6 || scope !== RouteScope.link)
      .map(({ address, prefixLength, link }) =>
        `address ${formatIp(address)}/${prefixLength} of ${nameOf(link)}`
      ),
    ...routes.list()
      .filter(({ family, protocol }) => family !== AF_INET6 || protocol !== RouteProtocol.kernel)
      .map(({ destination, link, table, type }) =>
        `route ${formatPrefix(destination)} by ${nameOf(link)} in table ${table}, type ${type}`
      ),
    ...rules.list().map((rule) => `rule ${rule.priority} of family ${rule.family}`),
  ];
}

/** Whether it forwards IPv6, and which interfaces listen to routers; the TUN's are its own. */
function ipv6Lines(): string[] {
  try {
    return ["all", "default", "wan"].flatMap((name) =>
      sysctlLines(
        `${IPV6_INTERFACES}/${name}`,
        (setting) => setting === "forwarding" || setting === "accept_ra",
      )
    );
  } catch (error) {
    // A kernel without IPv6, or another namespace than those of a demo.
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** The sysctls of a folder, those in folders below it left out. */
function sysctlLines(folder: string, isWanted: (name: string) => boolean): string[] {
  return [...Deno.readDirSync(folder)]
    .filter(({ name, isFile }) => isFile && isWanted(name))
    .map(({ name }) => `${folder}/${name} = ${Deno.readTextFileSync(`${folder}/${name}`).trim()}`);
}

/** What `after` has more or less than `before`, a line each. */
export function difference(before: ReadonlySet<string>, after: ReadonlySet<string>): string[] {
  return [
    ...[...after.difference(before)].map((line) => `left behind: ${line}`),
    ...[...before.difference(after)].map((line) => `lost: ${line}`),
  ];
}
