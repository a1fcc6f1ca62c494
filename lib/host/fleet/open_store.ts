/** Opening the store that a configuration names: its servers, our key there, and who vouches for them. */
import { hostname } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import type { InterfaceConfig } from "../../core/config/config.ts";
import { MAX_PEERS } from "../../core/limits/max_peers.ts";
import type { StoredPeers } from "../../core/peers/peer_store.ts";
import { AppError, errorMessage, ExitCode } from "../../process/errors.ts";
import type { Logger } from "../../process/logging.ts";
import { readRegular } from "../files/bounded_read.ts";
import { SharedPeerStore } from "./shared_peer_store.ts";

/** The bucket of the fleet; several fleets at the same servers are accounts of NATS. */
const BUCKET = "vpn";
/** ms between attempts, and between questions whether it answers. */
const URGENT = { first: 100, longest: 1_000, probe: 400 };
const MAX_FILE_SIZE = 256 * 1024;

export type StoreKeys = Pick<InterfaceConfig, "store" | "storeCredentials" | "storeCa">;

export interface OpenStoreOptions {
  readonly keys: StoreKeys;
  /** Of the configuration, beside which are files that are not given by their whole path. */
  readonly configPath: string;
  /** What was there last, where that is known. */
  readonly kept: StoredPeers | null;
  readonly logger: Logger;
  /** Whether it has to be known soon that it does not answer. */
  readonly isUrgent?: boolean;
}

/** @throws {AppError} where its files cannot be read; that no server answers is no error */
export function openStore(
  { keys, configPath, kept, logger, isUrgent = false }: OpenStoreOptions,
): SharedPeerStore {
  const read = (key: string, path: string | null) =>
    path === null ? null : readStoreFile(key, path, configPath);
  const credentials = read("StoreCredentials", keys.storeCredentials);
  const ca = read("StoreCA", keys.storeCa);
  if (credentials !== null && !/BEGIN NATS USER JWT|\bSU[A-Z2-7]{56}\b/.test(credentials)) {
    throw new AppError(
      `Cannot use ${keys.storeCredentials} as StoreCredentials: it has no key of a user of NATS: make one with ` +
        "`vpn fleet key`, or take the file that `nsc` has made",
      { exitCode: ExitCode.usage },
    );
  }
  const name = `vpn on ${hostname()}`;
  return new SharedPeerStore({
    open: async () => {
      // It takes memory, which only those pay who have a store.
      const { openNatsBucket } = await import("./nats_bucket.ts");
      return await openNatsBucket({ servers: keys.store, bucket: BUCKET, name, credentials, ca });
    },
    maxPeers: MAX_PEERS,
    kept,
    logger,
    ...isUrgent ? { pauses: URGENT } : {},
  });
}

/**
 * Reads a file of a configuration's store.
 *
 * @param named as the configuration at `configPath` has it
 * @throws {AppError} where it cannot be read
 */
export function readStoreFile(key: string, named: string, configPath: string): string {
  const path = isAbsolute(named) ? named : join(dirname(configPath), named);
  try {
    return new TextDecoder().decode(readRegular(path, MAX_FILE_SIZE).bytes);
  } catch (error) {
    const reason = errorMessage(error);
    throw new AppError(`Cannot read ${key} (${path}): ${reason}`, { exitCode: ExitCode.usage });
  }
}
