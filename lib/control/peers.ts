/** Control methods of `vpn peer`: a running gateway accepts a client, or no longer does, at once. */
import { encodeKey } from "../core/config/values/key_text.ts";
import { AppError, ExitCode } from "../process/errors.ts";
import { ControlClient } from "./client.ts";
import { type Instance, runningInstances } from "./instances.ts";
import type { PeerParams } from "./peer_params.ts";
import type { Status } from "./status.ts";

/** ms; one that takes longer is stopped, or as good as. */
const ANSWER_TIMEOUT = 2_000;

/**
 * The gateways of ours that run with this public key.
 *
 * @throws {AppError} with exit code 5 where it may not be looked, and the remedy
 */
export async function gatewaysOf(publicKey: Uint8Array): Promise<Instance[]> {
  const key = encodeKey(publicKey);
  const instances = runningInstances();
  const statuses = await Promise.all(instances.map(statusOf));
  return instances.filter((_, index) => {
    const status = statuses[index];
    return status?.role === "server" && status.publicKey === key;
  });
}

/** Null where it has ended since it was listed, or does not answer. */
async function statusOf(instance: Instance): Promise<Status | null> {
  try {
    return await ask(instance, "status") as Status;
  } catch (error) {
    if (error instanceof AppError && error.exitCode === ExitCode.connect) return null;
    throw error;
  }
}

/** Adds a peer to a running gateway, or changes the one with its key; others are not disturbed. */
export async function addLivePeer(instance: Instance, peer: PeerParams): Promise<void> {
  await ask(instance, "add-peer", peer);
}

/** Removes a peer from a running gateway; no error if it is not there. */
export async function removeLivePeer(instance: Instance, publicKey: Uint8Array): Promise<void> {
  await ask(instance, "remove-peer", { PublicKey: encodeKey(publicKey) });
}

async function ask(
  instance: Instance,
  method: string,
  params: Readonly<Record<string, string>> = {},
): Promise<unknown> {
  using client = await ControlClient.connect(instance);
  return await client.request(method, params, { timeout: ANSWER_TIMEOUT });
}
