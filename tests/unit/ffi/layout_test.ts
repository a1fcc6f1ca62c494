/** Tests of the C struct layouts in `ffi/layout.ts`. */
import { alignTo, struct } from "../../../ffi/layout.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

// struct { u8 a; u16 b; u8 c; u32 d; int e; u8 f; }: gaps before b, d and at the end.
const GAPPED = struct({ a: "u8", b: "u16", c: "u8", d: "u32", e: "i32", f: "u8" });

Deno.test("struct() aligns each field to its size and the whole to its widest field", () => {
  assertEquals(GAPPED.offsets, { a: 0, b: 2, c: 4, d: 8, e: 12, f: 16 });
  assertEquals(GAPPED.size, 20);
  assertEquals(struct({ a: "u8", b: "u8", c: "u8" }).size, 3);
  assertEquals(struct({ a: "u16", b: "u8" }).size, 4);
});

Deno.test("write() stores fields in little-endian order and clears the gaps", () => {
  const bytes = new Uint8Array(24).fill(0xff);
  GAPPED.write(bytes, 2, { a: 1, b: 0x0203, c: 4, d: 0xfffefdfc, e: -2, f: 5 });
  assertEquals(
    Array.from(bytes),
    // deno-fmt-ignore
    [0xff, 0xff, 1, 0, 3, 2, 4, 0, 0, 0, 0xfc, 0xfd, 0xfe, 0xff, 0xfe, 0xff, 0xff, 0xff, 5, 0, 0, 0, 0xff, 0xff],
  );
});

Deno.test("write() stores 0 in fields that are left out", () => {
  const bytes = new Uint8Array(GAPPED.size).fill(0xff);
  GAPPED.write(bytes, 0, { d: 7 });
  assertEquals(GAPPED.read(bytes, 0), { a: 0, b: 0, c: 0, d: 7, e: 0, f: 0 });
});

Deno.test("read() gives back what write() stored, also in the middle of a view", () => {
  const bytes = new Uint8Array(64).subarray(3, 40);
  const values = { a: 255, b: 65535, c: 0, d: 4294967295, e: -2147483648, f: 1 };
  GAPPED.write(bytes, 5, values);
  assertEquals(GAPPED.read(bytes, 5), values);
});

Deno.test("read() and write() throw when the struct does not fit", () => {
  const bytes = new Uint8Array(GAPPED.size);
  assertThrows(() => GAPPED.read(bytes, 1), RangeError, "Cannot reach a struct of 20 bytes at 1");
  assertThrows(() => GAPPED.write(bytes.subarray(1), 0, {}), RangeError, "there are 19 bytes");
});

Deno.test("alignTo() rounds up to a multiple", () => {
  assertEquals([0, 1, 3, 4, 5].map((offset) => alignTo(offset, 4)), [0, 4, 4, 4, 8]);
});
