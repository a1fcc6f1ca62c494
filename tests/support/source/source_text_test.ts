/** Tests of tests/support/source/source_text.ts. */
import { assertEquals } from "../assert.ts";
import { importsOf, stripSource } from "./source_text.ts";

/** The words that are left, which is what the rules look at. */
function words(source: string): string {
  const stripped = stripSource(source);
  assertEquals(stripped.length, source.length, "positions must stay");
  assertEquals(stripped.split("\n").length, source.split("\n").length, "lines must stay");
  return (stripped.match(/\w+/g) ?? []).join(" ");
}

const cases: [what: string, source: string, left: string][] = [
  ["a line comment", "a // Deno\nb", "a b"],
  ["a line comment at the end", "a // Deno", "a"],
  ["a block comment over lines", "a /* Deno\n * 'Date' */ b", "a b"],
  ["a block comment with slashes", "a /* // */ b", "a b"],
  ["an open block comment", "a /* Deno", "a"],
  ["a comment sign within a string", `a("//") + b`, "a b"],
  ["a string with the other quote", `a("it's Deno") + b('"') + c`, "a b c"],
  ["an escaped quote", `a("\\"Deno") + b`, "a b"],
  ["an escaped backslash", `a("\\\\") + Deno`, "a Deno"],
  ["an open string", `a = "Deno\nb`, "a b"],
  ["a quote within a comment", "a // it's\nDeno", "a Deno"],
  ["a template", "a(`Deno ' \" // /*`) + b", "a b"],
  ["a template over lines", "a(`Deno\nDate`) + b", "a b"],
  ["code in a template", "a(`x ${Deno} y`) + b", "a Deno b"],
  ["a template in a template", "`x ${a(`y ${Deno} z`)} w` + b", "a Deno b"],
  ["braces in a template's code", "`x ${ { a: { b } } } y` + c", "a b c"],
  ["an escaped template", "`\\${Deno} \\` x` + a", "a"],
  ["a dollar alone", "`$ $x` + a", "a"],
  ["a function around a template", "{ { `x` } } a", "a"],
  ["a regular expression", "a(/Deno'/g) + b", "a g b"],
  ["a regular expression with a class", `x = /[/"]Deno/; a`, "x a"],
  ["a regular expression with escapes", `x = /\\/"Deno/; a`, "x a"],
  ["a regular expression behind a word", "return /Deno'/.test(a)", "return test a"],
  ["a regular expression behind a line", `{ a }\n/Deno"/.test(b)`, "a test b"],
  ["tags of JSX", "<a b={c} /> d <e>f</e> g", "a b c d e f e g"],
  ["a regular expression that begins with a tag's end", "a(/>Deno/)", "a"],
  ["a division", "a / b + 'Deno' / c", "a b c"],
  ["a division behind brackets", "(a) / b['Deno'] / c", "a b c"],
  ["a division behind a name that ends like a word", "xreturn / a / b", "xreturn a b"],
  ["a division behind a field with a keyword's name", "x.of / a / b", "x of a b"],
];

for (const [what, source, left] of cases) {
  Deno.test(`stripSource() leaves only the code when given ${what}`, () => {
    assertEquals(words(source), left);
  });
}

Deno.test("importsOf() finds every kind of import and no other string", () => {
  const source = `
    import a from "./a.ts";
    import type { B } from './b.ts';
    import { c,
      d } from "./c.ts";
    import * as e from "./e.ts";
    import f, { type G } from "npm:f@1";
    import "./side_effect.ts";
    export { h } from "./h.ts";
    export * from "./i.ts";
    type J = import("./j.ts").J;
    const k = await import("node:fs");
    const l = await import("./l.json", { with: { type: "json" } });
    const m = import(name);
    const n = import("./n/" + name);
    // import o from "./o.ts";
    const p = 'import p from "./p.ts"';
    const q = Array.from("q"), r = x.from("r"), s = import.meta.url;
  `;
  assertEquals(importsOf(source, stripSource(source)), [
    "./a.ts",
    "./b.ts",
    "./c.ts",
    "./e.ts",
    "npm:f@1",
    "./side_effect.ts",
    "./h.ts",
    "./i.ts",
    "./j.ts",
    "node:fs",
    "./l.json",
    null,
    null,
  ]);
});
