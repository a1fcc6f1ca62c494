/**
 * Client preparation: all that a client finds out before its data plane starts: the block that it takes over, its
 * routes, where its peers are. Nothing on the host changes.
 */
import type { ClientConfig } from "../../core/config/config.ts";
import { withoutUnrouted } from "../../core/wire/families.ts";
import type { HostAddress } from "../../core/wire/host_address.ts";
import type { PeerOptions } from "../../core/wireguard/peer.ts";
import { locatedPeers } from "../../host/dns/peer_places.ts";
import { resolveAll } from "../../host/dns/resolve.ts";
import {
  blocksHere,
  describeBlock,
  type StandingBlock,
} from "../../host/firewall/standing_blocks.ts";
import { changesOfOthers } from "../../host/journal/shared_change.ts";
import {
  planRoutes,
  reachableOutside,
  requireReachableOutside,
  type RoutePlan,
  routeWarnings,
} from "../../host/network/route_plan.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import type { Logger } from "../../process/logging.ts";
import type { TunnelStart } from "../tunnel_lifecycle.ts";

export interface Preparation {
  /** The block that an earlier client has left and that this one takes over; null for none. */
  readonly block: StandingBlock | null;
  readonly plan: RoutePlan;
  /** Where the server may be; at least one. */
  readonly addresses: readonly HostAddress[];
  /** The peers besides the server. */
  readonly others: readonly PeerOptions[];
}

/**
 * @returns null where it is told to stop meanwhile
 * @throws {AppError} where the client cannot run, or its server has no address
 */
export async function prepareClient(
  { options, config, logger, network, stop }: TunnelStart<ClientConfig>,
): Promise<Preparation | null> {
  const { interfaceName } = options;
  const block = findBlock(config, { interfaceName, logger });
  if (config.interface.killSwitch) requireNoOtherKillSwitch(interfaceName);
  const plan = planRoutes(config);
  for (const warning of routeWarnings(config, plan)) logger.warn("{warning}", { warning });
  const wayTo = (address: HostAddress) => network.wayTo(address, plan.mark);
  const hasRoute = (address: HostAddress) => wayTo(address) !== null;
  const located = await Promise.race([
    Promise.all([
      resolveServer(config, { block, hasRoute }),
      locatedPeers(config.otherPeers, { config, logger }),
    ]),
    // A look-up may take as long as `ConnectTimeout`, and nothing is changed yet.
    stop.received,
  ]);
  if (typeof located === "string") return null;
  const [found, others] = located;
  const routed = withoutUnrouted(found, hasRoute);
  const addresses = reachableOutside(routed, (address) => {
    requireReachableOutside(config, { plan, server: address, way: wayTo(address) });
  });
  return { block, plan, addresses, others };
}

/**
 * The block that an earlier client has left and that this one takes over. Others are logged: nothing leaves the host
 * then.
 */
function findBlock(
  config: ClientConfig,
  { interfaceName, logger }: { readonly interfaceName: string; readonly logger: Logger },
): StandingBlock | null {
  let found: StandingBlock | null = null;
  for (const block of blocksHere()) {
    const isOurs = config.interface.killSwitch && block.owner.interfaceName === interfaceName;
    if (isOurs) found = block;
    else logger.warn("{block}", { block: describeBlock(block) });
  }
  return found;
}

/**
 * Each kill switch drops what the other's tunnel sends.
 *
 * @throws {AppError} with exit code 2
 */
function requireNoOtherKillSwitch(interfaceName: string): void {
  const other = changesOfOthers("kill-switch", "")
    .find(({ owner }) => owner.interfaceName !== interfaceName);
  if (other === undefined) return;
  throw new AppError(
    `Cannot use KillSwitch = on: the client on "${other.owner.interfaceName}" (process ${other.owner.pid}) already blocks this ` +
      "host, and each kill switch would block the other tunnel: stop that client, or set KillSwitch = off in one",
    { exitCode: ExitCode.usage },
  );
}

/** While the host is closed its name cannot be looked up, so the server is where it was for the client before. */
async function resolveServer(
  config: ClientConfig,
  { block, hasRoute }: {
    readonly block: StandingBlock | null;
    readonly hasRoute: (address: HostAddress) => boolean;
  },
): Promise<readonly HostAddress[]> {
  const { endpoint } = config.server;
  const known = block?.change.server ?? null;
  if (known !== null && endpoint.address === null && known.name === endpoint.host) {
    return [known.address];
  }
  try {
    return await resolveAll(endpoint, config.interface.connectTimeout, hasRoute);
  } catch (error) {
    if (block === null || !(error instanceof AppError)) throw error;
    throw new AppError(
      `${error.message}: the kill switch blocks DNS: use an IP address as Endpoint, or remove the block with ` +
        "`vpn cleanup`",
      { exitCode: error.exitCode, cause: error },
    );
  }
}
