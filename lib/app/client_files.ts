/** Owns where the configurations of a gateway's clients are kept: in a folder beside the gateway's own. */
import { basename, dirname, join } from "node:path";
import { followLink, removeFile } from "./config_store.ts";

/**
 * The file of the client with this name, as in `server.peers/laptop.conf` beside `server.conf`. It holds the client's
 * private key, which the gateway itself has no use for: whoever has handed it over may delete it.
 *
 * @param configPath the gateway's configuration
 */
export function clientFilePath(configPath: string, name: string): string {
  return join(folderOf(configPath), `${name}.conf`);
}

/** Removes the client's file, and the folder with the last of them. @returns whether there was one */
export function removeClientFile(configPath: string, name: string): boolean {
  const removed = removeFile(clientFilePath(configPath, name));
  try {
    Deno.removeSync(folderOf(configPath));
  } catch {
    // There are others, or none was ever kept here.
  }
  return removed;
}

/** The client's file, or null where it is not kept. */
export function readClientFile(configPath: string, name: string): string | null {
  try {
    return Deno.readTextFileSync(clientFilePath(configPath, name));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

function folderOf(configPath: string): string {
  const file = followLink(configPath);
  return join(dirname(file), `${basename(file, ".conf")}.peers`);
}
