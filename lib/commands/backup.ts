/** Commands `vpn export` and `vpn import`: an encrypted backup of configurations and client files, and back. */
import type { ExportRequest, ImportRequest } from "../cli/command.ts";
import { ConfigError } from "../core/config/config_error.ts";
import { type BackupFile, packArchive, unpackArchive } from "../host/files/backup_archive.ts";
import { readRegular } from "../host/files/bounded_read.ts";
import { clientFilePath, readClientFile } from "../host/files/client_files.ts";
import { loadConfigAgain, MAX_CONFIG_SIZE } from "../host/files/config_file.ts";
import { CONFIG_DIRECTORY, configPathOf } from "../host/files/config_place.ts";
import { createKeyFile } from "../host/files/config_store.ts";
import { seal, unseal } from "../host/files/sealed_file.ts";
import { AppError, errorMessage, ExitCode } from "../process/errors.ts";
import { writeText } from "../process/output.ts";
import { readPassphrase } from "./passphrase.ts";
import { basename, dirname, join } from "node:path";

/** Bytes of a backup that is read. */
const MAX_BACKUP_SIZE = 256 * 1024 * 1024;
const STANDARD_OUTPUT = "-";

/**
 * Writes the backup. A configuration with a mistake is saved as it is, with a warning.
 *
 * @throws {AppError} where there is nothing to save, or a file cannot be read or written
 */
export async function runExport({ names, out, passphraseFile }: ExportRequest): Promise<number> {
  if (out === STANDARD_OUTPUT && Deno.stdout.isTerminal()) {
    throw refusal("the backup is no text: send standard output to a file, or give --out FILE");
  }
  const files = collect(names.length > 0 ? names.map(configPathOf) : configurations());
  const passphrase = await readPassphrase({ file: passphraseFile ?? null, isNew: true });
  const content = await seal(await packArchive(files), passphrase);
  if (out === STANDARD_OUTPUT) {
    await writeAll(content);
    return ExitCode.ok;
  }
  createKeyFile({ path: out, content, overwrite: false });
  writeText(Deno.stdout, `${out}: ${counted(files)}, encrypted\n`);
  return ExitCode.ok;
}

/**
 * Restores the files; none, where the backup is damaged or a file stands in the way. Should one of them not be written,
 * on a full disk, say, those before it are there, and the same command goes on where it stopped.
 *
 * @throws {AppError} where the backup cannot be opened, or would replace what differs
 */
export async function runImport(
  { backup, folder, overwrite, passphraseFile }: ImportRequest,
): Promise<number> {
  const sealed = readBackup(backup);
  const passphrase = await readPassphrase({ file: passphraseFile ?? null, isNew: false });
  const files = await unpackArchive(await unseal(sealed, passphrase, backup), backup);
  const wanted = files.map((file) => ({ file, path: join(folder, file.name) }))
    .filter(({ file, path }) => !isSameContent(path, file.content));
  const standing = wanted.filter(({ path }) => exists(path));
  if (standing.length > 0 && !overwrite) {
    throw refusal(
      `${standing.map(({ path }) => path).join(", ")}: exists with other content: ` +
        "restore to another folder with --to FOLDER, or add --overwrite",
    );
  }
  for (const { file, path } of wanted) {
    createKeyFile({ path, content: file.content, overwrite, withFolder: true });
    writeText(Deno.stdout, `${path}: restored\n`);
  }
  const same = files.length - wanted.length;
  if (same > 0) writeText(Deno.stdout, `${same} of ${files.length} files were there already\n`);
  return ExitCode.ok;
}

/** All in the folder of configurations. */
function configurations(): string[] {
  try {
    return Array.from(Deno.readDirSync(CONFIG_DIRECTORY))
      .filter(({ name, isDirectory }) => name.endsWith(".conf") && !isDirectory)
      .map(({ name }) => join(CONFIG_DIRECTORY, name)).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw unreadable(CONFIG_DIRECTORY, error);
  }
}

function collect(paths: readonly string[]): BackupFile[] {
  if (paths.length === 0) {
    throw refusal(`${CONFIG_DIRECTORY} has no configurations: name the files to save`);
  }
  const files = paths.flatMap((path) => [configuration(path), ...clientsOf(path)]);
  const names = files.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) < index);
  if (twice === undefined) return files;
  throw refusal(`two files would be called ${twice} in the backup: save them apart`);
}

function configuration(path: string): BackupFile {
  if (!path.endsWith(".conf")) throw refusal(`${path} does not end in .conf: rename it`);
  try {
    loadConfigAgain(path, "leave");
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    writeText(Deno.stderr, `vpn: warning: ${error.message}\n`);
  }
  const { content, modified } = readBounded(path, MAX_CONFIG_SIZE);
  return { name: basename(path), content, modified };
}

/** The files of its clients that are still kept. */
function clientsOf(configPath: string): BackupFile[] {
  // Beside the file that a link leads to, and called by that; restored, the link is a file.
  const folder = dirname(clientFilePath(configPath, "any"));
  return clientNames(folder).flatMap((name) => {
    const text = readClientFile(configPath, name);
    if (text === null) return [];
    const modified = Deno.lstatSync(join(folder, `${name}.conf`)).mtime?.getTime() ?? 0;
    return [{
      name: `${basename(configPath, ".conf")}.peers/${name}.conf`,
      content: new TextEncoder().encode(text),
      modified,
    }];
  });
}

function clientNames(folder: string): string[] {
  try {
    return Array.from(Deno.readDirSync(folder), ({ name }) => name)
      .filter((name) => name.endsWith(".conf"))
      .map((name) => basename(name, ".conf")).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return [];
    }
    throw unreadable(folder, error);
  }
}

function readBackup(path: string): Uint8Array {
  const { content } = readBounded(path, MAX_BACKUP_SIZE);
  return content;
}

/** @throws {AppError} where it is no regular file of at most so many bytes */
function readBounded(
  path: string,
  limit: number,
): { readonly content: Uint8Array<ArrayBuffer>; readonly modified: number } {
  try {
    const { bytes: content, modified } = readRegular(path, limit);
    return { content, modified };
  } catch (error) {
    throw unreadable(path, error);
  }
}

function isSameContent(path: string, content: Uint8Array): boolean {
  try {
    const { isFile, size } = Deno.lstatSync(path);
    if (!isFile || size !== content.length) return false;
    const { bytes: found } = readRegular(path, content.length);
    return content.every((byte, index) => found[index] === byte);
  } catch {
    return false;
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

async function writeAll(content: Uint8Array): Promise<void> {
  for (let at = 0; at < content.length;) at += await Deno.stdout.write(content.subarray(at));
}

function counted(files: readonly BackupFile[]): string {
  const clients = files.filter(({ name }) => name.includes("/")).length;
  const configs = files.length - clients;
  return `${configs} configuration${configs === 1 ? "" : "s"}, ` +
    `${clients} client file${clients === 1 ? "" : "s"}`;
}

function unreadable(path: string, error: unknown): AppError {
  return refusal(`cannot read ${path}: ${errorMessage(error)}`, error);
}

function refusal(why: string, cause?: unknown): AppError {
  return new AppError(`Cannot use the backup: ${why}`, { exitCode: ExitCode.usage, cause });
}
