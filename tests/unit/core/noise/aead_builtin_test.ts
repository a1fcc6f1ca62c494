/** Tests of ChaCha20-Poly1305 by `node:crypto`. */
import { createBuiltinAead } from "../../../../lib/core/noise/aead_builtin.ts";
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import { assertEquals } from "../../../support/assert.ts";
import { testAead } from "../../../support/noise/aead_suite.ts";

testAead("createBuiltinAead()", {
  open() {
    const memory = createMemory(16_384);
    return { memory, provider: createBuiltinAead(memory), close: () => {} };
  },
});

Deno.test("createBuiltinAead() is named builtin", () => {
  assertEquals(createBuiltinAead(createMemory(64)).name, "builtin");
});
