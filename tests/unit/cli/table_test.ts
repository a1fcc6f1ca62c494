/** Shows how tables are laid out. */
import { tableLines } from "../../../lib/cli/table.ts";
import { assertEquals } from "../../support/assert.ts";

Deno.test("tableLines() makes each column as wide as its widest cell, without blanks at the end", () => {
  assertEquals(tableLines([["NAME", "A", "B"], ["x", "123", ""], ["long name", "", "1"]]), [
    "NAME       A    B",
    "x          123",
    "long name       1",
  ]);
});

Deno.test("tableLines() counts characters, not UTF-16 units", () => {
  assertEquals(tableLines([["𝒳", "1"], ["ab", "2"]]), ["𝒳   1", "ab  2"]);
});

Deno.test("tableLines() of no rows is no lines", () => {
  assertEquals(tableLines([]), []);
});

Deno.test("tableLines() does not count what colours", () => {
  assertEquals(tableLines([["\x1b[32mab\x1b[0m", "1"], ["abc", "2"]]), [
    "\x1b[32mab\x1b[0m   1",
    "abc  2",
  ]);
});
