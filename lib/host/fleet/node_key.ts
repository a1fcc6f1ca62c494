/** Node key: a gateway's own key in its fleet, made at its first start and kept beside its accounts. */
import { decodeKey, encodeKey } from "../../core/config/values/key_text.ts";
import { AppError, errorMessage, ExitCode } from "../../process/errors.ts";
import { readRegular } from "../files/bounded_read.ts";
import { createKeyFile } from "../files/config_store.ts";

/** Bytes; a key and its newline have 45. */
const MAX_SIZE = 1024;

/**
 * The secret, 32 bytes.
 *
 * @param make a new one
 * @throws {AppError} where the file cannot be read or written
 */
export function nodeKey(path: string, make: () => Uint8Array): Uint8Array {
  const known = read(path);
  if (known !== null) return known;
  const key = make();
  const content = new TextEncoder().encode(`${encodeKey(key)}\n`);
  createKeyFile({ path, content, overwrite: false, withFolder: true });
  return key;
}

function read(path: string): Uint8Array | null {
  try {
    const key = decodeKey(new TextDecoder().decode(readRegular(path, MAX_SIZE).bytes).trim());
    if (key !== null) return key;
    throw new AppError(`Cannot use ${path}: it has no key: remove it, and a new one is made`, {
      exitCode: ExitCode.usage,
    });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    if (error instanceof AppError) throw error;
    throw new AppError(`Cannot read ${path}: ${errorMessage(error)}`, {
      exitCode: ExitCode.usage,
      cause: error,
    });
  }
}
