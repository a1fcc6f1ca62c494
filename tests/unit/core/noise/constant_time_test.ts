/** Tests of comparison in constant time (of its results; time is not measured). */
import { constantTimeEqual } from "../../../../lib/core/noise/constant_time.ts";
import { assertEquals } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";

Deno.test("constantTimeEqual() is false when any one bit or the length differs", () => {
  const a = new Random(1).bytes(32);
  const b = a.slice();
  assertEquals(constantTimeEqual(a, b), true);
  for (let bit = 0; bit < 256; bit++) {
    b[bit >> 3]! ^= 1 << (bit & 7);
    assertEquals(constantTimeEqual(a, b), false, `bit ${bit}`);
    b[bit >> 3]! ^= 1 << (bit & 7);
  }
  assertEquals(constantTimeEqual(a, a.subarray(0, 31)), false);
  assertEquals(constantTimeEqual(a.subarray(0, 31), a), false);
  assertEquals(constantTimeEqual(new Uint8Array(0), new Uint8Array(0)), true);
});

Deno.test("constantTimeEqual() sees differences when they would cancel out", () => {
  assertEquals(constantTimeEqual(Uint8Array.of(1, 1), Uint8Array.of(0, 0)), false);
  assertEquals(constantTimeEqual(Uint8Array.of(1, 0), Uint8Array.of(0, 1)), false);
});
