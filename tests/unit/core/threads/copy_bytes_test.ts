/** Tests of lib/core/threads/copy_bytes.ts. */
import { copyBytes, copyWords } from "../../../../lib/core/threads/copy_bytes.ts";
import { assertEquals } from "../../../support/assert.ts";

Deno.test("copyBytes() copies these bytes and no others, wherever they stand, into shared memory too", () => {
  const from = Uint8Array.from({ length: 64 }, (_, i) => i + 1);
  for (let fromAt = 0; fromAt < 5; fromAt++) {
    for (let toAt = 0; toAt < 5; toAt++) {
      for (let length = 0; length < 20; length++) {
        const to = new Uint8Array(new SharedArrayBuffer(64));
        copyBytes(new DataView(from.buffer), fromAt, new DataView(to.buffer), toAt, length);
        const expected = new Uint8Array(64);
        expected.set(from.subarray(fromAt, fromAt + length), toAt);
        assertEquals([...to], [...expected]);
      }
    }
  }
});

Deno.test("copyWords() copies a super-packet as it copies a packet", () => {
  const from = Int32Array.from({ length: 16_400 }, (_, i) => Math.imul(i + 1, 0x9e3779b1));
  const to = new Int32Array(new SharedArrayBuffer(4 * from.length));
  const length = 65_501;
  const words = Math.ceil(length / 4);
  copyWords(from, 8, to, 4, length);
  assertEquals([...to.subarray(1, 1 + words)], [...from.subarray(2, 2 + words)]);
  assertEquals([to[0], to[1 + words]], [0, 0]);
});

Deno.test("copyWords() copies these bytes, and up to the end of the last word what is behind them", () => {
  const from = Uint8Array.from({ length: 64 }, (_, i) => i + 1);
  for (let length = 0; length < 40; length++) {
    const to = new Uint8Array(new SharedArrayBuffer(64));
    copyWords(new Int32Array(from.buffer), 8, new Int32Array(to.buffer), 4, length);
    const expected = new Uint8Array(64);
    expected.set(from.subarray(8, 8 + Math.ceil(length / 4) * 4), 4);
    assertEquals([...to], [...expected]);
  }
});
