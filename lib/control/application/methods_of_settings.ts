/** The application's methods about the gateway's own settings, as a control socket offers them. */
import { dirname, resolve } from "node:path";
import type { ServerConfig } from "../../core/config/config.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import { RefusalError } from "../../core/config/refusal_error.ts";
import { lineDiff } from "../../core/config/text/line_diff.ts";
import { errorMessage, exitCodeOf } from "../../process/errors.ts";
import { paced } from "../../process/pace.ts";
import {
  addedTo,
  changedOf,
  settingsIn,
  withoutSecrets,
} from "../../core/config/text/settings_text.ts";
import type { EditedFile, SettingsFile } from "../../host/files/settings_file.ts";
import type { Handler } from "../protocol.ts";
import type { Reloader, ReloadPreview } from "../reload.ts";
import type { ApplicationMethods } from "./methods.ts";
import { terms } from "./methods_of_peers.ts";
import { textParam } from "./params.ts";

/**
 * Keys that a person has to edit in the file itself: commands that run as root, the identity of the gateway, who may
 * come in here, and with which key it goes to which store: another server would be shown what the key signs, and could
 * be the gateway at the real one. The fleet's address is all gateways', and could be another host's.
 */
const FIXED: readonly string[] = [
  "PrivateKey",
  "PreUp",
  "PostUp",
  "PreDown",
  "PostDown",
  "ControlGroup",
  "Store",
  "StoreCredentials",
  "StoreCA",
  "VirtualAddress",
];

/** Files that root reads: who comes in here names those beside the configuration alone. */
const FILE_KEY = "DnsBlock";

type Result<Method extends keyof ApplicationMethods> = ApplicationMethods[Method]["result"];

export interface SettingsParts {
  readonly file: SettingsFile;
  readonly reloader: Pick<Reloader<ServerConfig>, "preview" | "reload">;
}

export function methodsOfSettings(
  { file, reloader }: SettingsParts,
): Readonly<Record<"settings" | "preview-settings" | "change-settings", Handler>> {
  return {
    "settings": (): Promise<Result<"settings">> => file.read(),
    "preview-settings": async (params): Promise<Result<"preview-settings">> => {
      const text = textParam(params, "text");
      const edited = await file.edited(text);
      const { keys, restart, warnings } = await previewed({ file, reloader }, edited);
      const settings = await paced(settingsIn(edited.before));
      const lines = lineDiff(withoutSecrets(settings), text);
      return { lines, live: keys, restart, warnings };
    },
    "change-settings": async (
      params,
      _emit,
      _signal,
      caller,
    ): Promise<Result<"change-settings">> => {
      const text = textParam(params, "text");
      const { by, revision } = terms(params, caller);
      const written = await file.replace(text, revision, async (edited) => {
        await previewed({ file, reloader }, edited);
      });
      const { changes, restart, problems } = await reloader.reload(by);
      return { revision: written.revision, changes, restart, problems };
    },
  };
}

/** What a reload would do; a text that cannot be run from, or touches what it may not, is refused. */
async function previewed(
  { file, reloader }: SettingsParts,
  { before, after }: EditedFile,
): Promise<ReloadPreview> {
  const [fixed] = await paced(changedOf(FIXED, before, after));
  if (fixed !== undefined) {
    throw new RefusalError(
      "refused",
      `${fixed}: cannot be changed this way: edit the file itself, and restart the gateway`,
    );
  }
  const folder = dirname(resolve(file.path));
  const added = await paced(addedTo(FILE_KEY, before, after));
  const distant = added.find((path) => !resolve(folder, path).startsWith(`${folder}/`));
  if (distant !== undefined) {
    throw new RefusalError(
      "refused",
      `${FILE_KEY}: ${distant} is not in ${folder}: put the file there, or name it in the configuration itself`,
    );
  }
  try {
    return await reloader.preview(after);
  } catch (error) {
    if (!(error instanceof ConfigError) && exitCodeOf(error) === 1) throw error;
    const message = errorMessage(error);
    throw new RefusalError("invalid", message, { cause: error });
  }
}
