/** Tests how the page's files are served. */
import { pageAnswer } from "../../../../lib/console/http/page.ts";
import { assertEquals } from "../../../support/assert.ts";

const FILE = {
  type: "text/html; charset=utf-8",
  bytes: new TextEncoder().encode("the page"),
  gzip: new TextEncoder().encode("packed"),
  etag: '"abc"',
};
const PAGE = new Map([["/", FILE]]);

async function get(path: string, headers: Record<string, string> = {}, method = "GET") {
  const answer = pageAnswer(new Request(`http://a${path}`, { headers, method }), PAGE);
  if (answer === null) return null;
  const { status, headers: found } = answer;
  return [status, await answer.text(), found.get("content-encoding"), found.get("content-length")];
}

Deno.test("a file is served by its exact path, packed to whom takes that", async () => {
  assertEquals(await get("/"), [200, "the page", null, "8"]);
  assertEquals(await get("/?x"), [200, "the page", null, "8"]);
  assertEquals(await get("/", { "Accept-Encoding": "br, gzip" }), [200, "packed", "gzip", "6"]);
  assertEquals(await get("/", { "Accept-Encoding": "gzip;q=0" }), [200, "the page", null, "8"]);
  assertEquals(await get("/", {}, "HEAD"), [200, "", null, "8"]);
  for (const path of ["/x", "//", "/index.html", "/%2f"]) assertEquals(await get(path), null);
});

Deno.test("who has a file already is told so", async () => {
  for (const tag of ['"abc"', 'W/"abc"', '"x", "abc"']) {
    const { 0: status, 1: text } = (await get("/", { "If-None-Match": tag }))!;
    assertEquals([status, text], [304, ""]);
  }
  assertEquals((await get("/", { "If-None-Match": '"x"' }))![0], 200);
});

Deno.test("what a browser says that it has is read in a time that grows with its length", async () => {
  // A pattern that looks for blanks again and again takes hours for these.
  const tag = `"x"${" ".repeat(3_000_000)}y, "abc"`;
  assertEquals((await get("/", { "If-None-Match": tag }))![0], 304);
});
