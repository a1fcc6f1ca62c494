/** Tests of key pairs that the console's page makes. */
import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { type KeyPairText, makeKeyPair } from "../../../../lib/console/page/state/keys.ts";
import { assertEquals, assertNotEquals } from "../../../support/assert.ts";

/** Start of an X25519 key in PKCS #8 (RFC 8410 section 7). */
const PKCS8 = "302e020100300506032b656e04220420";

/** What another implementation makes of the private key. */
function publicKeyOf({ privateKey }: KeyPairText): string {
  const der = Buffer.concat([Buffer.from(PKCS8, "hex"), Buffer.from(privateKey, "base64")]);
  const key = createPublicKey(createPrivateKey({ key: der, format: "der", type: "pkcs8" }));
  return key.export({ format: "der", type: "spki" }).subarray(-32).toString("base64");
}

const SOURCES: readonly [name: string, subtle: SubtleCrypto | undefined][] = [
  ["WebCrypto", crypto.subtle],
  ["the library, where there is no WebCrypto", undefined],
  [
    "the library, where WebCrypto has no X25519",
    { generateKey: () => Promise.reject(new DOMException("no", "NotSupportedError")) } as never,
  ],
];

for (const [name, subtle] of SOURCES) {
  Deno.test(`a key pair made by ${name} is one, as wg genkey writes it`, async () => {
    const pair = await makeKeyPair(subtle);
    assertEquals(pair.publicKey, publicKeyOf(pair));
    const bytes = Buffer.from(pair.privateKey, "base64");
    assertEquals(bytes.length, 32);
    assertEquals([bytes[0]! & 7, bytes[31]! & 192], [0, 64]);
    assertNotEquals((await makeKeyPair(subtle)).privateKey, pair.privateKey);
  });
}
