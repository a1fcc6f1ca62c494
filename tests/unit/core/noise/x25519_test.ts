/** Tests of X25519 by `node:crypto`. */
import { builtinX25519, clamp, keyPair, publicKey } from "../../../../lib/core/noise/x25519.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { testX25519 } from "../../../support/noise/x25519_suite.ts";
import { Random } from "../../../support/random.ts";

testX25519("builtinX25519", { open: () => ({ provider: builtinX25519, close: () => {} }) });

Deno.test("publicKey() is that of the pair", () => {
  const secret = new Random(1).bytes(32);
  assertEquals(publicKey(secret), keyPair(secret).public);
});

Deno.test("destroy() zeroes the secret of the pair", () => {
  const pair = keyPair(new Random(2).bytes(32));
  pair.destroy();
  assertEquals<Uint8Array>(pair.secret, new Uint8Array(32));
});

Deno.test("clamp() fixes five bits and changes no public key", () => {
  const random = new Random(3);
  for (let round = 0; round < 50; round++) {
    const secret = random.bytes(32);
    const kept = secret.slice();
    const clamped = clamp(secret);
    assertEquals(secret, kept);
    assertEquals(clamped[0]! & 7, 0);
    assertEquals(clamped[31]! & 0xc0, 0x40);
    assertEquals(clamped.slice(1, 31), secret.slice(1, 31));
    assertEquals(publicKey(clamped), publicKey(secret));
  }
  assertEquals(clamp(new Uint8Array(32).fill(0xff)).toHex(), "f8" + "ff".repeat(30) + "7f");
  assertEquals(clamp(new Uint8Array(32)).toHex(), "00".repeat(31) + "40");
});

Deno.test("clamp() and publicKey() throw when a key is not 32 bytes", () => {
  for (const size of [0, 31, 33, 64]) {
    const wrong = new Uint8Array(size);
    assertThrows(() => clamp(wrong), RangeError, `${size} bytes`);
    assertThrows(() => publicKey(wrong), RangeError, `${size} bytes`);
  }
});
