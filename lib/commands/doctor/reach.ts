/** Reach trial of a client's path to its server: the name, the handshake, the length of what passes. */
import { Capability, hasCapability } from "../../../ffi/capabilities.ts";
import { SystemCallError } from "../../../ffi/errno.ts";
import { ipv4ToNumber } from "../../../ffi/netlink/ip_address.ts";
import type { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import type { ClientConfig } from "../../core/config/config.ts";
import { withoutUnrouted } from "../../core/wire/families.ts";
import { addressBytes, type HostAddress, isIpv6 } from "../../core/wire/host_address.ts";
import { innerMtu, MIN_MTU, PATH_OVERHEAD } from "../../core/wireguard/path/path_mtu.ts";
import { resolveAll } from "../../host/dns/resolve.ts";
import { planRoutes } from "../../host/network/route_plan.ts";
import { refusesOtherPorts } from "../refused_ports.ts";
import { mtuLimit } from "../tunnel_lifecycle.ts";
import { type EchoTrial, tryEcho } from "./echo_trial.ts";
import { type HandshakeOutcome, TrialSession } from "./trial_session.ts";

/** ms for each of name and handshake; a configuration may ask for more than somebody who waits for a report has. */
const LONGEST_WAIT = 3_000;
const PROBE_TIME = 1_000;
/** Bytes of the packets, IP header included, that are tried on a path that does not take the longest. */
const COMMON_PATHS: readonly number[] = [1450, 1400, 1280, MIN_MTU + PATH_OVERHEAD];
/** Bytes of a ping that fits any path. */
const SHORT = 84;

/** What datagrams pass. */
export interface PathTrial {
  /** Bytes of the longest that a tunnel with this configuration sends, IP header included. */
  readonly wanted: number;
  /** Bytes of the longest that arrived; null where nothing answered that could tell. */
  readonly passed: number | null;
  /** Whether this host knows of that limit: a router said so, now or before, or it is the MTU of the first link. */
  readonly isKnown: boolean;
}

/** What came of it. */
export type Reach =
  /** The tunnel is up here, by whatever program: it must not be disturbed. */
  | { readonly kind: "up"; readonly device: string }
  | { readonly kind: "unresolved"; readonly error: unknown }
  /** The trial is by UDP, which the tunnel does not use. */
  | { readonly kind: "untried"; readonly address: HostAddress }
  | {
    readonly kind: "tried";
    /** Of the server. */
    readonly address: HostAddress;
    readonly handshake: HandshakeOutcome;
    /** Whether the server's host answers pings; null where this user may not ping. */
    readonly pings: boolean | null;
    /** Whether the server's host says that another port is closed. */
    readonly refusesOthers: boolean;
    /** Null where there was no handshake, and by IPv6, where it is not tried. */
    readonly path: PathTrial | null;
  };

/** A way to the server: by one of its endpoints. */
export interface EndpointReach {
  /** The configuration as if that were the only one. */
  readonly client: ClientConfig;
  readonly reach: Reach;
}

/** Carries the trial out by each endpoint; where the tunnel is up, that is all there is to say. */
export async function tryEndpoints(
  config: ClientConfig,
  netlink: Rtnetlink,
): Promise<readonly EndpointReach[]> {
  const ways = await Promise.all(config.endpoints.map(async (endpoint): Promise<EndpointReach> => {
    const server = { ...config.server, endpoint, otherEndpoints: [] };
    const client = { ...config, server, endpoints: [endpoint] };
    return { client, reach: await tryReach(client, netlink) };
  }));
  const up = ways.find(({ reach }) => reach.kind === "up");
  return up === undefined ? ways : [up];
}

async function tryReach(config: ClientConfig, netlink: Rtnetlink): Promise<Reach> {
  const device = tunnelWith(config, netlink);
  if (device !== null) return { kind: "up", device };
  const timeout = Math.min(LONGEST_WAIT, config.interface.connectTimeout);
  let found: readonly HostAddress[];
  try {
    found = await resolveAll(config.server.endpoint, timeout);
  } catch (error) {
    return { kind: "unresolved", error };
  }
  if (config.interface.transport === "faketcp") {
    return { kind: "untried", address: found.find((address) => !isIpv6(address)) ?? found[0]! };
  }
  const routed = withoutUnrouted(found, (address) => knownMtu(netlink, address, 0) !== null);
  // The first of each family: a client tries them all, and one that answers is enough.
  const [first, second] = [routed[0]!, routed.find((each) => isIpv6(each) !== isIpv6(routed[0]!))];
  const reach = await tryAddress(config, { address: first, netlink, timeout });
  if (second === undefined || reach.kind !== "tried" || reach.handshake.kind === "answered") {
    return reach;
  }
  const other = await tryAddress(config, { address: second, netlink, timeout });
  return other.kind === "tried" && other.handshake.kind === "answered" ? other : reach;
}

async function tryAddress(
  config: ClientConfig,
  { address, netlink, timeout }: {
    readonly address: HostAddress;
    readonly netlink: Rtnetlink;
    readonly timeout: number;
  },
): Promise<Reach> {
  // Without the capability to mark its datagrams, a client does not run either; but the answer is worth something.
  const mark = hasCapability(Capability.netAdmin) ? planRoutes(config).mark : 0;
  const wanted = mtuLimit(config.interface.mtu) + PATH_OVERHEAD;
  const limit = Math.min(wanted, knownMtu(netlink, address, mark) ?? wanted);
  const pinging = isIpv6(address) ? Promise.resolve(null) : pingable(address, [SHORT]);
  try {
    using session = new TrialSession(config, { address, mark, mtu: wanted - PATH_OVERHEAD });
    const handshake = await session.handshake(timeout);
    const pings = await pinging;
    const path = handshake.kind !== "answered" || isIpv6(address) ? null : await tryPath(session, {
      wanted,
      limit,
      address,
      isPingable: pings !== null && pings.longest > 0,
      learnt: () => knownMtu(netlink, address, mark),
    });
    const refusesOthers = handshake.kind === "silent" &&
      await refusesOtherPorts(address, { port: config.server.endpoint.port, mark });
    return {
      kind: "tried",
      address,
      handshake,
      pings: pings && pings.longest > 0,
      refusesOthers,
      path,
    };
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    const handshake = { kind: "unreachable", reason: error.message } as const;
    return { kind: "tried", address, handshake, pings: false, refusesOthers: false, path: null };
  }
}

/** By probes within the tunnel, which only a server of our kind answers; else by pings. */
async function tryPath(
  session: TrialSession,
  { wanted, limit, address, isPingable, learnt }: {
    readonly wanted: number;
    readonly limit: number;
    readonly address: number;
    readonly isPingable: boolean;
    /** What this host knows of the path by now. */
    readonly learnt: () => number | null;
  },
): Promise<PathTrial> {
  const inside = (length: number) => innerMtu(length, wanted - PATH_OVERHEAD);
  const isKnown = (length: number) => session.wasTold || length >= limit;
  const lengths = [limit, ...COMMON_PATHS.filter((length) => length < limit)];
  // Of what a router said, the kernel has the number.
  const told = (passed: number) => {
    const length = Math.min(learnt() ?? 0, limit);
    return length > passed ? length : null;
  };
  const proven = await session.probe(lengths.map(inside), PROBE_TIME);
  if (proven > 0) {
    const exact = told(proven + PATH_OVERHEAD);
    const again = exact === null ? proven : await session.probe([inside(exact)], PROBE_TIME);
    const passed = again + PATH_OVERHEAD;
    return { wanted, passed, isKnown: isKnown(passed) };
  }
  const echo = isPingable ? await pingable(address, lengths) : null;
  if (echo === null || echo.longest === 0) return { wanted, passed: null, isKnown: false };
  const exact = told(echo.longest);
  const again = exact === null ? null : await pingable(address, [exact]);
  const passed = Math.max(echo.longest, again?.longest ?? 0);
  return { wanted, passed, isKnown: echo.wasTold || isKnown(passed) };
}

/**
 * The tunnel that has one of the configuration's addresses, ours or WireGuard's; null for none. An interface with a
 * hardware address is none: a network that leases that very address has no tunnel up.
 */
export function tunnelWith(
  config: ClientConfig,
  netlink: Pick<Rtnetlink, "addresses" | "links">,
): string | null {
  const own = new Set(config.interface.addresses.map(({ address }) => address));
  for (const { address, link } of netlink.addresses.list()) {
    if (address.length !== 4 || !own.has(ipv4ToNumber(address))) continue;
    const found = netlink.links.find(link);
    if (found !== null && found.hardwareAddress === null) return found.name;
  }
  return null;
}

/** Bytes that the way to an address takes, as far as this host knows; null where it knows no way. */
function knownMtu(netlink: Rtnetlink, address: HostAddress, mark: number): number | null {
  try {
    const route = netlink.routes.lookup(addressBytes(address), { mark });
    if (route.mtu !== null) return route.mtu;
    return route.link === null ? null : netlink.links.get(route.link).mtu;
  } catch (error) {
    if (error instanceof NetlinkError) return null;
    throw error;
  }
}

/** Null where this user may not ping, or there is no way. */
async function pingable(address: number, lengths: readonly number[]): Promise<EchoTrial | null> {
  try {
    return await tryEcho(address, { lengths, timeout: PROBE_TIME });
  } catch (error) {
    if (error instanceof SystemCallError) return null;
    throw error;
  }
}
