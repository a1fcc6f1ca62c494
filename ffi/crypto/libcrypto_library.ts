/**
 * Libcrypto library: opens the host's own file of it for this thread, so that it leaves the process's end alone.
 *
 * By default OpenSSL takes itself down at `exit()`, and does so beside threads that are ending and free the same
 * things: the heap breaks, SIGABRT (4 of 1,500 ends of a program in C with four such threads). The kernel takes
 * everything back anyway.
 */
import { openDynamicLibrary } from "../dynamic_library.ts";

const SYMBOLS = {
  /** `int OPENSSL_init_crypto(uint64_t options, const OPENSSL_INIT_SETTINGS *settings)` */
  OPENSSL_init_crypto: { parameters: ["u64", "pointer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** `OPENSSL_INIT_NO_ATEXIT`, include/openssl/crypto.h: counts only in the first call into the library; since 1.1.1. */
const OPENSSL_INIT_NO_ATEXIT = 0x0008_0000n;

/**
 * Opens functions of a library.
 *
 * @param name file name or path
 * @returns null where it cannot be loaded, or lacks one of the functions
 * @throws {Deno.errors.NotCapable} without `--allow-ffi`
 */
export function openLibrary<Symbols extends Deno.ForeignLibraryInterface>(
  name: string,
  symbols: Symbols,
): Deno.DynamicLibrary<Symbols> | null {
  const beginning = openDynamicLibrary(name, SYMBOLS);
  if (beginning === null) return null;
  try {
    const isReady = beginning.symbols.OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, null) === 1;
    return isReady ? openDynamicLibrary(name, symbols) : null;
  } finally {
    beginning.close();
  }
}
