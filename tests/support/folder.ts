/** Temporary folders and files of tests. Nothing of them is left when the test file ends, however its tests did. */

/** What a test file has made here. */
const made: string[] = [];

/** Makes a folder. It goes when the test file ends; what is large its test removes before. */
export function temporaryFolder(): string {
  return removedAtEnd(Deno.makeTempDirSync({ prefix: "vpn-test-" }));
}

/** Makes an empty file that only its owner can read, and that goes as a folder does. @param options as the runtime's */
export function emptyFile(
  options: { readonly dir?: string; readonly suffix?: string } = {},
): string {
  return removedAtEnd(Deno.makeTempFileSync({ ...options, prefix: "vpn-test-" }));
}

/** Gives a folder that is removed at the end. */
export async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = temporaryFolder();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function removedAtEnd(path: string): string {
  // Also after a test that failed, an error that nothing caught, and Deno.exit(); not after a signal.
  if (made.length === 0) addEventListener("unload", removeAll);
  made.push(path);
  return path;
}

function removeAll(): void {
  for (const path of made) {
    try {
      Deno.removeSync(path, { recursive: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}
