/** Shows which lines of a text are said to have gone and to have come. */
import fc from "fast-check";
import { lineDiff } from "../../../../../lib/core/config/text/line_diff.ts";
import { assertEquals } from "../../../../support/assert.ts";

const SIGNS = { same: " ", added: "+", removed: "-" } as const;

function shown(before: string, after: string): string[] {
  return lineDiff(before, after).map(({ kind, text }) => SIGNS[kind] + text);
}

Deno.test("lineDiff() says what has gone before what has come in its place", () => {
  assertEquals(shown("a\nb\nc\n", "a\nx\nc\nd\n"), [" a", "-b", "+x", " c", "+d"]);
  assertEquals(shown("a\r\nb", "a\nb\n"), [" a", " b"]);
  assertEquals(shown("", "a\n"), ["+a"]);
  assertEquals(shown("a\nb\n", "b\na\n").filter((line) => line.startsWith(" ")).length, 1);
});

Deno.test("lineDiff() has both texts in it, with as many lines in common as there are", () => {
  const lines = fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 8 });
  fc.assert(fc.property(lines, lines, (old, now) => {
    const diff = lineDiff(old.join("\n"), now.join("\n"));
    const without = (kind: string) =>
      diff.filter((line) => line.kind !== kind).map(({ text }) => text);
    assertEquals([without("added"), without("removed")], [old, now]);
    assertEquals(diff.filter(({ kind }) => kind === "same").length, common(old, now));
  }));
});

function common([one, ...others]: readonly string[], now: readonly string[]): number {
  if (one === undefined || now.length === 0) return 0;
  const at = now.indexOf(one);
  const without = common(others, now);
  return at < 0 ? without : Math.max(without, 1 + common(others, now.slice(at + 1)));
}

Deno.test("lineDiff() of texts too long to compare takes all between for another, and no time", () => {
  const text = (word: string) => Array.from({ length: 3000 }, (_, i) => `${word} ${i}`).join("\n");
  const diff = lineDiff(`a\n${text("x")}\nz`, `a\n${text("y")}\nz`);
  assertEquals([diff.length, diff[1]!.kind, diff.at(-2)!.kind], [6002, "removed", "added"]);
});
