/** Tests that what network tests have apart is all by which processes of ours find each other. */
import { RUN_TIME_FOLDERS } from "./apart.ts";
import { assertEquals } from "./assert.ts";
import { hostTest } from "./permissions.ts";
import { readSources } from "./source/files.ts";

hostTest(
  "each run-time folder that the program names is its own of each network test",
  async () => {
    const named = new Set<string>();
    for (const [path, text] of await readSources()) {
      if (!path.startsWith("lib/")) continue;
      for (const [folder] of text.matchAll(/\/run\/(?:vpn[\w-]*|wireguard|netns)(?![\w.-])/g)) {
        named.add(folder);
      }
    }
    assertEquals([...named].filter((folder) => !RUN_TIME_FOLDERS.includes(folder)), []);
    assertEquals(named.has("/run/vpn-console"), true);
  },
);
