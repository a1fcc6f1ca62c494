/** Shows that public keys are derived as RFC 7748 has them, and that bad ones are not shown. */
import { AppError, exitCodeOf } from "../../../lib/process/errors.ts";
import { publicKeyText } from "../../../lib/commands/keys.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

// RFC 7748 section 6.1, Alice's key pair, in base64.
const ALICE_PRIVATE = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";
const ALICE_PUBLIC = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";

Deno.test("publicKeyText() gives the public key when the text is a private key, space aside", () => {
  assertEquals(publicKeyText(ALICE_PRIVATE), ALICE_PUBLIC);
  assertEquals(publicKeyText(` ${ALICE_PRIVATE}\r\n`), ALICE_PUBLIC);
});

Deno.test("publicKeyText() throws with the exit code for usage, and hides the text, when it is no key", () => {
  const error = assertThrows(() => publicKeyText(ALICE_PRIVATE.slice(1)), AppError);
  assertEquals(exitCodeOf(error), 2);
  assertEquals(
    error.message,
    "Cannot read the private key: a key is 44 characters of base64, this one has 43",
  );
});
