/** Live peer changes: a running gateway applies a change of its configuration's peers. */
import type { Config, PeerConfig } from "../../core/config/config.ts";
import type { Instance } from "../../control/instances.ts";
import { addLivePeer, gatewaysOf, removeLivePeer } from "../../control/peers.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { writeText } from "../../process/output.ts";

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

async function applyLive(
  { interface: { publicKey }, fileName }: Config,
  tell: (gateway: Instance) => Promise<void>,
): Promise<string[]> {
  try {
    const gateways = await gatewaysOf(publicKey);
    // One that cannot be told keeps none of the others from it.
    const outcomes = await Promise.allSettled(gateways.map(tell));
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    return gateways.map(({ interfaceName }) => interfaceName);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    if (error.exitCode === ExitCode.privilege) {
      const warning =
        `cannot find out whether a running gateway needs this change: ${error.message}`;
      writeText(Deno.stderr, `vpn: warning: ${warning}\n`);
      return [];
    }
    throw new AppError(
      `${fileName} is changed, but the running gateway has not applied it: ${error.message}: restart it`,
      { exitCode: ExitCode.unexpected },
    );
  }
}
