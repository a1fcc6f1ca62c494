/** Files of a gateway's clients: where their configurations are kept, in a folder beside the gateway's own. */
import { ELOOP, ENOENT, ENOTDIR, SystemCallError } from "../../../ffi/errno.ts";
import { Folder } from "../../../ffi/folder.ts";
import { MAX_CONFIG_SIZE } from "./config_file.ts";
import { basename, dirname, join } from "node:path";

/** How a file that is not there fails to open, or one that is no file. */
const NOT_KEPT: readonly number[] = [ENOENT, ENOTDIR, ELOOP];

/**
 * The file of the client with this name, as in `server.peers/laptop.conf` beside `server.conf`. It holds the client's
 * private key, which the gateway itself has no use for: it may be deleted once it is handed over.
 *
 * @param configPath the gateway's configuration
 */
export function clientFilePath(configPath: string, name: string): string {
  const file = followLink(configPath);
  return join(dirname(file), clientFolderName(configPath), clientFileName(name));
}

/** The name of the folder. */
export function clientFolderName(configPath: string): string {
  return `${basename(followLink(configPath), ".conf")}.peers`;
}

/** The name of a client's file in it. */
export function clientFileName(name: string): string {
  return `${name}.conf`;
}

/** The client's file, or null where it is not kept. */
export function readClientFile(configPath: string, name: string): string | null {
  try {
    const place = Folder.find(configPath);
    using folder = place.folder;
    using clients = folder.folder(clientFolderName(configPath));
    using file = clients.open(clientFileName(name));
    // What else a user may have put there is not for root to read, nor to wait for.
    return file.isRegular ? new TextDecoder().decode(file.read(MAX_CONFIG_SIZE)) : null;
  } catch (error) {
    if (error instanceof SystemCallError && NOT_KEPT.includes(error.errno)) return null;
    throw error;
  }
}

/** The file that a path stands for where it is a symbolic link: a new file must not take the link's place. */
function followLink(path: string): string {
  try {
    return Deno.lstatSync(path).isSymlink ? Deno.realPathSync(path) : path;
  } catch {
    // Anyone who reads it will say what is wrong with it.
    return path;
  }
}
