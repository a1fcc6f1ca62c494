/** Store peers: the peers of a fleet's store as a command reads and changes them, whether or not a gateway runs. */
import type { Config } from "../../core/config/config.ts";
import { decodeKey, encodeKey } from "../../core/config/values/key_text.ts";
import { settledGroup, settledPeer } from "../../core/peers/peer_settings.ts";
import type { StoredPeers } from "../../core/peers/peer_store.ts";
import { PeerApplication } from "../../control/application/peer_application.ts";
import { loadConfig } from "../../host/files/config_file.ts";
import { openStore } from "../../host/fleet/open_store.ts";
import type { SharedPeerStore } from "../../host/fleet/shared_peer_store.ts";
import { getLogger } from "../../process/logging.ts";
import { newPresharedKey } from "../keys.ts";

/** ms that a person waits for the store. */
const TIMEOUT = 5_000;

/** The store of a configuration, connected and read. @throws {AppError | RefusalError} */
export async function reachStore(config: Config, configPath: string): Promise<SharedPeerStore> {
  // Nobody listens to it: what goes wrong is the command's error.
  const logger = getLogger("control");
  const store = openStore({ keys: config.interface, configPath, kept: null, logger });
  try {
    await store.reached(TIMEOUT);
    return store;
  } catch (error) {
    await store[Symbol.asyncDispose]();
    throw error;
  }
}

/** A gateway's configuration with its peers, wherever they are. @throws {ConfigError | AppError | RefusalError} */
export async function loadWithPeers(configPath: string): Promise<Config> {
  const config = loadConfig(configPath, "leave");
  if (config.interface.store.length === 0) return config;
  await using store = await reachStore(config, configPath);
  return withStored(config, await store.snapshot());
}

/** Those of the store, as if the file had them. */
export function withStored(config: Config, { peers, groups }: StoredPeers): Config {
  return {
    ...config,
    peers: Array.from(peers, ([key, settings]) => ({
      ...settledPeer(decodeKey(key)!, settings),
      otherEndpoints: [],
      zonedEndpoint: null,
      line: 0,
    })),
    groups: Array.from(groups, ([name, settings]) => settledGroup(name, settings)),
  };
}

/** What changes peers of the store; gateways that run follow by themselves. */
export function fleetApplication(store: SharedPeerStore, config: Config): PeerApplication {
  return new PeerApplication({
    store,
    live: { peers: () => new Map(), apply: () => Promise.resolve() },
    gateway: () => config,
    now: Date.now,
    newPresharedKey: () => encodeKey(newPresharedKey()),
  });
}
