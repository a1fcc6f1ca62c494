/** Live peer changes: a running gateway applies a change of its configuration's peers. */
import type { Config, PeerConfig } from "../../core/config/config.ts";
import type { Instance } from "../../control/instances.ts";
import { addLivePeer, gatewaysOf, removeLivePeer } from "../../control/peers.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { writeText } from "../../process/output.ts";
import { peerTitle } from "./peer_names.ts";
import type { ChangedPeer } from "./peer_update.ts";

/**
 * Lets a client in where this gateway runs, or nowhere.
 *
 * @returns the names of the interfaces that it runs on; none where it does not run
 * @throws {AppError} where one that runs does not: then none admits it
 */
export async function applyAddition(server: Config, peer: PeerConfig): Promise<string[]> {
  return await applyToAll(server, {
    action: `add ${peerTitle(peer)}`,
    apply: (gateway) => addLivePeer(gateway, peer),
    takeBack: (gateway) => removeLivePeer(gateway, peer.publicKey),
  });
}

/**
 * Lets it in no more.
 *
 * @returns the same
 * @throws {AppError} where one that runs cannot be told: the file is changed by then, and stays so
 */
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
  const titles = changes.map(({ before }) => peerTitle(before)).join(", ");
  return await applyToAll(server, {
    action: `change ${titles}`,
    apply: (gateway) => putAll(gateway, changes.map(({ before, after }) => put(after, before))),
    takeBack: (gateway) => putAll(gateway, changes.map(({ before, after }) => put(before, after))),
  });
}

async function applyToAll(
  server: Config,
  { action, apply, takeBack }: {
    readonly action: string;
    readonly apply: (gateway: Instance) => Promise<void>;
    readonly takeBack: (gateway: Instance) => Promise<void>;
  },
): Promise<string[]> {
  const gateways = await visibleGateways(server);
  const names = (found: readonly Instance[]) => found.map(({ interfaceName }) => interfaceName);
  const refusal = (await Promise.allSettled(gateways.map(apply)))
    .find((outcome) => outcome.status === "rejected");
  if (refusal === undefined) return names(gateways);
  // One that did not answer may have applied it all the same.
  const restored = await Promise.allSettled(gateways.map(takeBack));
  const unsure = gateways.filter((_, index) => restored[index]!.status === "rejected");
  const { reason } = refusal;
  const message = reason instanceof Error ? reason.message : String(reason);
  throw new AppError(
    `Cannot ${action}: the running gateway has not applied it: ${message}: ` +
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

/** Puts all these peers, whatever is said of one of them; throws what was said first. */
async function putAll(gateway: Instance, peers: readonly PeerConfig[]): Promise<void> {
  const problems: unknown[] = [];
  for (const peer of peers) {
    await addLivePeer(gateway, peer).catch((error) => problems.push(error));
  }
  if (problems.length > 0) throw problems[0];
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
