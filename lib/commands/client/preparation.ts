/**
 * Client preparation: all that a client finds out before its data plane starts: the block that it takes over, its
 * routes, where its peers are. Nothing on the host changes.
 */
import type { ClientConfig, Endpoint } from "../../core/config/config.ts";
import type { ServerPlace } from "../../core/client/server_places.ts";
import type { HostAddress } from "../../core/wire/host_address.ts";
import type { PeerOptions } from "../../core/wireguard/peer.ts";
import { locatedPeers } from "../../host/dns/peer_places.ts";
import { type FirstLookUpOptions, lookUpServer } from "./server_lookup.ts";
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
  readonly places: readonly ServerPlace[];
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
  const located = await Promise.race([
    Promise.all([
      findServer(config, block, {
        timeout: config.interface.connectTimeout,
        hasRoute: (address) => wayTo(address) !== null,
        onMissing: ({ message }) =>
          logger.warn("{error}: trying the other endpoints", { error: message }),
        outside: (addresses) =>
          reachableOutside(addresses, (address) => {
            requireReachableOutside(config, { plan, server: address, way: wayTo(address) });
          }),
      }),
      locatedPeers(config.otherPeers, { config, logger }),
    ]),
    // A look-up may take as long as `ConnectTimeout`, and nothing is changed yet.
    stop.received,
  ]);
  if (typeof located === "string") return null;
  const [places, others] = located;
  return { block, plan, places, others };
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

/**
 * Where the server may be. While the host is closed, names cannot be looked up: the one that is known is where the
 * client before found it, and the others are left for when this client may ask.
 */
async function findServer(
  { endpoints }: ClientConfig,
  block: StandingBlock | null,
  options: FirstLookUpOptions,
): Promise<readonly ServerPlace[]> {
  const known = block?.change.server ?? null;
  const settled = endpoints.map((endpoint): Endpoint =>
    known !== null && endpoint.address === null && known.name === endpoint.host
      ? { ...endpoint, address: known.address }
      : endpoint
  );
  const isEnough = block !== null && settled.some(({ address }) => address !== null);
  try {
    return await lookUpServer(settled, { ...options, isToAsk: !isEnough });
  } catch (error) {
    if (block === null || !(error instanceof AppError)) throw error;
    throw new AppError(
      `${error.message}: the kill switch blocks DNS: use an IP address as Endpoint, or remove the block with ` +
        "`vpn cleanup`",
      { exitCode: error.exitCode, cause: error },
    );
  }
}
