/**
 * Checks of what goes past a client's tunnel: names looked up in the clear, IPv6, and what a kill switch is to stop.
 */
import { SystemCallError } from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { formatPrefix, ipv4ToNumber, parseIp } from "../../../ffi/netlink/ip_address.ts";
import { AF_INET, AF_INET6 } from "../../../ffi/socket_constants.ts";
import { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import type { NftablesTable } from "../../../ffi/netlink/nftables/nftables_objects.ts";
import { type Route, RouteTable, RouteType } from "../../../ffi/netlink/routes.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import type { ClientConfig } from "../../core/config/config.ts";
import { isAllIpv4, isWithin } from "../../core/config/values/networks.ts";
import { type HostAddress, isIpv6, parseAddress } from "../../core/wire/host_address.ts";
import { prefixMask } from "../../core/wire/ipv4_text.ts";
import { isWithin6, LINK_LOCAL6 } from "../../core/wire/ipv6_prefix.ts";
import { hostNameServers, resolversOf } from "../../host/dns/client_dns.ts";
import { AppError } from "../../process/errors.ts";
import { planRoutes } from "../../host/network/route_plan.ts";
import { killSwitchTable } from "../../host/firewall/standing_blocks.ts";
import { type Check, fail, ok, type Verdict, warn } from "./check.ts";
import type { Firewall } from "./firewall/firewall.ts";
import { pastTunnel } from "./firewall_packets.ts";
import type { Subject } from "./subject.ts";

/** An address of the IPv6 internet at large; only the route to it is looked up. */
const ANYWHERE6 = "2606:4700:4700::1111";
const LOOPBACK_NETWORK = 127;

export const LEAK_CHECKS: readonly Check[] = [
  { name: "dns", look: checkDns },
  { name: "ipv6-leak", look: checkIpv6 },
  { name: "kill-switch", look: checkKillSwitch },
];

/** A kill switch is a table of the firewall's: some kernels cannot have it, and other programs may flush it. */
async function checkKillSwitch(subject: Subject): Promise<Verdict[]> {
  const { client, instance, netlink, options: { interfaceName } } = subject;
  if (client?.interface.killSwitch !== true) return [];
  try {
    using nftables = Nftables.open(openLibc(), { owned: false });
    const { family, name } = killSwitchTable(interfaceName, nftables);
    nftables.listTables();
    const isUp = instance?.isOurs === true && netlink.links.find(interfaceName) !== null;
    if (!isUp) return [ok("this kernel supports the kill switch")];
    return [judgeKillSwitch(await subject.firewall(), { family, name })];
  } catch (error) {
    if (error instanceof AppError) {
      return [fail(error.message, "`modprobe nf_tables`, or KillSwitch = off")];
    }
    if (!(error instanceof SystemCallError) || error.code === "EPERM") throw error;
    return [fail(
      `KillSwitch = on, but this kernel has no nf_tables: ${error.message}`,
      "`modprobe nf_tables` on the host, or KillSwitch = off",
    )];
  }
}

/** Of a tunnel that is up: by what the table does, as one that has been emptied is still there. */
export function judgeKillSwitch(
  firewall: Pick<Firewall, "isStoppedBy">,
  { family, name }: NftablesTable,
): Verdict {
  const journeys = ["out", "through"] as const;
  const families = ["ip", "ip6"] as const;
  const packets = journeys.flatMap((journey) =>
    families.map((each) => [journey, pastTunnel(journey, each)] as const)
  );
  if (packets.every(([journey, packet]) => firewall.isStoppedBy(name, journey, packet))) {
    return ok("the kill switch is active");
  }
  return fail(
    `the tunnel is up, but the kill switch (table ${family} ${name}) is gone, or was changed: ` +
      "traffic outside the tunnel leaves unencrypted",
    "keep other programs from changing the firewall, and restart the client",
  );
}

/** Whether names are asked for outside the tunnel, by any resolver. */
function checkDns(subject: Subject): Verdict[] {
  const { client } = subject;
  if (client === null) return [];
  if (resolversOf(client).length > 0) return checkConfiguredDns(client, subject);
  if (!isAllIpv4(client.allowedIps)) {
    return [ok("DNS works as without the tunnel: no DNS is set")];
  }
  const servers = hostNameServers();
  const remedy = `add \`DNS = 10.66.77.1\`, or a resolver that you trust, to ${
    subject.place("DNS")
  }`;
  if (servers.length === 0) {
    return [warn("this host has no resolver, and no DNS is set", remedy)];
  }
  const outside = servers.filter((server) => isReachedBesides(server, subject));
  if (outside.length > 0) {
    return [warn(
      `all traffic goes through the tunnel, but DNS queries go to ${
        outside.join(", ")
      } outside it: ` + "that network sees every name (DNS leak)",
      remedy,
    )];
  }
  return [ok(`DNS queries go to ${servers.join(", ")}, through the tunnel`)];
}

function checkConfiguredDns(client: ClientConfig, subject: Subject): Verdict[] {
  const resolvers = resolversOf(client);
  const outside = resolvers.filter((address) => !isCarried(address, client));
  const list = resolvers.join(", ");
  if (outside.length === 0) return [ok(`DNS queries go to ${list}, through the tunnel`)];
  const missing = outside.map((address) => `${address}/${address.includes(":") ? 128 : 32}`)
    .join(", ");
  return [warn(
    `${subject.place("DNS")}: AllowedIPs do not cover ${outside.join(", ")}: ` +
      "DNS queries leave outside the tunnel",
    `add ${missing} to AllowedIPs (${client.fileName}:${client.server.line})`,
  )];
}

/** Whether the tunnel carries what is sent to a resolver. */
function isCarried(resolver: string, { allowedIps, allowedIps6 }: ClientConfig): boolean {
  const address = parseAddress(resolver)!;
  return isIpv6(address)
    ? allowedIps6.some((network) => isWithin6(`${address}/128`, network))
    : allowedIps.some((network) => isWithin({ address, prefixLength: 32 }, network));
}

/**
 * Whether a resolver is on a network of this host's own, or behind a route of its own: the default route's way alone
 * changes.
 */
function isReachedBesides(
  server: string,
  { netlink, options: { interfaceName } }: Subject,
): boolean {
  const address = parseAddress(server.replace(/%.*$/, ""));
  if (address === null) return false;
  // On one of this host's links, as routers announce themselves for resolvers (RFC 8106).
  if (isIpv6(address) && isWithin6(`${address}/128`, LINK_LOCAL6)) return true;
  if (isIpv6(address) ? address === "::1" : address >>> 24 === LOOPBACK_NETWORK) return false;
  const device = netlink.links.find(interfaceName)?.index;
  const family = isIpv6(address) ? AF_INET6 : AF_INET;
  return netlink.routes.list({ family, table: RouteTable.main }).some((route) =>
    route.destination.length > 0 && route.link !== device && route.type === RouteType.unicast &&
    isIn(address, route)
  );
}

function isIn(address: HostAddress, { destination }: Route): boolean {
  if (isIpv6(address)) return isWithin6(`${address}/128`, formatPrefix(destination));
  const network = ipv4ToNumber(destination.address);
  return ((network ^ address) & prefixMask(destination.length)) === 0;
}

/** What a site offers by IPv6, too, would go past a tunnel that does not carry that. */
function checkIpv6(subject: Subject): Verdict[] {
  const { client, instance, netlink, options: { interfaceName } } = subject;
  if (client === null) return [];
  const { blocked6, isFullTunnel6 } = planRoutes(client);
  const isUp = instance?.isOurs === true && netlink.links.find(interfaceName) !== null;
  if (isFullTunnel6) return [checkCarriedIpv6(subject, isUp)];
  if (!isAllIpv4(client.allowedIps)) return [];
  const isBlocked = blocked6.length > 0 || client.interface.killSwitch;
  const hasWay = isUp && isBlocked ? hasWay6(subject) : hasDefaultRoute6(subject);
  if (!hasWay) {
    return [ok(
      isUp && isBlocked
        ? "IPv6 to the internet is blocked"
        : "this host has no IPv6 to the internet",
    )];
  }
  if (!isBlocked) {
    const { allowIpv6 } = client.interface;
    const key = allowIpv6 ? "AllowIPv6" : "Table";
    return [warn(
      `all IPv4 goes through the tunnel, but IPv6 bypasses it (${key} at ${subject.place(key)}): ` +
        "sites with IPv6 see this host's own address (IPv6 leak)",
      `remove ${key} (${subject.place(key)}): IPv6 is then blocked while the tunnel is up`,
    )];
  }
  if (!isUp) return [ok("this host has IPv6, which is blocked while the tunnel is up")];
  return [fail(
    "the tunnel is up, but IPv6 bypasses it: the rule that blocks IPv6 is gone",
    "restart the client",
  )];
}

function checkCarriedIpv6(
  { netlink, options: { interfaceName } }: Subject,
  isUp: boolean,
): Verdict {
  if (!isUp) return ok("IPv6 to the internet goes through the tunnel while it is up");
  const device = netlink.links.find(interfaceName)?.index;
  try {
    if (netlink.routes.lookup(parseIp(ANYWHERE6)).link === device) {
      return ok("IPv6 to the internet goes through the tunnel");
    }
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
  }
  return fail(
    "the tunnel is up, but IPv6 does not go through it: the rule that leads there is gone",
    "restart the client",
  );
}

function hasDefaultRoute6({ netlink }: Subject): boolean {
  return netlink.routes.list({ family: AF_INET6 }).some(({ destination, link, type }) =>
    destination.length === 0 && link !== null && type === RouteType.unicast
  );
}

/** What the kernel would do now, rules and all. */
function hasWay6({ netlink }: Subject): boolean {
  try {
    return netlink.routes.lookup(parseIp(ANYWHERE6)).type === RouteType.unicast;
  } catch (error) {
    if (error instanceof NetlinkError) return false;
    throw error;
  }
}
