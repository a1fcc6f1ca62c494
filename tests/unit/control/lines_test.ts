/** Shows how a stream is cut into lines. */
import { LineSplitter } from "../../../lib/control/lines.ts";
import { assertEquals } from "../../support/assert.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("push() returns lines however the bytes come", () => {
  for (let size = 1; size < 12; size++) {
    const splitter = new LineSplitter(100);
    const stream = bytes("one\n\nzwölf\nrest");
    const lines: (string | null)[] = [];
    for (let at = 0; at < stream.length; at += size) {
      lines.push(...splitter.push(stream.slice(at, at + size)));
    }
    assertEquals(lines, ["one", "", "zwölf"], `${size}`);
    assertEquals(splitter.rest(), "rest");
  }
});

Deno.test("push() takes the longest line, and no longer one", () => {
  const splitter = new LineSplitter(4);
  assertEquals(splitter.push(bytes("1234\n")), ["1234"]);
  assertEquals(splitter.push(bytes("ok\n12345")), ["ok", null]);
  const slow = new LineSplitter(4);
  assertEquals(slow.push(bytes("123")), []);
  assertEquals(slow.push(bytes("45")), [null]);
});

Deno.test("push() keeps no hold of the bytes it was given", () => {
  const splitter = new LineSplitter(10);
  const chunk = bytes("abc");
  splitter.push(chunk);
  chunk.fill(0x78);
  assertEquals(splitter.push(bytes("\n")), ["abc"]);
});
