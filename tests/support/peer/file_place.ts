/** Adds and removes clients as `vpn peer` does where no gateway runs. */
import { type AddedPeer, addPeer, removePeer } from "../../../lib/commands/peer/peer_changes.ts";
import { loadToChange } from "../../../lib/host/files/config_store.ts";
import { ToldGateways } from "../../../lib/commands/peer/peer_live.ts";
import { findPeer } from "../../../lib/commands/peer/peer_names.ts";
import { FilePlace } from "../../../lib/commands/peer/peer_place.ts";

export async function addToFile(
  configPath: string,
  request: Omit<Parameters<typeof addPeer>[2], "server">,
): Promise<AddedPeer> {
  const server = loadToChange(configPath);
  const place = new FilePlace(configPath, server, new ToldGateways(server, []));
  return await addPeer(place, configPath, { ...request, server });
}

/** Returns whether its own file is removed. */
export async function removeFromFile(configPath: string, name: string): Promise<boolean> {
  const server = loadToChange(configPath);
  const place = new FilePlace(configPath, server, new ToldGateways(server, []));
  return await removePeer(place, configPath, findPeer(server, name));
}
