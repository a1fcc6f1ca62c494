/** Version text: the line that `vpn --version` prints. */
import { VERSION } from "./version.ts";

/**
 * The version with the commit it was built from: `vpn 0.1.0 (1a2b3c4d5e6f)`. The commit is left out where there is
 * none to be found.
 *
 * @param directory URL of the folder of the main module, with its slash: a build puts `commit.txt` there, a checkout
 *   has `.git`
 */
export function versionText(directory: URL): string {
  const commit = readText(new URL("commit.txt", directory))?.trim() ??
    headCommit(new URL(".git/", directory));
  return /^[0-9a-f]{12,64}$/.test(commit ?? "")
    ? `vpn ${VERSION} (${commit!.slice(0, 12)})`
    : `vpn ${VERSION}`;
}

/** The commit of HEAD (gitrepository-layout(5)): named by HEAD itself, by a loose ref, or by a packed one. */
function headCommit(gitDirectory: URL): string | undefined {
  const head = readText(new URL("HEAD", gitDirectory))?.trim();
  const ref = /^ref: (refs\/.+)$/.exec(head ?? "")?.[1];
  if (ref === undefined) return head;
  const loose = readText(new URL(ref, gitDirectory))?.trim();
  if (loose !== undefined) return loose;
  const packed = readText(new URL("packed-refs", gitDirectory))?.split("\n");
  return packed?.find((line) => line.endsWith(` ${ref}`))?.split(" ")[0];
}

/** The version is shown whatever happens: a file that cannot be read counts as missing. */
function readText(file: URL): string | undefined {
  try {
    return Deno.readTextFileSync(file);
  } catch {
    return undefined;
  }
}
