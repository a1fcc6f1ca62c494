/** Fleet files: those that `vpn fleet init` and `join` write, all of them or none. */
import { basename, dirname, join } from "node:path";
import { Folder } from "../../../ffi/folder.ts";
import type { StoreFiles } from "../../core/fleet/join/common_settings.ts";
import { createKeyFile } from "../../host/files/config_store.ts";
import { AppError, ExitCode } from "../../process/errors.ts";

export interface TextFile {
  readonly path: string;
  readonly text: string;
}

/** How a configuration names the files of its store: beside it, by its name. */
export function storeFilesOf(configPath: string): StoreFiles {
  const name = basename(configPath).replace(/\.conf$/, "");
  return { credentials: `${name}.nk`, ca: `${name}-store-ca.pem` };
}

/** Where such a file is. */
export function besideConfig(configPath: string, name: string): string {
  return join(dirname(configPath), name);
}

/** @throws {AppError} where one of them exists */
export function requireFree(paths: readonly string[], remedy: string): void {
  for (const path of paths) {
    if (!exists(path)) continue;
    throw new AppError(`Cannot write ${path}: it exists already: ${remedy}`, {
      exitCode: ExitCode.usage,
    });
  }
}

/** Whether there is something by this name, if only a link that leads nowhere. */
export function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    if (error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}

/**
 * Writes them for their owner alone, in this order, and then does what they are for; where that fails, those that are
 * new are removed.
 *
 * @throws {AppError} where one cannot be written
 */
export function writeFiles(
  files: readonly TextFile[],
  { overwrite }: { readonly overwrite: boolean },
  then: () => void = () => {},
): void {
  const made: string[] = [];
  try {
    for (const { path, text } of files) {
      const isNew = !exists(path);
      const content = new TextEncoder().encode(text);
      createKeyFile({ path, content, overwrite, withFolder: true });
      if (isNew) made.push(path);
    }
    then();
  } catch (error) {
    for (const path of made) remove(path);
    throw error;
  }
}

/** By descriptors: another user, whose folder it may be in, could have root remove a file elsewhere. */
function remove(path: string): void {
  const { folder, name } = Folder.find(path, { followLast: false });
  using _folder = folder;
  folder.remove(name);
}
