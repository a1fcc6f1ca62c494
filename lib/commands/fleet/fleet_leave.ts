/** Command `vpn fleet leave`: takes the gateway on this host out of its fleet, when another has taken its place. */
import { hostname } from "node:os";
import type { FleetLeaveRequest } from "../../cli/fleet_request.ts";
import { atOnce } from "../../core/config/at_once.ts";
import type { Config } from "../../core/config/config.ts";
import { validateServer } from "../../core/config/roles.ts";
import { INTERFACE_SECTION, SectionEditor } from "../../core/config/text/section_edit.ts";
import type { StoredPeers } from "../../core/peers/peer_store.ts";
import { textSteps } from "../../host/files/config_file.ts";
import { editSteps, snapshotSteps } from "../../host/files/config_peers.ts";
import { LockedConfig } from "../../host/files/config_store.ts";
import { storedGateways } from "../../host/fleet/gateway_list.ts";
import { readStoreFile } from "../../host/fleet/open_store.ts";
import type { SharedPeerStore } from "../../host/fleet/shared_peer_store.ts";
import { publicUserKey } from "../../host/fleet/user_key.ts";
import { ExitCode } from "../../process/errors.ts";
import { writeText } from "../../process/output.ts";
import { reachStore } from "../peer/store_peers.ts";
import { changeFleet } from "./fleet_gateways.ts";
import { requireStore } from "./store_config.ts";

const STORE_KEYS = ["Store", "StoreCredentials", "StoreCA", "StoreGrace", "VirtualAddress"];

/**
 * Hands over and leaves; what is to be done elsewhere, it says.
 *
 * @throws {AppError | ConfigError | RefusalError} where the store does not answer, with nothing changed
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
  const left = await handOver(store, gateway);
  if (alone !== null) file.replace(alone);
  const key = publicKey === null ? "this gateway's user" : `the line of ${publicKey}`;
  const files = [configPath, ...storeCredentials === null ? [] : [storeCredentials]].join(" and ");
  writeText(
    Deno.stdout,
    [
      ...left,
      ...alone === null ? ["If it runs here, stop it: it enters again at its next start."] : [
        `${configPath} has the fleet's peers now (${snapshot.peers.size}), and no store: restart what runs from it.`,
      ],
      `In the configuration of each server of NATS, take out ${key}, and reload it: nats-server --signal reload`,
      alone === null
        ? `Then delete ${files}: PrivateKey is the fleet's.`
        : "Its PrivateKey is still the fleet's.",
      "",
    ].join("\n"),
  );
  return ExitCode.ok;
}

/** Only gateways with a virtual address are listed; of one that is not, nothing is to be handed over. */
async function handOver(store: SharedPeerStore, gateway: string | null): Promise<string[]> {
  const isListed = storedGateways(store).some(({ name }) => name === hostname());
  if (gateway === null && !isListed) return ["The store lists no gateway of this host."];
  const drained = await changeFleet(store, { action: "drain", gateway });
  return [drained, await changeFleet(store, { action: "remove", gateway })];
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
