/** Tests of `lib/core/dns/question_text.ts`: names, types and codes as people write them, whatever a client chose. */
import { codeText, nameText, typeText } from "../../../../lib/core/dns/question_text.ts";
import { wireName } from "../../../../lib/core/dns/wire_name.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

Deno.test("a name is its labels with dots between them, the root a dot", () => {
  assertEquals(nameText(wireName("www.example.org")!), "www.example.org");
  assertEquals(nameText("\0"), ".");
});

Deno.test("nothing in a name is a terminal's to act on, or passes for another name", () => {
  const labels = ["\x1b[2J", "a.b", "c\\", "\n\t ", "\x00\x7f\xe9"];
  const wire = labels.map((label) => String.fromCharCode(label.length) + label).join("") + "\0";
  const text = nameText(wire);
  assertEquals(text, "\\027[2J.a\\.b.c\\\\.\\010\\009\\032.\\000\\127\\233");
  assert(/^[!-~]+$/.test(text));
});

Deno.test("types and codes without a name are written by their numbers", () => {
  assertEquals([1, 28, 65, 65_280].map(typeText), ["A", "AAAA", "HTTPS", "TYPE65280"]);
  assertEquals([0, 2, 3, 11].map(codeText), ["NOERROR", "SERVFAIL", "NXDOMAIN", "RCODE11"]);
});
