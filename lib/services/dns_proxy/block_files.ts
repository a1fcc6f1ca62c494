/** Block files: reads the lists of names that are not to be resolved, in slices, and says what is wrong with one. */
import { randomInt } from "node:crypto";
import { dirname, isAbsolute, join } from "node:path";
import { BlockList, BlockListBuilder } from "../../core/dns/block_list.ts";
import { BlockReader } from "../../core/dns/block_reader.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import { GivenFile } from "../../host/files/bounded_read.ts";
import { errorMessage } from "../../process/errors.ts";
import type { Logger } from "../../process/logging.ts";
import { paced } from "../../process/pace.ts";

/** Names of all files together: 32 bytes of memory for each, as names are. */
const MAX_NAMES = 2_000_000;
/** Bytes; lists of a million names have a fourth of it. */
const MAX_FILE_SIZE = 128 * 1024 * 1024;
const CHUNK_SIZE = 64 * 1024;

export interface BlockFilesOptions {
  /** As the configuration has them: those that are not absolute are beside it. */
  readonly paths: readonly string[];
  readonly configPath: string;
  /** Null: nobody is told how many names there are. */
  readonly logger: Logger | null;
}

/**
 * Reads block lists.
 *
 * @returns null where there are none
 * @throws {ConfigError} for a file that cannot be read, is no text, has no name in it, or too many
 */
export async function readBlockFiles(
  { paths, configPath, logger }: BlockFilesOptions,
): Promise<BlockList | null> {
  if (paths.length === 0) return null;
  const builder = new BlockListBuilder();
  for (const path of paths) {
    const place = isAbsolute(path) ? path : join(dirname(configPath), path);
    const before = builder.count;
    const skipped = await readFile(place, builder);
    const count = builder.count - before;
    if (count === 0) {
      throw unusable(
        place,
        "no line of it is a name, as in a hosts file, or a rule, as in ||ads.example^",
      );
    }
    logger?.info("{path}: {count} names are blocked{more}", {
      path: place,
      count,
      more: skipped === 0 ? "" : `, ${skipped} lines are not about whole names`,
    });
  }
  return await paced(builder.finish(randomInt(2 ** 32)));
}

/** Reads one, and counts the lines that it does not understand. */
async function readFile(path: string, builder: BlockListBuilder): Promise<number> {
  const reader = new BlockReader(builder);
  try {
    using file = GivenFile.open(path);
    if (file.size > MAX_FILE_SIZE) throw unusable(path, "it is longer than 128 MiB");
    const bytes = new Uint8Array(CHUNK_SIZE);
    for (let total = 0;;) {
      const length = file.read(bytes) ?? 0;
      if (length === 0) break;
      total += length;
      // It may have grown since.
      if (total > MAX_FILE_SIZE) throw unusable(path, "it is longer than 128 MiB");
      const chunk = bytes.subarray(0, length);
      if (chunk.includes(0)) throw unusable(path, "it is not a text file");
      await paced(reader.take(chunk));
      if (builder.count > MAX_NAMES) {
        throw unusable(path, "there are more than 2,000,000 names with those in it");
      }
    }
    reader.end();
    return reader.skipped;
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw unusable(path, reasonOf(error), error);
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "no such file";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  return errorMessage(error);
}

function unusable(path: string, why: string, cause?: unknown): ConfigError {
  return new ConfigError(`Cannot use DnsBlock = ${path}: ${why}`, { cause });
}
