/**
 * Checks of a gateway's way to the internet by IPv6: a route and an address, and a kernel that may forward, where that
 * does.
 */
import { AF_INET6 } from "../../../ffi/socket_constants.ts";
import { RouteTable, RouteType } from "../../../ffi/netlink/routes.ts";
import { egress6Of, isNat66 } from "../../core/config/egress6.ts";
import { EGRESS_MARK } from "../../dataplane/egress/egress.ts";
import { type ExternalLink6, findExternalLink6 } from "../../host/network/egress_plan6.ts";
import { readSysctl } from "../../host/network/sysctl.ts";
import { type Check, fail, ok, type Verdict, warn } from "./check.ts";
import { hasNftables } from "./nftables_presence.ts";
import { isWritable } from "./route_checks.ts";
import type { Subject } from "./subject.ts";

const INTERFACES = "/proc/sys/net/ipv6/conf";
const FORWARDING = `${INTERFACES}/all/forwarding`;

export const EGRESS6_CHECKS: readonly Check[] = [
  { name: "egress6", look: checkEgress6 },
  { name: "forwarding6", look: checkForwarding6 },
];

function checkEgress6(subject: Subject): Verdict[] {
  const { server, netlink, options: { interfaceName } } = subject;
  if (server === null || server.interface.addresses6.length === 0) return [];
  const kind = egress6Of(server.interface);
  if (kind === "off") return [ok("IPv6 of clients does not leave for the internet, as configured")];
  const traffic = { tunnel: interfaceName, mark: EGRESS_MARK };
  const external = findExternalLink6(server, netlink, traffic);
  return [judgeEgress6({
    kind,
    external,
    hasRoute: hasDefaultRoute(subject),
    deaf: readSysctl(FORWARDING) === "1" ? deafInterfaces(subject) : [],
    place: subject.place("Egress6"),
    command: (text) => subject.command(text),
  })];
}

/** What is known of the way outside. */
export interface Egress6Facts {
  readonly kind: "nat" | "routed";
  readonly external: ExternalLink6 | null;
  /** Whether any default route is there. */
  readonly hasRoute: boolean;
  /** Interfaces that listen to no router, as the host forwards. */
  readonly deaf: readonly string[];
  /** Where `Egress6` stands, or would. */
  readonly place: string;
  readonly command: (text: string) => string;
}

export function judgeEgress6(
  { kind, external, hasRoute, deaf, place, command }: Egress6Facts,
): Verdict {
  if (external !== null) {
    const how = kind === "nat" ? external.address : "their own";
    return ok(`IPv6 packets to the internet leave through ${external.name} with source ${how}`);
  }
  const refused = "IPv6 packets of clients to the internet are refused";
  const orOff = `or Egress6 = off (${place})`;
  if (hasRoute && kind === "nat") {
    return warn(
      `this host has a route to the IPv6 internet, but no address there but the tunnel's: ${refused}`,
      `give the uplink an IPv6 address, or Egress6 = routed (${place}) where the clients' own are routed here, ${orOff}`,
    );
  }
  if (!hasRoute && deaf.length > 0) {
    return warn(
      `this host has no route to the IPv6 internet, and as it forwards IPv6, it takes none that a router advertises on ${
        deaf.join(", ")
      }: ${refused}`,
      deaf.map((name) => command(`sysctl -w net.ipv6.conf.${name}.accept_ra=2`)).join(" and "),
    );
  }
  return warn(
    `no route of this host leads to the IPv6 internet where clients may go: ${refused}`,
    `${command("ip -6 route add default via ROUTER dev DEVICE")}, ${orOff}`,
  );
}

function hasDefaultRoute({ netlink }: Subject): boolean {
  return netlink.routes.list({ family: AF_INET6, table: RouteTable.main })
    .some(({ destination, type }) => destination.length === 0 && type === RouteType.unicast);
}

function deafInterfaces({ netlink, options: { interfaceName } }: Subject): string[] {
  return netlink.links.list()
    .filter(({ name, loopback, up }) => up && !loopback && name !== interfaceName)
    .map(({ name }) => name)
    .filter((name) => settingOf(name) === "1");
}

/** Null where the interface has no IPv6. */
function settingOf(name: string): string | null {
  try {
    return readSysctl(`${INTERFACES}/${name}/accept_ra`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

function checkForwarding6({ server, instance }: Subject): Verdict[] {
  if (server === null || egress6Of(server.interface) === "off") return [];
  if (isNat66(server.interface)) return [];
  return [judgeForwarding6({
    isOn: readSysctl(FORWARDING) === "1",
    isRunning: instance?.isOurs === true,
    isWritable: isWritable(FORWARDING),
    hasNftables: hasNftables(),
    isAsked: server.interface.lines.has("Egress6"),
  })];
}

/** What is known of the kernel. */
export interface Forwarding6Facts {
  readonly isOn: boolean;
  readonly isRunning: boolean;
  readonly isWritable: boolean;
  readonly hasNftables: boolean;
  /** Whether the file has `Egress6`: without it, a gateway does without. */
  readonly isAsked: boolean;
}

export function judgeForwarding6(
  { isOn, isRunning, isWritable, hasNftables, isAsked }: Forwarding6Facts,
): Verdict {
  const bad = isAsked ? fail : warn;
  if (!hasNftables) {
    return bad(
      "this kernel has no nf_tables, without which no IPv6 is forwarded for clients",
      "`modprobe nf_tables`, on the host where this is a container, or Egress6 = off",
    );
  }
  if (isOn) return ok("net.ipv6.conf.all.forwarding is 1: the kernel forwards IPv6");
  if (!isRunning && isWritable) {
    return ok("net.ipv6.conf.all.forwarding is 0, and is set to 1 while the gateway is running");
  }
  return bad(
    "net.ipv6.conf.all.forwarding is 0: IPv6 of clients does not reach the internet",
    "`sysctl -w net.ipv6.conf.all.forwarding=1` on the host (a container: start it with " +
      "`--sysctl net.ipv6.conf.all.forwarding=1`), or Egress6 = off",
  );
}
