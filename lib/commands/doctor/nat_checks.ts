/**
 * Checks of a gateway's path to the internet: the interface, the ports that its NAT takes, and whether it works at all.
 */
import type { PortRange } from "../../core/wire/port_range.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import type { ServerConfig } from "../../core/config/config.ts";
import { formatIpv4 } from "../../core/wire/ipv4_text.ts";
import { capturedPorts } from "../../dataplane/egress/egress.ts";
import type { ExternalLink } from "../../core/nat/external_link.ts";
import { readReservedPorts } from "../../host/journal/host_change.ts";
import { journalsOf } from "../../host/journal/journal_files.ts";
import { ephemeralPorts, listenerAmong } from "../../host/network/port_safety.ts";
import { changesOfOthers } from "../../host/journal/shared_change.ts";
import { type Check, fail, ok, type Verdict, warn } from "./check.ts";
import { externalLink, externalOf } from "./firewall_packets.ts";
import { tryNat } from "./nat_trial.ts";
import { isWritable } from "./route_checks.ts";
import type { Subject } from "./subject.ts";

const RESERVED_PORTS = "/proc/sys/net/ipv4/ip_local_reserved_ports";

export const NAT_CHECKS: readonly Check[] = [
  { name: "egress", look: checkEgress },
  { name: "nat-ports", look: checkNatPorts },
  { name: "nat", look: checkNat },
];

function checkEgress(subject: Subject): Verdict[] {
  const { server } = subject;
  if (server === null) return [];
  if (server.interface.egress === "off") {
    return [ok("Egress = off: clients reach each other, and not the internet")];
  }
  try {
    const external = externalLink(subject, server);
    if (external === null) {
      return [warn(
        "this host has no default route: packets of clients to the internet are dropped",
        `${subject.command("ip route add default via ROUTER")}, or set the uplink with ` +
          `EgressInterface (${subject.place("EgressInterface")})`,
      )];
    }
    const moved = deviceOfRunning(subject);
    if (moved !== null && moved !== external.name) {
      return [fail(
        `the running gateway receives packets from the internet on ${moved}, but this host's route to the internet ` +
          `now leads through ${external.name}`,
        `restore the route through ${moved}, or restart the gateway`,
      )];
    }
    return [ok(
      `packets to the internet leave through ${external.name} with source ${
        formatIpv4(external.address)
      }`,
    )];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const names = subject.netlink.links.list().filter(({ loopback }) => !loopback)
      .map(({ name }) => name);
    return [fail(error.message, `choose one of ${names.join(", ")}, or remove the line`)];
  }
}

/** The interface outside of the gateway's NAT that runs, as its journal has it; null where none runs. */
function deviceOfRunning({ instance }: Subject): string | null {
  if (instance?.isOurs !== true) return null;
  const changes = journalsOf(instance.pid).flatMap((journal) => journal.changes);
  return changes.findLast((change) => change.kind === "nat-ports")?.device ?? null;
}

/** Packets for these ports never reach the host's stack: whatever else uses one of them is cut off. */
function checkNatPorts(subject: Subject): Verdict[] {
  const { instance } = subject;
  const nat = natOf(subject);
  if (nat === null) return [];
  const { first, last } = nat.server.interface.natPorts;
  const ports = portsOf(nat.server);
  const remedy = `choose other ports with NatPorts (${subject.place("NatPorts")})`;
  const listener = listenerAmong(ports);
  if (listener !== null) {
    const { protocol, port, owner } = listener;
    return [fail(
      `the NAT takes ${protocol} port ${port}, but ${owner} listens on it, and would receive nothing`,
      `stop it, or ${remedy}`,
    )];
  }
  const other = changesOfOthers("nat-ports", "").find(({ owner, change }) =>
    owner.pid !== instance?.pid && change.device === nat.external.name &&
    (meet(ports.tcp, change.tcp) || meet(ports.udp, change.udp))
  );
  if (other !== undefined) {
    const { interfaceName, pid } = other.owner;
    return [fail(
      `the gateway ${interfaceName} (process ${pid}) uses some of the NAT's ports on ${nat.external.name}`,
      `stop it, or ${remedy}`,
    )];
  }
  if (isHandedOut([...ports.tcp, ...ports.udp]) && !isWritable(RESERVED_PORTS)) {
    return [fail(
      `the kernel may assign ports of the NAT (${first} to ${last}) to this host's own connections, ` +
        `and ${RESERVED_PORTS} cannot be written`,
      `choose ports outside ip_local_port_range (${formatRange(ephemeralPorts())}) ` +
        `with NatPorts (${subject.place("NatPorts")})`,
    )];
  }
  return [ok(`ports ${first} to ${last} are free for the NAT`)];
}

/** Sends a packet as the NAT would, and sees whether the answer is captured. */
async function checkNat(subject: Subject): Promise<Verdict[]> {
  const nat = natOf(subject);
  if (nat === null) return [];
  const { external, server } = nat;
  const trial = await tryNat(subject.netlink, { external, ports: portsOf(server) });
  switch (trial.outcome) {
    case "answered":
      return [ok(
        `a test packet of the NAT reached ${trial.target}, and its answer was captured (${
          trial.time.toFixed(1)
        } ms)`,
      )];
    case "silent":
      return [ok(
        `a test packet of the NAT left through ${external.name}; ${trial.target} does not answer pings, ` +
          "so the return path is not tested",
      )];
    case "alone":
      return [ok(`the NAT's sockets open on ${external.name}; there is no host to test them with`)];
    case "refused":
      return [fail(
        `this host's firewall or routing blocks packets of the NAT through ${external.name}: ${trial.reason}`,
        "allow outgoing packets with the mark 0x5650: " +
          `${
            subject.command("iptables -I OUTPUT -m mark --mark 0x5650 -j ACCEPT")
          }, or Egress = kernel`,
      )];
    case "no-ingress":
      return [fail(
        `the kernel cannot drop packets at ${external.name} for the NAT: ${trial.reason}`,
        `\`modprobe nf_tables\`, or Capture = nfqueue or Egress = kernel (${
          subject.place("Egress")
        })`,
      )];
  }
}

/** What a gateway with a NAT of its own has; null where there is none, or no way out: another check tells of that. */
function natOf(subject: Subject): {
  readonly server: ServerConfig;
  readonly external: ExternalLink;
} | null {
  const { server } = subject;
  if (server?.interface.egress !== "raw") return null;
  const external = externalOf(subject);
  return external === null ? null : { server, external };
}

function portsOf({ interface: { natPorts, forwards } }: ServerConfig) {
  return capturedPorts({ ports: natPorts, forwards: [], services: forwards });
}

/** Whether the kernel chooses from some of these ports. */
function isHandedOut(ranges: readonly PortRange[]): boolean {
  const chosen = ephemeralPorts();
  const reserved = readReservedPorts();
  return ranges.some((range) => {
    const last = Math.min(range.last, chosen.last);
    for (let port = Math.max(range.first, chosen.first); port <= last; port++) {
      if (!reserved.has(port)) return true;
    }
    return false;
  });
}

function meet(ranges: readonly PortRange[], others: readonly PortRange[]): boolean {
  return ranges.some((range) =>
    others.some(({ first, last }) => first <= range.last && last >= range.first)
  );
}

function formatRange({ first, last }: PortRange): string {
  return `${first} to ${last}`;
}
