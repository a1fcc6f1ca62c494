/** Dynamic library: opens functions of one that the host may not have. */

/**
 * @param name file name or path
 * @returns null where it cannot be loaded, or lacks one of the functions
 * @throws {Deno.errors.NotCapable} without `--allow-ffi`
 */
export function openDynamicLibrary<Symbols extends Deno.ForeignLibraryInterface>(
  name: string,
  symbols: Symbols,
): Deno.DynamicLibrary<Symbols> | null {
  try {
    return Deno.dlopen(name, symbols);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return null;
  }
}
