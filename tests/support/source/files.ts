/** Files of the project's sources, as tests of the rules read them. */

/** The folder of the project. */
export const ROOT: URL = new URL("../../../", import.meta.url);

/** The paths of all TypeScript sources, from the root. */
export async function sourcePaths(): Promise<string[]> {
  const found = ["main.ts"];
  const walk = async (folder: string) => {
    for await (const entry of Deno.readDir(new URL(folder, ROOT))) {
      if (entry.isDirectory) await walk(`${folder}${entry.name}/`);
      else if (/\.tsx?$/.test(entry.name)) found.push(folder + entry.name);
    }
  };
  for (const folder of ["lib/", "ffi/", "tests/"]) await walk(folder);
  return found.sort();
}

/** All TypeScript sources, by their paths. */
export async function readSources(): Promise<Map<string, string>> {
  const paths = await sourcePaths();
  const read = async (path: string) =>
    [path, await Deno.readTextFile(new URL(path, ROOT))] as const;
  return new Map(await Promise.all(paths.map(read)));
}
