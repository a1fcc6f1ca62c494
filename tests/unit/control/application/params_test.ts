/** Shows how parameters of the application's methods are read, and who is said to ask. */
import {
  actorOf,
  keysParam,
  numberParam,
  textsParam,
} from "../../../../lib/control/application/params.ts";
import { RefusalError } from "../../../../lib/core/config/refusal_error.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";

hostTest("root is who the kernel says, whatever he says; the console says for whom it asks", () => {
  assertEquals(actorOf({ user: 0, isConsole: false }, { by: "mallory" }), "root");
  assertEquals(actorOf({ user: 4_000_000_000, isConsole: false }, {}), "user 4000000000");
  assertEquals(actorOf({ user: 0, isConsole: true }, { by: "ann-maría" }), "ann-maría (console)");
  assertEquals(actorOf({ user: 0, isConsole: true }, {}), "nobody (console)");
});

Deno.test("a name for who asks is one line that a person can read", () => {
  for (const by of ["", "a\nb", "a\u202eb", "x".repeat(65), 7]) {
    assertThrows(() => actorOf({ user: 5, isConsole: true }, { by }), RefusalError, "by");
  }
});

Deno.test("keys are known ones, and their values one line that is no comment", () => {
  const read = (set: unknown) => keysParam({ set }, "set", ["Name", "Quota"]);
  assertEquals(read({ Name: "x", Quota: null }), { Name: "x", Quota: null });
  assertEquals(read(undefined), {});
  for (const set of [[], "x", { PublicKey: "x" }, { Name: 7 }, { Name: "a\nb" }, { Name: "a#b" }]) {
    assertEquals(assertThrows(() => read(set), RefusalError).code, "invalid");
  }
  // Nothing of an object's own is taken for a key.
  assertThrows(() => read(JSON.parse('{"__proto__": "x"}')), RefusalError, "no key");
});

Deno.test("lists are of texts and not empty, numbers whole and not below 0", () => {
  assertEquals(textsParam({ peers: ["a"] }, "peers"), ["a"]);
  for (const peers of [undefined, [], "a", [1]]) {
    assertThrows(() => textsParam({ peers }, "peers"), RefusalError, "peers");
  }
  assertEquals([numberParam({ n: 3 }, "n", 1), numberParam({}, "n", 1)], [3, 1]);
  for (const n of [-1, 1.5, NaN, "1", 2 ** 60]) {
    assertThrows(() => numberParam({ n }, "n", 1), RefusalError, "n");
  }
});
