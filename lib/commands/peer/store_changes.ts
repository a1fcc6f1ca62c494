/** Command `vpn peer` with a fleet's store: changes are made there, and each gateway that is connected follows. */
import type { PeerAddition, PeerRequest, PeerUpdate } from "../../cli/command.ts";
import type { Config } from "../../core/config/config.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import type { PeerApplication } from "../../control/application/peer_application.ts";
import { CLIENT_KEY_PLACE } from "../../control/application/methods.ts";
import { clientFileName, clientFilePath, clientFolderName } from "../../host/files/client_files.ts";
import { createFile, LockedConfig } from "../../host/files/config_store.ts";
import { ExitCode } from "../../process/errors.ts";
import { writeText } from "../../process/output.ts";
import { shellWord } from "../../process/shell_word.ts";
import { newClient } from "./new_client.ts";
import { chosenPeers, findPeer, peerTitle } from "./peer_names.ts";
import { runRotation } from "./peer_rotation.ts";
import { settingChange } from "./peer_settings.ts";
import { fleetApplication, reachStore, withStored } from "./store_peers.ts";

type Change = Exclude<PeerRequest, { readonly action: "list" | "show" }>;

/** Does what is asked for. @throws {ConfigError | AppError | RefusalError} where it cannot */
export async function runFleetPeer(request: Change, file: Config): Promise<number> {
  const { configPath } = request;
  await using store = await reachStore(file, configPath);
  const config = withStored(file, await store.snapshot());
  const application = fleetApplication(store, config);
  switch (request.action) {
    case "add":
      await add(request, application);
      return ExitCode.ok;
    case "remove": {
      const peer = findPeer(config, request.name);
      await application.remove([encodeKey(peer.publicKey)], { by: "" });
      const isRemoved = peer.name !== null && await removed(configPath, peer.name);
      const more = isRemoved ? ", and its configuration file is deleted" : "";
      writeText(Deno.stdout, `Removed ${peerTitle(peer)} from the store${more}.\n`);
      return ExitCode.ok;
    }
    case "rotate":
      await runRotation(
        {
          rotate: (asked) => application.rotate(asked, { by: "" }),
          change: (keys, set) => application.change(keys, set, { by: "" }),
          appliedOn: [],
        },
        findPeer(config, request.name),
        request,
        "the store",
      );
      return ExitCode.ok;
    default:
      await update(request, config, (keys, set) => application.change(keys, set, { by: "" }));
      return ExitCode.ok;
  }
}

async function add(request: Extract<Change, PeerAddition>, application: PeerApplication) {
  const { configPath, name } = request;
  const { privateKey, request: asked } = newClient(request);
  const key = asked.publicKey;
  const { client } = await application.create(asked, { by: "" });
  const text = client.text.replace(CLIENT_KEY_PLACE, encodeKey(privateKey));
  const about = `Added ${name} to the store.`;
  const { out = clientFilePath(configPath, name) } = request;
  if (out === "-") {
    writeText(Deno.stdout, text);
    writeText(Deno.stderr, `${about} Its private key is not stored here.\n`);
    return;
  }
  try {
    createFile({ path: out, text });
  } catch (error) {
    // Nobody could ever connect by it.
    await application.remove([key], { by: "" });
    throw error;
  }
  const config = configPath === "server.conf" ? "" : ` --config ${shellWord(configPath)}`;
  writeText(
    Deno.stdout,
    `${about}
Configuration file, with its private key: ${out}

For a phone:             vpn peer show ${shellWord(name)} --qr${config}
`,
  );
}

async function update(
  request: Extract<PeerRequest, PeerUpdate>,
  config: Config,
  change: (
    keys: readonly string[],
    set: Readonly<Record<string, string | null>>,
  ) => Promise<unknown>,
): Promise<void> {
  const { edit: { key, value }, done } = await settingChange(request, Date.now());
  const chosen = chosenPeers(config, request.name);
  await change(chosen.map(({ publicKey }) => encodeKey(publicKey)), { [key]: value });
  writeText(Deno.stdout, `${done(chosen.map(peerTitle).join(", "), "the store")}\n`);
  const [peer] = chosen;
  if (key !== "Name" || value === null || peer === undefined || peer.name === null) return;
  const path = clientFilePath(request.configPath, peer.name);
  if (exists(path)) Deno.renameSync(path, clientFilePath(request.configPath, value));
}

async function removed(configPath: string, name: string): Promise<boolean> {
  using file = await LockedConfig.open(configPath);
  const path = clientFilePath(configPath, name);
  return file.removeBeside(clientFolderName(configPath), clientFileName(name), path);
}

function exists(path: string): boolean {
  try {
    return Deno.lstatSync(path).isFile;
  } catch {
    return false;
  }
}
