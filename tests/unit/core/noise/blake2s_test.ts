/** Tests of BLAKE2s and what is built on it. */
import { blake2sHash, hashInto, mac, MacKey } from "../../../../lib/core/noise/blake2s.ts";
import { assert, assertEquals, assertThrows } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";
import { referenceBlake2s } from "../../../support/noise/blake2s_reference.ts";
import { concat } from "../../../support/noise/vectors.ts";

const LENGTHS = [0, 1, 3, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 255, 1024];

Deno.test("referenceBlake2s() passes the self-test of RFC 7693 appendix E", () => {
  const digests: Uint8Array[] = [];
  for (const size of [16, 20, 28, 32]) {
    for (const length of [0, 3, 64, 65, 255, 1024]) {
      const input = selfTestSequence(length);
      digests.push(referenceBlake2s(input, { size }));
      digests.push(referenceBlake2s(input, { size, key: selfTestSequence(size) }));
    }
  }
  assertEquals(
    referenceBlake2s(concat(...digests)).toHex(),
    "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe",
  );
});

Deno.test("hash() gives the digest of RFC 7693 appendix B", () => {
  assertEquals(
    blake2sHash(new TextEncoder().encode("abc")).toHex(),
    "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982",
  );
});

Deno.test("hash() agrees with the reference when input comes in one part or more", () => {
  const random = new Random(1);
  for (const length of LENGTHS) {
    const input = random.bytes(length);
    const cut = random.below(length + 1);
    const expected: Uint8Array = referenceBlake2s(input);
    assertEquals(blake2sHash(input), expected, `${length} bytes`);
    assertEquals(
      blake2sHash(input.subarray(0, cut), input.subarray(cut)),
      expected,
      `${length} bytes`,
    );
  }
  assertEquals<Uint8Array>(blake2sHash(), referenceBlake2s(new Uint8Array(0)));
});

Deno.test("hashInto() agrees with the reference, also where the digest takes the place of the input", () => {
  const random = new Random(6);
  for (const length of LENGTHS) {
    const [first, second] = [random.bytes(32), random.bytes(length)];
    const expected: Uint8Array = referenceBlake2s(concat(first, second));
    const digest = random.bytes(32);
    hashInto(digest, first, second);
    assertEquals(digest, expected, `${length} bytes`);
    hashInto(first, first, second);
    assertEquals(first, expected, `${length} bytes`);
    const whole = random.bytes(32);
    const wholeExpected: Uint8Array = referenceBlake2s(concat(second, whole));
    hashInto(whole, second, whole);
    assertEquals(whole, wholeExpected, `${length} bytes`);
  }
});

Deno.test("mac() agrees with the reference when keys have 1 to 32 bytes", () => {
  const random = new Random(2);
  for (const length of LENGTHS.slice(1)) {
    const input = random.bytes(length);
    for (const key of [random.bytes(32), random.bytes(16), random.bytes(random.between(1, 32))]) {
      const expected: Uint8Array = referenceBlake2s(input, { size: 16, key });
      assertEquals(mac(key, input), expected, `${length} bytes`);
    }
  }
});

Deno.test("mac() refuses an empty input rather than give a wrong answer", () => {
  assertThrows(() => mac(new Uint8Array(32), new Uint8Array(0)), RangeError);
});

Deno.test("MacKey.check() reads the message where it lies and refuses when any bit of the MAC differs", () => {
  const random = new Random(5);
  for (const length of [1, 6, 60, 63, 64, 65, 76, 116, 128, 132]) {
    const offset = random.below(5);
    const input = random.bytes(length);
    const key = random.bytes(32);
    const memory = random.bytes(offset + length + 16);
    const view = new DataView(memory.buffer);
    memory.set(input, offset);
    memory.set(referenceBlake2s(input, { size: 16, key }), offset + length);
    const keyed = new MacKey(random.bytes(16));
    keyed.replace(key);
    assert(keyed.check(view, offset, length, offset + length), `${length} bytes`);
    for (let bit = 0; bit < 128; bit++) {
      memory[offset + length + (bit >> 3)]! ^= 1 << (bit & 7);
      assert(!keyed.check(view, offset, length, offset + length), `${length} bytes, bit ${bit}`);
      memory[offset + length + (bit >> 3)]! ^= 1 << (bit & 7);
    }
    keyed.destroy();
    assert(!keyed.check(view, offset, length, offset + length), "the key was overwritten");
  }
});

/** `selftest_seq` of the appendix: a Fibonacci sequence from a seed, the top byte of each. */
function selfTestSequence(length: number): Uint8Array<ArrayBuffer> {
  let previous = Math.imul(0xdead4bad, length) >>> 0;
  let current = 1;
  return Uint8Array.from({ length }, () => {
    const next = (previous + current) >>> 0;
    previous = current;
    current = next;
    return next >>> 24;
  });
}
