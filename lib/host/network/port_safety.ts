/**
 * Port safety: checks that the NAT's external ports belong to nobody else, neither the kernel to hand out, nor a
 * service.
 *
 * Packets for these ports never reach the host's stack, so a service on one of them would fall silent, and a connection
 * of the host's own that got one would never see an answer.
 */
import type { PortRange } from "../../core/wire/port_range.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { readReservedPorts } from "../journal/host_change.ts";
import type { Journal } from "../journal/journal.ts";
import { readSysctl, SysctlError } from "./sysctl.ts";

const EPHEMERAL_RANGE = "/proc/sys/net/ipv4/ip_local_port_range";

/**
 * A socket table under `/proc/net`, and the state in which a socket there takes packets from anybody
 * (net/tcp_states.h).
 */
const TABLES = [
  { protocol: "tcp", file: "tcp", listening: "0A" },
  { protocol: "tcp", file: "tcp6", listening: "0A" },
  { protocol: "udp", file: "udp", listening: "07" },
  { protocol: "udp", file: "udp6", listening: "07" },
] as const;

/** Ports of both protocols, host order. */
export interface NatPorts {
  readonly tcp: readonly PortRange[];
  readonly udp: readonly PortRange[];
}

/** Where the NAT takes its ports. */
export interface NatPlace {
  /** Name of the interface. */
  readonly device: string;
  readonly journal: Journal;
  readonly isIpv6: boolean;
}

/** The owner of a socket whose process this user, or this PID namespace, does not see. */
export const HIDDEN_OWNER = "another process";

/** A socket that listens on one of the ports. */
interface Listener {
  readonly protocol: "tcp" | "udp";
  readonly port: number;
  /** As in the kernel's table: hexadecimal, in host order of its parts. */
  readonly address: string;
  /** Whether it takes what comes by IPv6. */
  readonly isIpv6: boolean;
  readonly inode: string;
}

/**
 * Makes sure of the ports on an interface: refuses those that a service or another gateway has, reserves those that the
 * kernel might hand out. Called again when the gateway has moved to another interface, where it takes them instead.
 *
 * @throws {AppError} with exit code 2, which names who is in the way
 */
export function securePorts(ports: NatPorts, where: NatPlace): void {
  const { device, journal, isIpv6 } = where;
  const inTheWay = listenerAmong(ports, { onlyIpv6: isIpv6 });
  if (inTheWay !== null) {
    const { protocol, port, owner } = inTheWay;
    throw new AppError(
      `Cannot use ${protocol} port ${port} for the NAT: ${owner} listens on it: ` +
        "stop it, or choose other ports with NatPorts",
      { exitCode: ExitCode.usage },
    );
  }
  journal.exclusively(() => {
    refuseOtherGateways(ports, where);
    journal.replace([claimOf(where)], () => {
      journal.make({ kind: claimOf(where), device, ...ports });
      return true;
    });
    reserve([...ports.tcp, ...ports.udp], journal);
  });
}

/** What tells other gateways of the ports. */
function claimOf({ isIpv6 }: NatPlace): "nat-ports" | "nat-ports6" {
  return isIpv6 ? "nat-ports6" : "nat-ports";
}

/** Of two gateways that took the same packets, each would see, and answer for, the connections of the other. */
function refuseOtherGateways(ports: NatPorts, where: NatPlace): void {
  const { device, journal } = where;
  for (const { owner, change } of journal.ofOthers(claimOf(where))) {
    if (change.device !== device) continue;
    for (const protocol of ["tcp", "udp"] as const) {
      const taken = ports[protocol].find((range) => overlaps(range, change[protocol]));
      if (taken === undefined) continue;
      throw new AppError(
        `Cannot use ${protocol} ports ${taken.first} to ${taken.last} for the NAT: the gateway ` +
          `"${owner.interfaceName}" (process ${owner.pid}) uses some of them on ${device}: ` +
          "stop it, or choose other ports with NatPorts",
        { exitCode: ExitCode.usage },
      );
    }
  }
}

/** Who listens on one of the ports, and on which; null where nobody does. `owner` is as in `"nginx" (process 812)`. */
export function listenerAmong(
  ports: NatPorts,
  { onlyIpv6 = false }: { readonly onlyIpv6?: boolean } = {},
): { readonly protocol: "tcp" | "udp"; readonly port: number; readonly owner: string } | null {
  const found = listeners().find(({ protocol, port, isIpv6 }) =>
    contains(ports[protocol], port) && (isIpv6 || !onlyIpv6)
  );
  if (found === undefined) return null;
  return { protocol: found.protocol, port: found.port, owner: ownerOf(found.inode) };
}

/** Who listens on a port, as in `"nginx" (process 812)`; null where nobody does. */
export function listenerOn(protocol: "tcp" | "udp", port: number): string | null {
  const found = listeners().find((other) => other.protocol === protocol && other.port === port);
  return found === undefined ? null : ownerOf(found.inode);
}

/**
 * Who listens on a port where packets for an address (host order) arrive: by that address, or by any. Null for nobody.
 */
export function listenerAt(
  protocol: "tcp" | "udp",
  { address, port }: { readonly address: number; readonly port: number },
): string | null {
  const bytes = [24, 16, 8, 0].map((shift) => address >>> shift & 0xff).reverse();
  const own = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("").toUpperCase();
  const found = listeners().find((other) =>
    other.protocol === protocol && other.port === port &&
    (other.address === own || /^0+$/.test(other.address))
  );
  return found === undefined ? null : ownerOf(found.inode);
}

/** The ports that the kernel hands out to connections of the host's own. */
export function ephemeralPorts(): PortRange {
  const [first, last] = readSysctl(EPHEMERAL_RANGE).split(/\s+/).map(Number);
  return { first, last };
}

function listeners(): Listener[] {
  return TABLES.flatMap(({ protocol, file, listening }) =>
    tableLines(file).flatMap((line) => {
      // sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode
      const fields = line.trim().split(/\s+/);
      if (fields[3] !== listening) return [];
      const [address, port] = fields[1].split(":");
      const isIpv6 = file.endsWith("6");
      return [{ protocol, port: parseInt(port, 16), address, isIpv6, inode: fields[9] }];
    })
  );
}

/** The lines of a socket table of this network namespace, without its heading; none where the kernel has no IPv6. */
function tableLines(file: string): string[] {
  try {
    return Deno.readTextFileSync(`/proc/thread-self/net/${file}`).trimEnd().split("\n").slice(1);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** The process that holds a socket, as in `"nginx" (process 812)`. */
function ownerOf(inode: string): string {
  const link = `socket:[${inode}]`;
  for (const { name: pid } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      for (const { name: fd } of Deno.readDirSync(`/proc/${pid}/fd`)) {
        if (Deno.readLinkSync(`/proc/${pid}/fd/${fd}`) !== link) continue;
        return `"${Deno.readTextFileSync(`/proc/${pid}/comm`).trim()}" (process ${pid})`;
      }
    } catch {
      // Processes and descriptors come and go while we look, and some are not ours to see.
    }
  }
  return HIDDEN_OWNER;
}

/** Keeps the kernel from handing out the ports of the ranges to the host's own connections. */
function reserve(ranges: readonly PortRange[], journal: Journal): void {
  const { first, last } = ephemeralPorts();
  // Those of other gateways, on other interfaces, become ours, too: the one that ends last gives them back.
  const others = journal.ofOthers("reserved-ports").flatMap(({ change }) => change.ranges);
  const reserved = readReservedPorts();
  for (const range of others) {
    for (let port = range.first; port <= range.last; port++) reserved.delete(port);
  }
  const missing = ranges
    .filter((range) => range.first <= last && range.last >= first)
    .flatMap((range) => unreserved(range, reserved));
  if (missing.length === 0) return;
  try {
    journal.make({ kind: "reserved-ports", ranges: missing });
  } catch (error) {
    if (!(error instanceof SysctlError)) throw error;
    throw new AppError(
      `Cannot reserve the NAT's ports: the kernel assigns ${first} to ${last} to other connections: ${error.reason}, ` +
        "or choose NatPorts outside of this range",
      { exitCode: ExitCode.privilege, cause: error },
    );
  }
}

/** The parts of a range that are not reserved yet: only those are ours to give back. */
function unreserved({ first, last }: PortRange, reserved: ReadonlySet<number>): PortRange[] {
  const parts: PortRange[] = [];
  let start = -1;
  for (let port = first; port <= last + 1; port++) {
    const isFree = port <= last && !reserved.has(port);
    if (isFree && start < 0) start = port;
    if (!isFree && start >= 0) {
      parts.push({ first: start, last: port - 1 });
      start = -1;
    }
  }
  return parts;
}

function overlaps(range: PortRange, others: readonly PortRange[]): boolean {
  return others.some(({ first, last }) => first <= range.last && last >= range.first);
}

function contains(ranges: readonly PortRange[], port: number): boolean {
  return ranges.some(({ first, last }) => port >= first && port <= last);
}
