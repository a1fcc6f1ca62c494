/** Settings file: the `[Interface]` section of a gateway's configuration, read and replaced by itself. */
import { createHash } from "node:crypto";
import { RefusalError } from "../../core/config/refusal_error.ts";
import { settingsIn, withoutSecrets, withSettings } from "../../core/config/text/settings_text.ts";
import { paced } from "../../process/pace.ts";
import { refusing } from "./file_peer_store.ts";
import { LockedConfig } from "./config_store.ts";

/** What may be shown. */
export interface ShownSettings {
  readonly text: string;
  /** Another one after each change. */
  readonly revision: string;
}

/** The whole file, with its secrets. */
export interface EditedFile {
  readonly before: string;
  readonly after: string;
}

export class SettingsFile {
  /** Of the configuration. */
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** @throws {RefusalError} */
  read(): Promise<ShownSettings> {
    return refusing(async () => {
      using file = await LockedConfig.open(this.path);
      return await shown(file.readText());
    });
  }

  /** The file as it is, and as it would be. @throws {RefusalError} */
  edited(settings: string): Promise<EditedFile> {
    return refusing(async () => {
      using file = await LockedConfig.open(this.path);
      const text = file.readText();
      return { before: text, after: await paced(withSettings(text, settings)) };
    });
  }

  /**
   * Replaces the section.
   *
   * @param revision that it must have; any, if left out
   * @param accept is asked before about the whole file; what it throws keeps it from being written
   * @throws {RefusalError} with nothing changed
   */
  replace(
    settings: string,
    revision: string | undefined,
    accept: (edited: EditedFile) => Promise<void>,
  ): Promise<ShownSettings> {
    return refusing(async () => {
      using file = await LockedConfig.open(this.path);
      const text = file.readText();
      if (revision !== undefined && revision !== (await shown(text)).revision) {
        throw new RefusalError(
          "revision",
          "Cannot change the settings: they have been changed meanwhile: read them again",
        );
      }
      const after = await paced(withSettings(text, settings));
      await accept({ before: text, after });
      if (after !== text) file.replace(after);
      return await shown(after);
    });
  }
}

async function shown(text: string): Promise<ShownSettings> {
  const settings = await paced(settingsIn(text));
  const revision = createHash("sha256").update(settings).digest("base64url").slice(0, 22);
  return { text: withoutSecrets(settings), revision };
}
