/** Tests of lib/core/fleet/mesh/term_entry.ts. */
import { readTerm, termBytes } from "../../../../../lib/core/fleet/mesh/term_entry.ts";
import { assertEquals } from "../../../../support/assert.ts";

Deno.test("a term's entry is read as it was written", () => {
  const most = { term: 0xffff_ffff, holder: 255, voters: Array.from({ length: 256 }, (_, i) => i) };
  assertEquals(readTerm(termBytes(most)), most);
  const text = new TextDecoder().decode(termBytes({ term: 7, holder: 0, voters: [1, 0] }));
  assertEquals(text, `{"term":7,"holder":0,"voters":[1,0]}`);
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
      `{"term":7,"holder":0}`,
      `{"term":7,"voters":[]}`,
      `{"term":"7","holder":0,"voters":[]}`,
      `{"term":7,"holder":256,"voters":[]}`,
      `{"term":-1,"holder":0,"voters":[]}`,
      `{"term":4294967296,"holder":0,"voters":[]}`,
      `{"term":1.5,"holder":0,"voters":[]}`,
      `{"term":7,"holder":0,"voters":[]}${" ".repeat(4_096)}`,
      `{"term":7,"holder":0,"voters":{}}`,
      `{"term":7,"holder":0,"voters":[256]}`,
      `{"term":7,"holder":0,"voters":["1"]}`,
    ]
  ) assertEquals(readTerm(new TextEncoder().encode(text)), null, text);
  assertEquals(readTerm(Uint8Array.of(0xff, 0xfe)), null);
});
