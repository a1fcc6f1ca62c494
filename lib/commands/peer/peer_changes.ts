/** Peer changes in a gateway's configuration: adds a client and removes one. */
import type { PeerAddition } from "../../cli/command.ts";
import { freeAddress } from "../../core/config/address_pool.ts";
import { freeAddress6 } from "../../core/config/address_pool6.ts";
import type { Config, PeerConfig } from "../../core/config/config.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import { withoutPeer, withPeer } from "../../core/config/text/config_writer.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { peerSettings } from "../../core/peers/peer_settings.ts";
import { clientNeeds } from "../../control/application/client_needs.ts";
import { CLIENT_KEY_PLACE } from "../../control/application/methods.ts";
import { parseConfig } from "../../core/config/parse_config.ts";
import { publicKey } from "../../core/noise/x25519.ts";
import { expiryTime } from "../../core/config/values/expiry.ts";
import { formatCidr } from "../../core/wire/ipv4_text.ts";
import { clientFileName, clientFilePath, clientFolderName } from "../../host/files/client_files.ts";
import { hostNames } from "../../host/dns/host_names.ts";
import { createFile, LockedConfig, removeFile } from "../../host/files/config_store.ts";
import { AppError } from "../../process/errors.ts";
import { newPresharedKey, newPrivateKey } from "../keys.ts";
import { findPeer, refuseTakenName } from "./peer_names.ts";

/** A client that was added. */
export interface AddedPeer {
  /** As the gateway's file has it. */
  readonly peer: PeerConfig;
  /** What the gateway's file says now. */
  readonly server: Config;
  /** The client's configuration, with its private key. */
  readonly text: string;
  /** Where that was written; null for nowhere. */
  readonly path: string | null;
}

/**
 * Makes a client's keys, gives it the next free address and writes both ends' configurations.
 *
 * @param configPath the gateway's configuration
 * @throws {ConfigError | AppError} with nothing changed
 */
export async function addPeer(
  configPath: string,
  request: Omit<PeerAddition, "action">,
): Promise<AddedPeer> {
  using file = await LockedConfig.open(configPath);
  const { text, config } = file.read();
  refuseTakenName(config, request.name, `add ${request.name}`);
  const address = freeAddress(config) ?? refuseFullPool(config);

  const privateKey = newPrivateKey();
  const expires = request.expiry === undefined ? null : expiryTime(request.expiry, Date.now());
  const peer = {
    name: request.name,
    expires,
    groups: request.groups ?? [],
    publicKey: publicKey(privateKey),
    presharedKey: newPresharedKey(),
    address,
    address6: freeAddress6(config),
  };
  const ofServer = withPeer(text, peer);
  // What is written can be read again, whatever the file was like.
  const server = parseConfig(ofServer, configPath, { names: hostNames() });
  const added = findPeer(server, request.name);
  const ofClient = clientNeeds(config, peerSettings(added), request).text
    .replace(CLIENT_KEY_PLACE, encodeKey(privateKey));

  const { out = clientFilePath(configPath, request.name) } = request;
  const path = out === "-" ? null : out;
  const place = [clientFolderName(configPath), clientFileName(request.name)] as const;
  if (request.out === undefined) file.createBeside(...place, { path: out, text: ofClient });
  else if (path !== null) createFile({ path, text: ofClient });
  try {
    file.replace(ofServer);
  } catch (error) {
    if (request.out === undefined) file.removeBeside(...place, out);
    else if (path !== null) removeFile(path);
    throw error;
  }
  return { peer: added, server, text: ofClient, path };
}

/**
 * Takes back what `addPeer()` has made, and no other file of that name.
 *
 * @throws {ConfigError | AppError} where it cannot
 */
export async function withdrawPeer(configPath: string, { peer, path }: AddedPeer): Promise<void> {
  using file = await LockedConfig.open(configPath);
  file.replace(withoutPeer(file.read().text, peer));
  if (path === null) return;
  if (path === clientFilePath(configPath, peer.name!)) {
    removeClientFile(file, configPath, peer.name!);
  } else removeFile(path);
}

/** A client that was to be taken out. */
export interface RemovedPeer {
  readonly peer: PeerConfig;
  readonly server: Config;
  /** Whether its own configuration was kept, and is removed. */
  readonly fileRemoved: boolean;
  /**
   * Why the gateway's file still has it, or its own configuration is still there; null where neither is so. A gateway
   * that runs has to be told all the same.
   */
  readonly problem: AppError | null;
  /** Whether the gateway's file has it no more. */
  readonly isOut: boolean;
}

/**
 * Takes a client out of the gateway's configuration, and removes its own where it is kept.
 *
 * @param name its name or public key
 * @throws {ConfigError | AppError} where it is not known which client that is
 */
export async function removePeer(configPath: string, name: string): Promise<RemovedPeer> {
  using file = await LockedConfig.open(configPath);
  const { text, config } = file.read();
  const peer = findPeer(config, name);
  const removed = { peer, server: config };
  let isOut = false;
  try {
    file.replace(withoutPeer(text, peer));
    isOut = true;
    const fileRemoved = peer.name !== null && removeClientFile(file, configPath, peer.name);
    return { ...removed, isOut, fileRemoved, problem: null };
  } catch (problem) {
    // The owner of the folder decides what is in it, but not who may connect.
    if (!(problem instanceof AppError)) throw problem;
    return { ...removed, isOut, fileRemoved: false, problem };
  }
}

function removeClientFile(file: LockedConfig, configPath: string, name: string): boolean {
  const place = [clientFolderName(configPath), clientFileName(name)] as const;
  return file.removeBeside(...place, clientFilePath(configPath, name));
}

function refuseFullPool(config: Config): never {
  const { addresses, lines } = config.interface;
  const place = `${config.fileName}:${lines.get("Address") ?? 1}: Address`;
  throw new ConfigError(
    `${place}: no address is free in ${addresses.map(formatCidr).join(", ") || "it"}: ` +
      "remove a peer, or use a larger network, as in Address = 10.66.77.1/24",
  );
}
