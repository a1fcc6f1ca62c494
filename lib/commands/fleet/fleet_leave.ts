/** Command `vpn fleet leave`: takes the gateway on this host out of its fleet, when another has taken its place. */
import type { FleetLeaveRequest } from "../../cli/fleet_request.ts";
import { atOnce } from "../../core/config/at_once.ts";
import type { Config } from "../../core/config/config.ts";
import { validateServer } from "../../core/config/roles.ts";
import { formatEndpoint } from "../../core/config/text/config_writer.ts";
import { INTERFACE_SECTION, SectionEditor } from "../../core/config/text/section_edit.ts";
import type { StoredPeers } from "../../core/peers/peer_store.ts";
import { textSteps } from "../../host/files/config_file.ts";
import { editSteps, snapshotSteps } from "../../host/files/config_peers.ts";
import { LockedConfig } from "../../host/files/config_store.ts";
import { readStoreFile } from "../../host/fleet/open_store.ts";
import { publicUserKey } from "../../host/fleet/user_key.ts";
import { ExitCode } from "../../process/errors.ts";
import { writeText } from "../../process/output.ts";
import { reachStore } from "../peer/store_peers.ts";
import { leaveFleetList } from "./fleet_gateways.ts";
import { requireStore } from "./store_config.ts";

const STORE_KEYS = ["Store", "StoreCredentials", "StoreCA", "StoreGrace", "VirtualAddress"];

/**
 * Hands over and leaves; what is to be done elsewhere, it says.
 *
 * @throws {AppError | ConfigError | RefusalError} where the store does not answer, or no other gateway takes over: with
 *   nothing changed
 */
export async function leaveFleet(
  { gateway, keepPeers, configPath }: FleetLeaveRequest,
): Promise<number> {
  using file = await LockedConfig.open(configPath);
  const { text, config } = file.read();
  requireStore(config);
  const { storeCredentials } = config.interface;
  const publicKey = storeCredentials === null
    ? null
    : publicUserKey(readStoreFile("StoreCredentials", storeCredentials, configPath));
  await using store = await reachStore(config, configPath);
  const snapshot = await store.snapshot();
  const alone = keepPeers ? atOnce(aloneSteps(text, config, snapshot)) : null;
  if (alone !== null) validateServer(atOnce(textSteps(configPath, alone, "refuse")));
  const left = await leaveFleetList(store, gateway);
  if (alone !== null) file.replace(alone);
  const key = publicKey === null ? "this gateway's user" : `the line of ${publicKey}`;
  const { publicEndpoint } = config.interface;
  writeText(
    Deno.stdout,
    [
      ...left,
      ...alone === null ? ["If it runs here, stop it: it enters again at its next start."] : [
        `${configPath} has the fleet's peers now (${snapshot.peers.size}), and no store: restart what runs from it.`,
        ...publicEndpoint === null ? [] : [
          `Its PublicEndpoint is still ${
            formatEndpoint(publicEndpoint)
          }, and its PrivateKey the fleet's.`,
        ],
      ],
      `In the configuration of each server of NATS, take out ${key}, and reload it: nats-server --signal reload`,
      ...storeCredentials === null ? [] : [`Then delete ${storeCredentials}.`],
      ...alone === null ? [`Delete ${configPath}, too: it has the fleet's PrivateKey.`] : [],
      "",
    ].join("\n"),
  );
  return ExitCode.ok;
}

/** The text of the file with the peers in it, and without the store; in steps. */
function* aloneSteps(
  text: string,
  config: Config,
  { peers, groups }: StoredPeers,
): Generator<void, string> {
  const editor = yield* SectionEditor.of(text);
  for (const key of STORE_KEYS) {
    editor.set(INTERFACE_SECTION, { key, value: null, repeats: true });
  }
  const before = yield* snapshotSteps(config);
  return yield* editSteps(editor.text, { before, after: { peers, groups } });
}
