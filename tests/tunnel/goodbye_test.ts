/** Tests of the last word of an end that closes. */
import { isGoodbye, writeGoodbye } from "../../lib/tunnel/goodbye.ts";
import { createMemory } from "../../lib/wire/memory.ts";
import { isProbe } from "../../lib/tunnel/path_mtu.ts";
import { assert, assertEquals } from "../support/assert.ts";

Deno.test("isGoodbye() knows what writeGoodbye() wrote, and nothing that differs from it", () => {
  const memory = createMemory(64);
  const length = writeGoodbye(memory, 8);
  assertEquals(Array.from(memory.bytes.subarray(8, 16)), [0, 0, 0, 0, 0x65, 0x6e, 0x64, 0]);
  assert(isGoodbye(memory.view, 8, length));
  assertEquals(isGoodbye(memory.view, 8, length - 1), false);
  assertEquals(isGoodbye(memory.view, 8, length + 1), false);
  for (let i = 8; i < 16; i++) {
    memory.bytes[i]! ^= 1;
    assertEquals(isGoodbye(memory.view, 8, length), false, `byte ${i}`);
    memory.bytes[i]! ^= 1;
  }
  assertEquals(isProbe(memory.view, 8, length), false);
});
