/** Tests of the sum in 128-bit lanes, with `sum()` and RFC 1071's own example as judges. */
import { sum } from "../../../../lib/core/wire/checksum.ts";
import { createMemory, type Memory } from "../../../../lib/core/wire/memory.ts";
import { createSum } from "../../../../lib/core/wire/simd_sum.ts";
import { assertEquals } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";

const PAGE_SIZE = 65_536;

/** A memory of WebAssembly's. */
function wasmMemory(pages: number): Memory {
  const wasm = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const buffer = wasm.buffer as ArrayBuffer;
  return { wasm, bytes: new Uint8Array(buffer), view: new DataView(buffer) };
}

Deno.test("the sum in lanes is RFC 1071's (section 3)", () => {
  const memory = wasmMemory(1);
  memory.bytes.set([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 3);
  assertEquals(createSum(memory)(3, 8), 0xddf2);
});

Deno.test("the sum in lanes is that of sum(), for every length up to 200, alignment and initial sum", () => {
  const memory = wasmMemory(1);
  const random = new Random(1);
  memory.bytes.set(random.bytes(2_000));
  const inLanes = createSum(memory);
  for (let length = 0; length <= 200; length++) {
    for (let offset = 0; offset < 20; offset++) {
      const initial = random.below(0x1_0000);
      const expected = sum(memory.view, offset, length, initial);
      assertEquals(inLanes(offset, length, initial), expected, `${length} bytes at ${offset}`);
    }
  }
});

Deno.test("the sum in lanes carries over nothing in 64 KiB of the highest bytes, and reaches the memory's end", () => {
  const memory = wasmMemory(2);
  memory.bytes.fill(0xff);
  const inLanes = createSum(memory);
  for (const length of [65_535, 65_536, 131_071, 131_072]) {
    const offset = 2 * PAGE_SIZE - length;
    assertEquals(inLanes(offset, length, 5), sum(memory.view, offset, length, 5));
  }
});

Deno.test("in a memory that is not WebAssembly's, the sum is sum()'s", () => {
  const memory = createMemory(100);
  memory.bytes.set(new Random(2).bytes(100));
  assertEquals(createSum(memory)(1, 99, 7), sum(memory.view, 1, 99, 7));
});
