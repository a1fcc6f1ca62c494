/** Peer changes: adds a client and removes one, with the files that it has on this host. */
import type { PeerAddition } from "../../cli/command.ts";
import { CLIENT_KEY_PLACE, type CreatedPeer } from "../../control/application/methods.ts";
import type { Config, PeerConfig } from "../../core/config/config.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { clientFileName, clientFilePath, clientFolderName } from "../../host/files/client_files.ts";
import { createFile, LockedConfig } from "../../host/files/config_store.ts";
import { newClient } from "./new_client.ts";
import { refuseTakenName } from "./peer_names.ts";
import type { PeerPlace } from "./peer_place.ts";

/** A client that was added. */
export interface AddedPeer extends CreatedPeer {
  /** Its configuration, with its private key. */
  readonly text: string;
  /** Where that was written; null for nowhere. */
  readonly path: string | null;
}

/**
 * Makes a client's keys, has it added and writes its configuration.
 *
 * @param server what the gateway's file says
 * @throws {ConfigError | AppError | RefusalError} with nothing changed
 */
export async function addPeer(
  place: PeerPlace,
  configPath: string,
  { server, ...request }: Omit<PeerAddition, "action"> & { readonly server: Config },
): Promise<AddedPeer> {
  const { name } = request;
  refuseTakenName(server, name, `add ${name}`);
  const { privateKey, request: asked } = newClient(request);
  const key = asked.publicKey;
  const created = await place.create(asked);
  const text = created.client.text.replace(CLIENT_KEY_PLACE, encodeKey(privateKey));
  const { out = clientFilePath(configPath, name) } = request;
  const path = out === "-" ? null : out;
  try {
    if (request.out === undefined) {
      using file = await LockedConfig.open(configPath);
      file.createBeside(clientFolderName(configPath), clientFileName(name), { path: out, text });
    } else if (path !== null) createFile({ path, text });
  } catch (error) {
    // The file that has its name is another's, which the removal must not take along.
    await place.change([key], { Name: null });
    await place.remove([key]);
    throw error;
  }
  return { ...created, text, path };
}

/**
 * Has a client taken out, and removes its own configuration where it is kept.
 *
 * @returns whether that was so
 * @throws {AppError | RefusalError} where it is not taken out, or its configuration is still there
 */
export async function removePeer(
  place: PeerPlace,
  configPath: string,
  peer: PeerConfig,
): Promise<boolean> {
  const { name } = peer;
  const isKept = name !== null && isThere(configPath, name);
  await place.remove([encodeKey(peer.publicKey)]);
  if (!isKept || !isThere(configPath, name)) return isKept;
  // Who has taken it out could not reach the file.
  using file = await LockedConfig.open(configPath);
  const path = clientFilePath(configPath, name);
  return file.removeBeside(clientFolderName(configPath), clientFileName(name), path);
}

/** Whether anything seems to be there; what it is, its removal sees. */
function isThere(configPath: string, name: string): boolean {
  try {
    return Deno.lstatSync(clientFilePath(configPath, name)).isFile;
  } catch {
    return false;
  }
}
