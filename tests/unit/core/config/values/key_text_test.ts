/** Shows that a key has one spelling and that a bad one is not shown. */
import {
  decodeKey,
  encodeKey,
  keyProblem,
} from "../../../../../lib/core/config/values/key_text.ts";
import { assertEquals } from "../../../../support/assert.ts";

const BYTES = Uint8Array.from({ length: 32 }, (_, index) => index * 7 + 3);
// printf of the same bytes through base64(1).
const TEXT = "AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dw=";

Deno.test("encodeKey() writes standard base64 when given 32 bytes", () => {
  assertEquals(encodeKey(BYTES), TEXT);
});

Deno.test("decodeKey() reads what encodeKey() writes", () => {
  assertEquals(decodeKey(TEXT), BYTES);
});

Deno.test("decodeKey() returns null when the text is not the one spelling of 32 bytes", () => {
  const bad = {
    "empty": "",
    "too short": TEXT.slice(1),
    "too long": `A${TEXT}`,
    "no padding": TEXT.slice(0, 43),
    "33 bytes": `${TEXT.slice(0, 43)}A`,
    "31 bytes": `${TEXT.slice(0, 42)}==`,
    "URL alphabet": `-_${TEXT.slice(2)}`,
    "bits behind the 256th": `${TEXT.slice(0, 42)}x=`,
    "space inside": `${TEXT.slice(0, 10)} ${TEXT.slice(11)}`,
    "line end": `${TEXT.slice(0, 43)}\n`,
    "beyond ASCII": `é${TEXT.slice(1)}`,
  };
  for (const [what, text] of Object.entries(bad)) assertEquals(decodeKey(text), null, what);
});

Deno.test("keyProblem() tells the length and never the text", () => {
  assertEquals(keyProblem("secret"), "a key is 44 characters of base64, this one has 6");
  assertEquals(
    keyProblem(`${TEXT.slice(0, 42)}x=`),
    "a key is 44 characters of base64, this one is not base64 of 32 bytes",
  );
});
