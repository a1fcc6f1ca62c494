/** Tests of HKDF: its outputs, where they may go, and what it leaves behind. */
import { sharedCompression } from "../../../../lib/core/noise/blake2s_compression.ts";
import { kdf1, kdf2, kdf3 } from "../../../../lib/core/noise/hkdf.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { heapGrowth } from "../../../support/heap_growth.ts";
import { referenceHmac } from "../../../support/noise/blake2s_reference.ts";
import { concat } from "../../../support/noise/vectors.ts";
import { hostTest } from "../../../support/permissions.ts";
import { Random } from "../../../support/random.ts";

/** Calls for which a single 16-byte object each would show as 320 kB. */
const CALLS = 20_000;

Deno.test("kdf1(), kdf2() and kdf3() are HKDF when written out", () => {
  const random = new Random(4);
  for (const length of [0, 1, 31, 32, 33, 63, 64, 65, 128, 129, 200]) {
    const key = random.bytes(32);
    const input = random.bytes(length);
    const kept = [key.slice(), input.slice()];
    const [first, second, third] = expected(key, input);
    const [a, b, c] = [random.bytes(32), random.bytes(32), random.bytes(32)];
    kdf1(key, input, a);
    assertEquals([a], [first], `${length} bytes`);
    kdf2(key, input, a, b);
    assertEquals([a, b], [first, second], `${length} bytes`);
    kdf3(key, input, a, b, c);
    assertEquals([a, b, c], [first, second, third], `${length} bytes`);
    assertEquals([key, input], kept);
  }
});

Deno.test("outputs may take the place of key and input", () => {
  const random = new Random(5);
  for (let round = 0; round < 20; round++) {
    const [key, input] = [random.bytes(32), random.bytes(32)];
    const [first, second, third] = expected(key, input);
    const [oneKey, twoKey] = [key.slice(), key.slice()];
    const twoInput = input.slice();
    kdf1(oneKey, input, oneKey);
    assertEquals(oneKey, first);
    kdf2(twoKey, twoInput, twoInput, twoKey);
    assertEquals([twoInput, twoKey], [first, second]);
    const other = new Uint8Array(32);
    kdf3(key, input, key, input, other);
    assertEquals([key, input, other], [first, second, third]);
  }
});

Deno.test("nothing of keys and outputs is left in the memory of the hash", () => {
  const random = new Random(6);
  const { state, block } = sharedCompression();
  const [key, input] = [random.bytes(32), random.bytes(32)];
  kdf3(key, input, new Uint8Array(32), new Uint8Array(32), new Uint8Array(32));
  assert(state.every((word) => word === 0));
  assert(block.every((byte) => byte === 0));
});

hostTest("kdf1(), kdf2() and kdf3() allocate nothing", () => {
  const random = new Random(7);
  const [key, input, a, b] = [
    random.bytes(32),
    random.bytes(32),
    random.bytes(32),
    random.bytes(32),
  ];
  const grown = heapGrowth(CALLS, () => {
    kdf1(key, input, key);
    kdf2(key, input, key, a);
    kdf3(key, input, key, a, b);
  });
  assert(grown < CALLS, `${grown} bytes in ${CALLS} calls`);
});

function expected(key: Uint8Array, input: Uint8Array): Uint8Array<ArrayBuffer>[] {
  const extracted = referenceHmac(key, input);
  const first = referenceHmac(extracted, Uint8Array.of(1));
  const second = referenceHmac(extracted, concat(first, Uint8Array.of(2)));
  return [first, second, referenceHmac(extracted, concat(second, Uint8Array.of(3)))];
}
