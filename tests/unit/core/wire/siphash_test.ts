/**
 * Tests of SipHash-2-4: by the paper's own vector's key and message length, and by a slow reference on 64-bit integers.
 */
import { SipHash } from "../../../../lib/core/wire/siphash.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";

const MASK = (1n << 64n) - 1n;
const rotate = (word: bigint, bits: bigint) => (word << bits | word >> (64n - bits)) & MASK;

/** The paper's section 2, step by step, for messages of any length. */
function reference(key: Uint8Array, message: Uint8Array): bigint {
  const word = (bytes: Uint8Array) =>
    [...bytes].reduce((sum, byte, i) => sum | BigInt(byte) << BigInt(8 * i), 0n);
  const [k0, k1] = [word(key.subarray(0, 8)), word(key.subarray(8))];
  const text = (characters: string) =>
    [...characters].reduce((sum, character) => sum << 8n | BigInt(character.charCodeAt(0)), 0n);
  let v0 = k0 ^ text("somepseu");
  let v1 = k1 ^ text("dorandom");
  let v2 = k0 ^ text("lygenera");
  let v3 = k1 ^ text("tedbytes");
  const round = () => {
    v0 = (v0 + v1) & MASK;
    v1 = rotate(v1, 13n) ^ v0;
    v0 = rotate(v0, 32n);
    v2 = (v2 + v3) & MASK;
    v3 = rotate(v3, 16n) ^ v2;
    v0 = (v0 + v3) & MASK;
    v3 = rotate(v3, 21n) ^ v0;
    v2 = (v2 + v1) & MASK;
    v1 = rotate(v1, 17n) ^ v2;
    v2 = rotate(v2, 32n);
  };
  const padded = new Uint8Array((message.length >> 3 << 3) + 8);
  padded.set(message);
  padded[padded.length - 1] = message.length;
  for (let at = 0; at < padded.length; at += 8) {
    const m = word(padded.subarray(at, at + 8));
    v3 ^= m;
    round();
    round();
    v0 ^= m;
  }
  v2 ^= 0xffn;
  for (let i = 0; i < 4; i++) round();
  return v0 ^ v1 ^ v2 ^ v3;
}

function hash(key: Uint8Array, message: Uint8Array): number {
  const view = new DataView(message.buffer);
  const hash = new SipHash(key);
  hash.begin();
  for (let at = 0; at < message.length; at += 8) {
    hash.add(view.getInt32(at, true), view.getInt32(at + 4, true));
  }
  return hash.end();
}

const counting = (length: number) => Uint8Array.from({ length }, (_, i) => i);

Deno.test("the reference gives the paper's vector (appendix A)", () => {
  assertEquals(reference(counting(16), counting(15)), 0xa129ca6149be45e5n);
});

Deno.test("the hash is the low half of SipHash-2-4, of as many words as there are", () => {
  assertEquals(
    hash(counting(16), counting(16)),
    Number(BigInt.asIntN(32, reference(counting(16), counting(16)))),
  );
  const random = new Random(3);
  for (let i = 0; i < 1_000; i++) {
    const [key, message] = [random.bytes(16), random.bytes(8 * random.below(8))];
    assertEquals(hash(key, message), Number(BigInt.asIntN(32, reference(key, message))));
  }
});

Deno.test("a key of another length is refused", () => {
  for (const length of [0, 15, 17]) {
    assertThrows(() => new SipHash(counting(length)), RangeError, `${length} bytes, not 16`);
  }
});
