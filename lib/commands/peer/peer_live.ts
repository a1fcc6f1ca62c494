/** Live peer changes: a running gateway applies a change of its configuration's peers. */
import type { Config, PeerConfig } from "../../core/config/config.ts";
import type { Instance } from "../../control/instances.ts";
import { addLivePeer, gatewaysOf, removeLivePeer } from "../../control/peers.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { writeText } from "../../process/output.ts";
import { peerTitle } from "./peer_names.ts";
import type { ChangedPeer } from "./peer_update.ts";

/**
 * Lets a client in where this gateway runs.
 *
 * @returns the names of the interfaces that it runs on; none where it does not run
 * @throws {AppError} where it runs and cannot be told: the file is changed by then
 */
export async function applyAddition(server: Config, peer: PeerConfig): Promise<string[]> {
  return await applyLive(server, (gateway) => addLivePeer(gateway, peer));
}

/** Lets it in no more. The same otherwise. */
export async function applyRemoval(server: Config, peer: PeerConfig): Promise<string[]> {
  return await applyLive(server, (gateway) => removeLivePeer(gateway, peer.publicKey));
}

/**
 * Has all that run from this file change clients, or none of them.
 *
 * @returns as above
 * @throws {AppError} where one that runs does not: then what others had applied is taken back
 */
export async function applyUpdate(
  server: Config,
  changes: readonly ChangedPeer[],
): Promise<string[]> {
  const gateways = await visibleGateways(server);
  const names = (found: readonly Instance[]) => found.map(({ interfaceName }) => interfaceName);
  const told = await tellAll(gateways, changes.map(({ before, after }) => put(after, before)));
  const refusal = told.find((outcome) => outcome.status === "rejected");
  if (refusal === undefined) return names(gateways);
  // One that did not answer may have applied it all the same.
  const back = changes.map(({ before, after }) => put(before, after));
  const restored = await tellAll(gateways, back);
  const unsure = gateways.filter((_, index) => restored[index]!.status === "rejected");
  const { reason } = refusal as PromiseRejectedResult;
  const message = reason instanceof Error ? reason.message : String(reason);
  const titles = changes.map(({ before }) => peerTitle(before)).join(", ");
  throw new AppError(
    `Cannot change ${titles}: the running gateway has not applied it: ${message}: ` +
      (unsure.length === 0
        ? "nothing is changed"
        : `${server.fileName} is not changed; restart ${
          names(unsure).join(", ")
        }, which may have applied it`),
    { exitCode: ExitCode.unexpected, cause: reason },
  );
}

/** A peer as it shall be. Without an endpoint it stays where it is: one that has roamed is not where the file says. */
function put(peer: PeerConfig, before: PeerConfig): PeerConfig {
  const isMoved = JSON.stringify(before.endpoint) !== JSON.stringify(peer.endpoint);
  return isMoved ? peer : { ...peer, endpoint: null };
}

/** Tells each gateway of all these peers, whatever it says of one of them; rejected is a gateway that refuses any. */
async function tellAll(
  gateways: readonly Instance[],
  peers: readonly PeerConfig[],
): Promise<PromiseSettledResult<void>[]> {
  return await Promise.allSettled(gateways.map(async (gateway) => {
    const problems: unknown[] = [];
    for (const peer of peers) await addLivePeer(gateway, peer).catch((e) => problems.push(e));
    if (problems.length > 0) throw problems[0];
  }));
}

async function applyLive(
  server: Config,
  tell: (gateway: Instance) => Promise<void>,
): Promise<string[]> {
  try {
    const gateways = await visibleGateways(server);
    // One that cannot be told keeps none of the others from it.
    const outcomes = await Promise.allSettled(gateways.map(tell));
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    return gateways.map(({ interfaceName }) => interfaceName);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    throw new AppError(
      `${server.fileName} is changed, but the running gateway has not applied it: ${error.message}: restart it`,
      { exitCode: ExitCode.unexpected },
    );
  }
}

/** Those that run from this file, so far as this user may know: else there is a warning. */
async function visibleGateways({ interface: { publicKey } }: Config): Promise<Instance[]> {
  try {
    return await gatewaysOf(publicKey);
  } catch (error) {
    if (!(error instanceof AppError) || error.exitCode !== ExitCode.privilege) throw error;
    const warning = `cannot find out whether a running gateway needs this change: ${error.message}`;
    writeText(Deno.stderr, `vpn: warning: ${warning}\n`);
    return [];
  }
}
