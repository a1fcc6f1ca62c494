/**
 * Checks of routing: whose networks the tunnel's collide with, what the reverse-path filter drops, what is routed past.
 */
import { ipv4FromNumber, ipv4ToNumber } from "../../../ffi/netlink/ip_address.ts";
import { AF_INET } from "../../../ffi/socket_constants.ts";
import { type Route, RouteTable, RouteType } from "../../../ffi/netlink/routes.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import { formatCidr, formatIpv4, type Ipv4Prefix, prefixMask } from "../../core/wire/ipv4_text.ts";
import type { ClientConfig } from "../../core/config/config.ts";
import { conflictsOf } from "../../host/network/network_conflict.ts";
import { returnTable } from "../../host/firewall/return_path.ts";
import { planPeerRoutes, planRoutes } from "../../host/network/route_plan.ts";
import { readSysctl } from "../../host/network/sysctl.ts";
import { type Check, fail, ok, type Verdict, warn } from "./check.ts";
import { withServer } from "./firewall_packets.ts";
import { hasNftables } from "./nftables_presence.ts";
import type { Subject } from "./subject.ts";

const IPV4_SETTINGS = "/proc/sys/net/ipv4/conf";
const HOST_LENGTH = 32;
/** Of rp_filter: the way back must lead by the interface that a packet came by (RFC 3704 section 2.2). */
const STRICT = 1;
/** An address of the internet at large; only routes to it are looked up. */
const ANYWHERE = 0x01010101;

export const ROUTE_CHECKS: readonly Check[] = [
  { name: "overlap", look: checkOverlap },
  { name: "reverse-path", look: checkReversePath },
  { name: "routes", look: checkRoutes },
];

/** The networks of the tunnel against those that the host reaches by other interfaces. */
function checkOverlap(subject: Subject): Verdict[] {
  const { config, client, server, netlink, options: { interfaceName } } = subject;
  if (config === null) return [];
  const plain = client !== null ? planRoutes(client).plain : planPeerRoutes(server!);
  const own = [
    ...config.interface.addresses
      .filter(({ prefixLength }) => prefixLength < HOST_LENGTH)
      .map((prefix) => ({ key: "Address", place: subject.place("Address"), prefix })),
    ...plain.table !== RouteTable.main ? [] : plain.networks.map((prefix) => ({
      key: "AllowedIPs",
      place: `[Peer] of ${config.fileName}`,
      prefix,
    })),
  ];
  const device = netlink.links.find(interfaceName)?.index;
  const others = netlink.routes.list({ family: AF_INET, table: RouteTable.main })
    .filter(({ link, destination, type }) =>
      link !== null && link !== device && destination.length > 0 && type === RouteType.unicast
    );
  const verdicts = new Map<string, Verdict>();
  for (const { key, place, prefix } of own) {
    for (const route of others) {
      const other = prefixOf(route);
      if (!overlap(prefix, other)) continue;
      const network = formatCidr({ ...prefix, address: networkOf(prefix) });
      const by = netlink.links.find(route.link!)?.name ?? "another interface";
      const what = `${place}: ${key}: ${network} overlaps ${
        formatCidr(other)
      }, which is reached through ${by}`;
      const remedy = `give the tunnel another network (${key} at ${place}), ` +
        `or delete that route: ${subject.command(`ip route delete ${formatCidr(other)}`)}`;
      const difference = other.prefixLength - prefix.prefixLength;
      verdicts.set(
        `${network} ${formatCidr(other)}`,
        // The longer prefix wins; of two equal ones, the one that was there first, or the kernel refuses the second.
        difference === 0
          ? fail(`${what}: only one of the two can have it`, remedy)
          : difference > 0
          ? warn(`${what}: traffic to that part does not use the tunnel`, remedy)
          : warn(`${what}: traffic to that part uses the tunnel`, remedy),
      );
    }
  }
  if (client !== null) {
    const tunnel = { config: client, plan: planRoutes(client), interfaceName };
    for (const conflict of conflictsOf(netlink, tunnel)) {
      verdicts.set(conflict, warn(conflict, "give the tunnel another network at the gateway"));
    }
  }
  if (verdicts.size > 0) return [...verdicts.values()];
  return [ok("the tunnel's networks do not overlap others on this host")];
}

/**
 * Strict filtering drops what comes in by another interface than the answer would leave by: on a host with two ways
 * outside, all that comes by the second; under a full tunnel, the server's own answers, unless marks count.
 */
async function checkReversePath(subject: Subject): Promise<Verdict[]> {
  const { client, server, netlink } = subject;
  if (client !== null) {
    if (!planRoutes(client).isFullTunnel) return [];
    return await checkMarkedReversePath(subject, client);
  }
  if (server === null) return [];
  const defaults = netlink.routes.list({ family: AF_INET, table: RouteTable.main })
    .filter(({ destination, link }) => destination.length === 0 && link !== null)
    .sort((a, b) => a.metric - b.metric);
  const preferred = defaults[0]?.link ?? null;
  const shut = [...new Set(defaults.map(({ link }) => link!))]
    .filter((link) => link !== preferred)
    .map((link) => netlink.links.get(link).name)
    .filter((name) => reversePathFilter(name) === STRICT);
  if (shut.length === 0) return [ok("the reverse-path filter drops no datagrams of clients")];
  return shut.map((name) =>
    warn(
      `rp_filter is strict on ${name}, which does not have the preferred default route: ` +
        `packets of clients on the internet to its address are dropped`,
      subject.command(`sysctl -w net.ipv4.conf.${name}.rp_filter=2`),
    )
  );
}

/** Marked answers pass it: a table of ours marks them, and the kernel has to be told that marks count. */
async function checkMarkedReversePath(
  subject: Subject,
  client: ClientConfig,
): Promise<Verdict[]> {
  const { netlink, instance, options: { interfaceName } } = subject;
  const path = `${IPV4_SETTINGS}/all/src_valid_mark`;
  const strict = netlink.links.list()
    .filter(({ name, loopback }) =>
      !loopback && name !== interfaceName && reversePathFilter(name) === STRICT
    ).map(({ name }) => name);
  if (strict.length === 0) {
    return [ok("the reverse-path filter drops none of the server's answers")];
  }
  const where = `rp_filter is strict on ${strict.join(", ")}`;
  const loosen = strict.map((name) =>
    subject.command(`sysctl -w net.ipv4.conf.${name}.rp_filter=2`)
  );
  if (readSysctl(path) !== "1" && (instance !== null || !isWritable(path))) {
    return [fail(
      `${where} and src_valid_mark is 0: with a full tunnel, the server's answers are dropped`,
      subject.command("sysctl -w net.ipv4.conf.all.src_valid_mark=1"),
    )];
  }
  if (!hasNftables()) {
    return [fail(
      `${where}, and this kernel has no nf_tables to mark the server's answers: with a full tunnel, they are dropped`,
      `\`modprobe nf_tables\`, or ${loosen.join(" and ")}`,
    )];
  }
  return [await judgeMarks(subject, client, { where, loosen: loosen.join(" and ") })];
}

/**
 * Whether the server's answers have the tunnel's mark when the kernel asks for the way back: by all rules there are,
 * not by names.
 */
export async function judgeMarks(
  subject: Subject,
  client: ClientConfig,
  { where, loosen }: { readonly where: string; readonly loosen: string },
): Promise<Verdict> {
  const { family, name } = returnTable(subject.options.interfaceName);
  const passes = `${where}, and the server's answers pass it, marked by ${family} ${name}`;
  if (subject.instance?.isOurs !== true) return ok(passes);
  const { answer, mark, isCaptured } = await withServer(subject, client);
  if (isCaptured) return ok(`${where}, but the server's answers, by fake TCP, do not come to it`);
  if (answer.family === "ip6") {
    return ok(`${where}, which is of IPv4, and the server's answers come by IPv6`);
  }
  const found = (await subject.firewall()).markAtRouting(answer, name);
  if (found === mark) return ok(passes);
  return fail(
    `${where}, and the server's answers come to it with ${
      found === 0 ? "no mark" : "another mark than the tunnel's"
    }, so they are dropped: ` +
      `the table ${family} ${name} is gone or was changed, or rules of another one set a mark behind it`,
    `\`nft list ruleset\` shows the rules: prevent other programs from changing them, and restart the client, or ${loosen}`,
  );
}

/** While it runs: whether the kernel sends by the tunnel what is to go through it. */
function checkRoutes(
  { client, server, config, instance, netlink, options: { interfaceName } }: Subject,
): Verdict[] {
  const device = netlink.links.find(interfaceName)?.index;
  if (config === null || instance?.isOurs !== true || device === undefined) return [];
  if (config.interface.table === "off") return [];
  const plan = client === null ? null : planRoutes(client);
  const plain = plan?.plain ?? planPeerRoutes(server!);
  const networks = plain.table !== RouteTable.main ? [] : plain.networks;
  const destinations = [...networks.map(networkOf), ...plan?.inside ?? []];
  const astray = [...destinations, ...plan?.isFullTunnel ? [ANYWHERE] : []]
    .filter((address) => linkTo(address) !== device);
  if (astray.length === 0) return [ok(`packets to AllowedIPs go into ${interfaceName}`)];
  return astray.map((address) =>
    fail(
      `packets to ${formatIpv4(address)} do not go into ${interfaceName}, as AllowedIPs says`,
      `another program changed the routes or rules, or this network has that address too: see \`ip route get ${
        formatIpv4(address)
      }\`, and restart the client`,
    )
  );

  function linkTo(address: number): number | null {
    try {
      return netlink.routes.lookup(ipv4FromNumber(address)).link;
    } catch (error) {
      if (error instanceof NetlinkError) return null;
      throw error;
    }
  }
}

/** What is in force on an interface: the greater of its own setting and that of all (ip-sysctl.rst). */
function reversePathFilter(name: string): number {
  return Math.max(
    Number(readSysctl(`${IPV4_SETTINGS}/all/rp_filter`)),
    Number(readSysctl(`${IPV4_SETTINGS}/${name}/rp_filter`)),
  );
}

/** Whether this process may write a file: `/proc/sys` is read-only in most containers. */
export function isWritable(path: string): boolean {
  try {
    Deno.openSync(path, { write: true }).close();
    return true;
  } catch {
    return false;
  }
}

function prefixOf({ destination }: Route): Ipv4Prefix {
  return { address: ipv4ToNumber(destination.address), prefixLength: destination.length };
}

function networkOf({ address, prefixLength }: Ipv4Prefix): number {
  return (address & prefixMask(prefixLength)) >>> 0;
}

function overlap(one: Ipv4Prefix, other: Ipv4Prefix): boolean {
  const mask = prefixMask(Math.min(one.prefixLength, other.prefixLength));
  return ((one.address ^ other.address) & mask) === 0;
}
