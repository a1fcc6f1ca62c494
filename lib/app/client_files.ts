/** Files of a gateway's clients: where their configurations are kept, in a folder beside the gateway's own. */
import { basename, dirname, join } from "node:path";

/**
 * The file of the client with this name, as in `server.peers/laptop.conf` beside `server.conf`. It holds the client's
 * private key, which the gateway itself has no use for: whoever has handed it over may delete it.
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
    return Deno.readTextFileSync(clientFilePath(configPath, name));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** The file that a path stands for where it is a symbolic link: a new file must not take the link's place. */
function followLink(path: string): string {
  try {
    return Deno.lstatSync(path).isSymlink ? Deno.realPathSync(path) : path;
  } catch {
    // Whoever reads it will say what is wrong with it.
    return path;
  }
}
