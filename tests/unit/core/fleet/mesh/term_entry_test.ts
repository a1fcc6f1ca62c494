/** Tests of lib/core/fleet/mesh/term_entry.ts. */
import { readTerm, termBytes } from "../../../../../lib/core/fleet/mesh/term_entry.ts";
import { assertEquals } from "../../../../support/assert.ts";

Deno.test("a term's entry is read as it was written", () => {
  assertEquals(readTerm(termBytes({ term: 0xffff_ffff, holder: 255 })), {
    term: 0xffff_ffff,
    holder: 255,
  });
  assertEquals(
    new TextDecoder().decode(termBytes({ term: 7, holder: 0 })),
    `{"term":7,"holder":0}`,
  );
});

Deno.test("an entry that is anything else is none", () => {
  for (
    const text of [
      "",
      "null",
      "7",
      "[]",
      "{",
      "{}",
      `{"term":7}`,
      `{"term":"7","holder":0}`,
      `{"term":7,"holder":256}`,
      `{"term":-1,"holder":0}`,
      `{"term":4294967296,"holder":0}`,
      `{"term":1.5,"holder":0}`,
      `{"term":7,"holder":0}${" ".repeat(1_024)}`,
    ]
  ) assertEquals(readTerm(new TextEncoder().encode(text)), null, text);
  assertEquals(readTerm(Uint8Array.of(0xff, 0xfe)), null);
});
