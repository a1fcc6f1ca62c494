/** Tests what schemas accept, and where they say that something is wrong. */
import {
  arrayOf,
  choiceOf,
  closed,
  flag,
  mapOf,
  mistakeIn,
  number,
  orNull,
  record,
  type Schema,
  text,
  whole,
} from "../../../../lib/console/api/schema.ts";
import { assertEquals } from "../../../support/assert.ts";

const CASES: readonly [what: string, Schema, right: unknown[], wrong: unknown[]][] = [
  ["a text", text({ minLength: 1, maxLength: 3 }), ["a", "abc", "💡💡💡"], ["", "abcd", 1, null]],
  ["a text by a pattern", text({ pattern: "^[^\\p{Cc}]+$" }), ["a b", "é"], ["a\n", "\0", ""]],
  ["a whole number", whole({ minimum: 1, maximum: 9 }), [1, 9], [0, 10, 1.5, "1", NaN, 1e300]],
  ["a number", number({ minimum: 0 }), [0, 1.5], [-1, "1", null]],
  ["a flag", flag(), [true, false], [0, "true", null]],
  ["a choice", choiceOf(["a", "b"]), ["a", "b"], ["c", "", null, ["a"]]],
  ["or null", orNull(whole()), [null, 1], ["1", undefined, {}]],
  ["a list", arrayOf(flag(), { minItems: 1, maxItems: 2 }), [[true]], [
    [],
    [1],
    [true, true, true],
    {},
  ]],
  ["a map", mapOf(whole()), [{}, { a: 1 }], [{ a: "1" }, [], null]],
  ["a record", record({ a: flag() }, { b: whole() }), [{ a: true }, { a: true, b: 1, c: 2 }], [
    {},
    { a: true, b: "1" },
    [],
    null,
    Object.create({ a: true }),
  ]],
  ["a closed record", closed(record({ a: flag() })), [{ a: true }], [
    { a: true, b: 1 },
    JSON.parse('{"a":true,"__proto__":1}'),
    JSON.parse('{"a":true,"constructor":1}'),
  ]],
];

for (const [what, schema, right, wrong] of CASES) {
  Deno.test(`${what} is accepted where it is one, and nowhere else`, () => {
    for (const value of right) assertEquals(mistakeIn(value, schema), null, JSON.stringify(value));
    for (const value of wrong) {
      assertEquals(mistakeIn(value, schema) !== null, true, `${JSON.stringify(value)} is accepted`);
    }
  });
}

Deno.test("a mistake has the pointer of its member (RFC 6901)", () => {
  const schema = record({ "a/b": arrayOf(record({ "~": flag() })) });
  const found = mistakeIn({ "a/b": [{ "~": true }, { "~": 1 }] }, schema);
  assertEquals(found?.pointer, "/a~1b/1/~0");
});
