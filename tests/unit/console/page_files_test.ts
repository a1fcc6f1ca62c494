/** Tests of the files of the console's page, as they are made from the sources. */
import { pageFiles } from "../../../lib/console/page_files.ts";
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { hostTest } from "../../support/permissions.ts";

/** Bytes of the whole page as it travels. */
const BUDGET = 150_000;

hostTest(
  "the page is made of four files, which name nothing of others, and fit the budget",
  async () => {
    const files = await pageFiles();
    assertEquals([...files.keys()], ["/", "/page.js", "/page.css", "/icon.svg"]);
    const text = (path: string) => new TextDecoder().decode(files.get(path)!.bytes);
    const linked = [...text("/").matchAll(/(?:src|href)="([^"]*)"/g)].map(([, path]) => path!);
    // The session is asked for before the program is there to ask.
    assertEquals(linked.filter((path) => !files.has(path)), ["/api/v1/session"]);
    // No style and no script but those of files: the policy forbids them.
    assert(!/<style|<script(?![^>]* src=)| style=| on\w+=/.test(text("/")), text("/"));
    assert(!/url\(|@import/.test(text("/page.css")), "the style loads something");
    const bytes = [...files.values()].reduce((sum, { gzip }) => sum + gzip.length, 0);
    assert(bytes < BUDGET, `${bytes} bytes`);
    for (const { etag, gzip, bytes } of files.values()) {
      assertMatch(etag, /^"[\w-]{27}"$/);
      const stream = new Blob([gzip]).stream().pipeThrough(new DecompressionStream("gzip"));
      assertEquals(new Uint8Array(await new Response(stream).arrayBuffer()), bytes);
    }
  },
);
