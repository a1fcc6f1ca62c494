/** Shows where the version line finds the commit. */
import { versionText } from "../../../lib/process/version_text.ts";
import { VERSION } from "../../../lib/process/version.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { hostTest } from "../../support/permissions.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/** The version in a folder with these files. */
function versionWith(files: Record<string, string>): string {
  const directory = temporaryFolder();
  for (const [name, content] of Object.entries(files)) {
    const path = `${directory}/${name}`;
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    Deno.writeTextFileSync(path, content);
  }
  return versionText(new URL(`file://${directory}/`));
}

hostTest("versionText() finds the commit wherever Git or a build keeps it", () => {
  const expected = `vpn ${VERSION} (0123456789ab)`;
  const ref = { ".git/HEAD": "ref: refs/heads/a/b\n" };
  assertEquals(versionWith({ "commit.txt": `${COMMIT}\n` }), expected);
  assertEquals(versionWith({ ".git/HEAD": `${COMMIT}\n` }), expected);
  assertEquals(versionWith({ ...ref, ".git/refs/heads/a/b": `${COMMIT}\n` }), expected);
  const packed = `# pack-refs with: peeled\n${
    "f".repeat(40)
  } refs/heads/b\n${COMMIT} refs/heads/a/b\n`;
  assertEquals(versionWith({ ...ref, ".git/packed-refs": packed }), expected);
});

hostTest("versionText() leaves the commit out when there is none or it is odd", () => {
  const expected = `vpn ${VERSION}`;
  assertEquals(versionWith({}), expected);
  assertEquals(versionWith({ "commit.txt": "unknown" }), expected);
  assertEquals(versionWith({ ".git/HEAD": "ref: refs/heads/none\n" }), expected);
  assertEquals(versionWith({ ".git/HEAD": "nonsense\x1b[2J" }), expected);
});

Deno.test("VERSION is a semantic version", () => {
  assertMatch(VERSION, /^\d+\.\d+\.\d+$/);
});
