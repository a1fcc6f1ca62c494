/**
 * Conflict of a tunnel's addresses with a network that the host is in, as a hotel's LAN of the same numbers, or another
 * tunnel: said once for each, at the start and when the host moves into one.
 */
import { ipv4ToNumber } from "../../../ffi/netlink/ip_address.ts";
import { AF_INET } from "../../../ffi/socket_constants.ts";
import { RouteTable, RouteType } from "../../../ffi/netlink/routes.ts";
import type { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import type { ClientConfig } from "../../core/config/config.ts";
import { formatCidr, formatIpv4, type Ipv4Prefix, prefixMask } from "../../core/wire/ipv4_text.ts";
import type { RoutePlan } from "./route_plan.ts";
import { Swarm } from "../../process/swarm.ts";

/** ms between a change and the look at it, as changes come in swarms; and between two such looks. */
const SETTLE_TIME = 200;
const LOOK_PAUSE = 1_000;

export interface TunnelNumbers {
  readonly config: { readonly interface: Pick<ClientConfig["interface"], "addresses"> };
  readonly plan: Pick<RoutePlan, "isFullTunnel" | "inside"> & {
    readonly plain: Pick<RoutePlan["plain"], "networks">;
  };
  readonly interfaceName: string;
}

export interface NetworkConflictOptions extends TunnelNumbers {
  readonly network: { conflicts(tunnel: TunnelNumbers): readonly string[] };
  readonly logger: { warn(message: string, values: Record<string, unknown>): void };
}

export class NetworkConflict implements Disposable {
  readonly #options: NetworkConflictOptions;
  readonly #changes = new Swarm({
    category: "upkeep",
    entry: "looking for networks with addresses of the tunnel",
    call: () => this.look(),
    settleTime: SETTLE_TIME,
    pause: LOOK_PAUSE,
  });
  #told: ReadonlySet<string> = new Set();

  constructor(options: NetworkConflictOptions) {
    this.#options = options;
  }

  /** Takes note that addresses or routes have changed. */
  notice(): void {
    this.#changes.notice();
  }

  /** Looks at the host's networks, and warns of those that were not there the last time. */
  look(): void {
    const { network, logger } = this.#options;
    const conflicts = network.conflicts(this.#options);
    for (const conflict of conflicts) {
      if (!this.#told.has(conflict)) logger.warn("{conflict}", { conflict });
    }
    this.#told = new Set(conflicts);
  }

  [Symbol.dispose](): void {
    this.#changes[Symbol.dispose]();
  }
}

/**
 * Networks that the host reaches by other interfaces and that have addresses of the tunnel in them, to which they take
 * precedence; the default route is none. A tunnel that is no full one is in front of shorter prefixes than its own.
 */
export function conflictsOf(
  netlink: Pick<Rtnetlink, "links" | "routes">,
  { config, plan, interfaceName }: TunnelNumbers,
): string[] {
  const { addresses } = config.interface;
  const own = netlink.links.find(interfaceName)?.index;
  const numbers = [...new Set([...addresses.map(({ address }) => address), ...plan.inside])];
  const ours = [
    ...addresses.filter(({ prefixLength }) => prefixLength < 32),
    ...plan.plain.networks,
  ];
  const isLost = (address: number, to: Ipv4Prefix) =>
    plan.isFullTunnel ||
    ours.some((network) => isIn(address, network)) &&
      ours.every((network) => !isIn(address, network) || network.prefixLength <= to.prefixLength);
  return netlink.routes.list({ family: AF_INET, table: RouteTable.main }).flatMap((route) => {
    const { link, destination, type } = route;
    if (link === null || link === own || type !== RouteType.unicast) return [];
    if (destination.length === 0) return [];
    const network = {
      address: ipv4ToNumber(destination.address),
      prefixLength: destination.length,
    };
    const within = numbers.filter((address) => isIn(address, network) && isLost(address, network));
    if (within.length === 0) return [];
    const device = netlink.links.find(link)?.name ?? `link ${link}`;
    const reached = within.filter((address) => plan.inside.includes(address)).map(formatIpv4);
    return [
      `the network ${formatCidr(network)} on ${device} contains addresses of the tunnel: ` +
      `${within.map(formatIpv4).join(", ")}: ` +
      (reached.length > 0
        ? `${reached.join(", ")} through the tunnel, the rest through ${device}`
        : `all of it is reached through ${device}` +
          (plan.isFullTunnel
            ? ": add the gateway's inner address to AllowedIPs, as in 10.66.77.1/32"
            : ", and none of it through the tunnel")) +
      "; to avoid the conflict, choose another network for the tunnel (`vpn init --subnet`)",
    ];
  });
}

function isIn(address: number, network: Ipv4Prefix): boolean {
  return ((address ^ network.address) & prefixMask(network.prefixLength)) === 0;
}
