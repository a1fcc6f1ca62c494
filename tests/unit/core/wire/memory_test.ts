/** Tests of lib/core/wire/memory.ts. */
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import { assertEquals } from "../../../support/assert.ts";

Deno.test("createMemory() gives zero bytes and a view of the same bytes", () => {
  const memory = createMemory(8);
  assertEquals(memory.bytes, new Uint8Array(8));
  memory.view.setUint32(4, 0x01020304);
  assertEquals([...memory.bytes], [0, 0, 0, 0, 1, 2, 3, 4]);
});
