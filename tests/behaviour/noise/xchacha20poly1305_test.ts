/** Tests of the XChaCha20-Poly1305 that cookie replies are sealed with (`@noble/ciphers`). */
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { aeadCases, tally } from "../../support/noise/vectors.ts";
import { hostTest } from "../../support/permissions.ts";

hostTest("xchacha20poly1305() does as all 315 Wycheproof cases say", () => {
  const cases = aeadCases("wycheproof_xchacha20_poly1305.json");
  const outcomes = cases.map(({ tcId, key, nonce, associatedData, plaintext, sealed, result }) => {
    const message = `case ${tcId}`;
    if (nonce.length !== 24) {
      assertThrows(() => xchacha20poly1305(key, nonce, associatedData).encrypt(plaintext));
      assertThrows(() => xchacha20poly1305(key, nonce, associatedData).decrypt(sealed));
      assertEquals(result, "invalid", message);
      return "nonce refused";
    }
    const cipher = () => xchacha20poly1305(key, nonce, associatedData);
    if (result === "valid") {
      assertEquals<Uint8Array>(cipher().encrypt(plaintext), sealed, message);
      assertEquals<Uint8Array>(cipher().decrypt(sealed), plaintext, message);
      return "sealed and opened";
    }
    assertThrows(() => cipher().decrypt(sealed), Error, "tag");
    return "tag refused";
  });
  assertEquals(cases.length, 315);
  assertEquals(tally(outcomes), {
    "sealed and opened": 246,
    "tag refused": 60,
    "nonce refused": 9,
  });
});
