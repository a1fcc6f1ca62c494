/** Tests of X25519. */
import { clamp, keyPair, publicKey, sharedSecret } from "../../../../lib/core/noise/x25519.ts";
import { assert, assertEquals, assertThrows } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";
import { type DhCase, dhCases, fromHex, tally } from "../../../support/noise/vectors.ts";
import { hostTest } from "../../../support/permissions.ts";

/** Little-endian 9, the base point. */
const BASE_POINT = fromHex("09" + "00".repeat(31));

/**
 * How each class of Wycheproof's is treated. `acceptable` leaves the choice to the implementation; here
 *
 * - a shared secret of zero (all 31 cases of low order) is refused, as WireGuard asks;
 * - a point on the twist, and a public key that is not reduced or has its top bit set, give the shared secret that
 *   RFC 7748 section 5 prescribes for them.
 */
function treatment(test: DhCase): string {
  if (test.flags.includes("ZeroSharedSecret")) return "refused: zero shared secret";
  if (test.result === "valid") return "agreed: valid";
  if (test.flags.includes("NonCanonicalPublic")) return "agreed: public key not reduced";
  if (test.flags.includes("Twist")) return "agreed: point on the twist";
  return "unknown";
}

hostTest("sharedSecret() does as all 518 Wycheproof cases say", () => {
  const cases = dhCases("wycheproof_x25519.json");
  for (const test of cases) {
    const expected = treatment(test).startsWith("refused") ? null : test.shared;
    assertEquals(sharedSecret(test.secret, test.publicKey), expected, `case ${test.tcId}`);
  }
  assertEquals(cases.length, 518);
  assertEquals(tally(cases.map(treatment)), {
    "agreed: valid": 264,
    "agreed: point on the twist": 210,
    "agreed: public key not reduced": 13,
    "refused: zero shared secret": 31,
  });
});

Deno.test("sharedSecret() gives RFC 7748's result when iterated 1,000 times", () => {
  let scalar: Uint8Array = BASE_POINT;
  let point: Uint8Array = BASE_POINT;
  for (let round = 1; round <= 1000; round++) {
    const next = sharedSecret(scalar, point);
    assert(next !== null);
    point = scalar;
    scalar = next;
    if (round === 1) {
      assertEquals(
        scalar.toHex(),
        "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079",
      );
    }
  }
  assertEquals(
    scalar.toHex(),
    "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51",
  );
});

Deno.test("keyPair() gives the keys of RFC 7748 section 6.1", () => {
  const alice = keyPair(
    fromHex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"),
  );
  const bob = keyPair(
    fromHex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"),
  );
  assertEquals(
    alice.public.toHex(),
    "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
  );
  assertEquals(
    bob.public.toHex(),
    "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
  );
  assertEquals(
    sharedSecret(alice.secret, bob.public)?.toHex(),
    "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
  );
});

Deno.test("publicKey() equals the shared secret with the base point when secrets are random", () => {
  const random = new Random(1);
  for (let round = 0; round < 100; round++) {
    const secret = random.bytes(32);
    assertEquals<Uint8Array | null>(publicKey(secret), sharedSecret(secret, BASE_POINT));
  }
});

Deno.test("keyPair() copies the secret when the pair is wiped later", () => {
  const secret = new Random(2).bytes(32);
  const kept = secret.slice();
  keyPair(secret).secret.fill(0);
  assertEquals(secret, kept);
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

Deno.test("all functions throw when a key is not 32 bytes", () => {
  const good = new Uint8Array(32).fill(1);
  for (const size of [0, 31, 33, 64]) {
    const wrong = new Uint8Array(size);
    assertThrows(() => clamp(wrong), RangeError, `${size} bytes`);
    assertThrows(() => publicKey(wrong), RangeError, `${size} bytes`);
    assertThrows(() => keyPair(wrong), RangeError, `${size} bytes`);
    assertThrows(() => sharedSecret(wrong, good), RangeError, `${size} bytes`);
    assertThrows(() => sharedSecret(good, wrong), RangeError, `${size} bytes`);
  }
});
