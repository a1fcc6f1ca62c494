/** Shows how a stream is cut into lines. */
import { LineSplitter } from "../../../lib/control/lines.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { settledMemory } from "../../support/settled_memory.ts";

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

Deno.test("push() holds no more than a line's bytes, however they come", () => {
  const splitters = Array.from({ length: 4 }, () => new LineSplitter(64 * 1024));
  const before = settledMemory();
  for (const splitter of splitters) {
    for (let i = 0; i < 64 * 1024; i++) splitter.push(Uint8Array.of(0x61));
  }
  const after = settledMemory();
  const grown = (after.heap + after.external - before.heap - before.external) / splitters.length;
  assert(grown < 256 * 1024, `${grown} bytes for each line of 64 KiB`);
  for (const splitter of splitters) assertEquals(splitter.rest().length, 64 * 1024);
});
