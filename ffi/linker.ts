/** Linker: keeps a library that is loaded from being unloaded, and finds where its symbols are. */
import { openDynamicLibrary } from "./dynamic_library.ts";

const SYMBOLS = {
  /** `int dladdr(const void *addr, Dl_info *info)`; 0 where no library has the address */
  dladdr: { parameters: ["pointer", "buffer"], result: "i32" },
  /** `void *dlopen(const char *filename, int flags)` */
  dlopen: { parameters: ["pointer", "i32"], result: "pointer" },
  /** `void *dlsym(void *handle, const char *symbol)` */
  dlsym: { parameters: ["pointer", "buffer"], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Where the linker's functions are: of glibc since 2.34, and before. */
const NAMES = ["libc.so.6", "libdl.so.2"] as const;

const RTLD_LAZY = 1;
const RTLD_NOLOAD = 4;
/** Words of `Dl_info`, of which the first is the path. */
const DL_INFO_WORDS = 4;

/**
 * Keeps the library that has an address for as long as the process lives: threads may be in it, or have to call it
 * when they end.
 *
 * It is found by the path that the linker knows it by: the runtime unpacks what an executable of `deno compile` brings
 * along.
 *
 * @param address of anything in it
 * @param symbols names
 * @returns where the symbols are, null for each that it lacks; null where no library has the address, or the linker is
 *   not to be had
 * @throws {Deno.errors.NotCapable} without `--allow-ffi`
 */
export function keepLoaded(
  address: Deno.PointerValue,
  symbols: readonly string[] = [],
): Deno.PointerValue[] | null {
  const linker = openLinker();
  if (linker === null) return null;
  const { dladdr, dlopen, dlsym } = linker.symbols;
  try {
    const info = new BigUint64Array(DL_INFO_WORDS);
    if (dladdr(address, info) === 0) return null;
    const path = Deno.UnsafePointer.create(info[0]!);
    // Never closed: that is what keeps it.
    const library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
    if (library === null) return null;
    return symbols.map((symbol) => dlsym(library, cString(symbol)));
  } finally {
    linker.close();
  }
}

function openLinker(): Deno.DynamicLibrary<typeof SYMBOLS> | null {
  for (const name of NAMES) {
    const linker = openDynamicLibrary(name, SYMBOLS);
    if (linker !== null) return linker;
  }
  return null;
}

function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}
