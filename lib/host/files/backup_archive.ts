/**
 * Backup archive: configuration files and those of their clients as one tar archive, and back. The names in it are
 * relative to the folder of the configurations, as in `vpn0.conf` and `vpn0.peers/laptop.conf`.
 *
 * Who made an archive is known by its passphrase alone, and that may be shared: no name in it leads out of the folder.
 */
import { packTar, type ParsedTarEntryWithData, unpackTar } from "modern-tar";
import { AppError, errorMessage, ExitCode } from "../../process/errors.ts";
import { MAX_CONFIG_SIZE } from "./config_file.ts";

/** A file of a backup. */
export interface BackupFile {
  /** Relative to the folder of the configurations. */
  readonly name: string;
  readonly content: Uint8Array<ArrayBuffer>;
  /** ms since 1970. */
  readonly modified: number;
}

/** Of a gateway with all the peers that it may have, several times over. */
const MAX_FILES = 65_536;
/** A configuration, or a client's file in the folder beside it; no control characters, as the names are shown. */
const NAME = /^[^/\p{Cc}]{1,250}\.conf$/u;
const CLIENT_NAME = /^[^/\p{Cc}]{1,249}\.peers\/[^/\p{Cc}]{1,250}\.conf$/u;

/** The archive of these files, each for root alone. */
export async function packArchive(
  files: readonly BackupFile[],
): Promise<Uint8Array<ArrayBuffer>> {
  const entries = files.map(({ name, content, modified }) => ({
    header: {
      ...{ name, size: content.length, mode: 0o600, mtime: new Date(modified) },
      ...{ uid: 0, gid: 0, uname: "root", gname: "root" },
    },
    body: content,
  }));
  return new Uint8Array(await packTar(entries));
}

/**
 * The files of an archive.
 *
 * @param path as messages name it
 * @throws {AppError} `usage` where it is none, or has what no backup has
 */
export async function unpackArchive(
  bytes: Uint8Array<ArrayBuffer>,
  path: string,
): Promise<BackupFile[]> {
  const names = new Set<string>();
  return (await readTar(bytes, path)).map(({ header: { name, type, mtime }, data }) => {
    if (type !== "file" || !(NAME.test(name) || CLIENT_NAME.test(name))) {
      throw notOurs(path, `${JSON.stringify(name)} is neither a configuration nor a client's file`);
    }
    if (names.has(name)) throw notOurs(path, `${JSON.stringify(name)} is in it twice`);
    names.add(name);
    const content = new Uint8Array(data ?? []);
    if (content.length > MAX_CONFIG_SIZE) {
      throw notOurs(path, `${JSON.stringify(name)} is longer than 1 MiB`);
    }
    return { name, content, modified: mtime?.getTime() ?? 0 };
  });
}

async function readTar(
  bytes: Uint8Array<ArrayBuffer>,
  path: string,
): Promise<ParsedTarEntryWithData[]> {
  let entries: ParsedTarEntryWithData[];
  try {
    entries = await unpackTar(bytes, { strict: true });
  } catch (error) {
    throw notOurs(
      path,
      `it is damaged, or no tar archive (${errorMessage(error)})`,
    );
  }
  // They come with the files in them; what is only a folder is not made.
  const files = entries.filter(({ header }) => header.type !== "directory");
  if (files.length === 0 || files.length > MAX_FILES) {
    throw notOurs(path, `it has ${files.length} files`);
  }
  return files;
}

function notOurs(path: string, why: string): AppError {
  return new AppError(`Cannot restore ${path}: ${why}: give a file that \`vpn export\` wrote`, {
    exitCode: ExitCode.usage,
  });
}
