/** Files of the console's page: as compile.sh has put them beside the program, or bundled from the sources here. */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";

/** A file of the page as it is served. */
interface File {
  /** `Content-Type`. */
  readonly type: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly gzip: Uint8Array<ArrayBuffer>;
  /** In quotes. */
  readonly etag: string;
}

/** By the path of the URL: the name that a file has beside the built program, and its type. */
const FILES: Readonly<Record<string, { readonly name: string; readonly type: string }>> = {
  "/": { name: "console_page.html", type: "text/html; charset=utf-8" },
  "/page.js": { name: "console_page.js", type: "text/javascript; charset=utf-8" },
  "/page.css": { name: "console_page.css", type: "text/css; charset=utf-8" },
  "/icon.svg": { name: "console_page.svg", type: "image/svg+xml" },
};

const SOURCES = new URL("page/", import.meta.url);

/** The files by the paths of their URLs. */
export async function pageFiles(): Promise<ReadonlyMap<string, File>> {
  const built = new URL(".", import.meta.url);
  if (await isThere(new URL(FILES["/"]!.name, built))) return await readPage(built);
  const folder = await Deno.makeTempDir({ prefix: "vpn-page-" });
  try {
    await bundlePage(folder);
    return await readPage(new URL(`file://${folder}/`));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Makes the files from the sources. @param folder path of where they go to, beside the files there */
export async function bundlePage(folder: string): Promise<void> {
  const made = await Deno.makeTempDir({ dir: folder });
  const entry = new URL("main.tsx", SOURCES).pathname;
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--platform", "browser", "--minify", "--outdir", made, entry],
    // The configuration, which names the packages, is looked for from here upwards.
    cwd: SOURCES,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) {
    throw new Error(`Cannot bundle the console's page: ${new TextDecoder().decode(stderr)}`);
  }
  const path = (url: string) => `${folder}/${FILES[url]!.name}`;
  await Deno.rename(`${made}/main.js`, path("/page.js"));
  await Deno.rename(`${made}/main.css`, path("/page.css"));
  await Deno.remove(made);
  await Deno.copyFile(new URL("page.html", SOURCES), path("/"));
  await Deno.copyFile(new URL("icon.svg", SOURCES), path("/icon.svg"));
}

async function readPage(folder: URL): Promise<ReadonlyMap<string, File>> {
  const read = async ([url, { name, type }]: [string, { name: string; type: string }]) => {
    const bytes = await Deno.readFile(new URL(name, folder));
    const gzip = new Uint8Array(gzipSync(bytes, { level: 9 }));
    const digest = createHash("sha256").update(bytes).digest("base64url");
    return [url, { type, bytes, gzip, etag: `"${digest.slice(0, 27)}"` }] as const;
  };
  return new Map(await Promise.all(Object.entries(FILES).map(read)));
}

async function isThere(file: URL): Promise<boolean> {
  try {
    return (await Deno.stat(file)).isFile;
  } catch {
    return false;
  }
}
