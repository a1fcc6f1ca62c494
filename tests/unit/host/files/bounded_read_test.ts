/** Tests of reading a file that may be longer than is allowed, or come in parts, as a pipe does. */
import { readAtMost } from "../../../../lib/host/files/bounded_read.ts";
import { assertEquals } from "../../../support/assert.ts";

/** A file whose bytes come three at a time. */
function fileOf(size: number): Pick<Deno.FsFile, "readSync"> {
  let at = 0;
  return {
    readSync: (buffer) => {
      const count = Math.min(3, buffer.length, size - at);
      for (let i = 0; i < count; i++) buffer[i] = at + i;
      at += count;
      return count === 0 ? null : count;
    },
  };
}

Deno.test("readAtMost() puts the parts together, and ends with the file or with the limit", () => {
  for (const [size, limit] of [[0, 8], [7, 8], [8, 8], [9, 8], [20, 8], [5, 0]] as const) {
    assertEquals(
      readAtMost(fileOf(size), limit),
      Uint8Array.from({ length: Math.min(size, limit) }, (_, i) => i),
    );
  }
});
