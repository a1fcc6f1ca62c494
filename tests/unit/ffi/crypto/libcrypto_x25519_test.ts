/** Tests of X25519 by libcrypto, with each version of it that the host has. */
import { Arena } from "../../../../ffi/arena.ts";
import {
  LibcryptoX25519,
  loadX25519,
  type X25519Symbols,
} from "../../../../ffi/crypto/libcrypto_key_pair.ts";
import { openX25519, x25519Works } from "../../../../ffi/crypto/libcrypto_x25519.ts";
import type { X25519Provider } from "../../../../lib/core/noise/key_pair.ts";
import { assert, assertStrictEquals, assertThrows } from "../../../support/assert.ts";
import { nativeGrowth } from "../../../support/native_growth.ts";
import { agreedSecret } from "../../../support/noise/agreed_secret.ts";
import { testX25519 } from "../../../support/noise/x25519_suite.ts";
import { hostTest, whereAllowed } from "../../../support/permissions.ts";
import { Random } from "../../../support/random.ts";

/** Made here, as making one takes the permission as well. */
const UNUSED_ARENA = whereAllowed(() => new Arena(64));
const NAMES = ["libcrypto.so.3", "libcrypto.so.1.1"];
const present = NAMES.find(isPresent);
const reason = present === undefined ? " (ignored: there is no libcrypto)" : "";

for (const name of NAMES) {
  testX25519(`openX25519(${name})`, { ignore: !isPresent(name), open: () => openFixture(name) });
}

hostTest({
  name: `keyPair() and agree() keep no native memory when they are done${reason}`,
  ignore: present === undefined,
  fn() {
    const { provider, close } = openFixture(present!);
    const random = new Random(1);
    const [secret, publicKey, lowOrder] = [random.bytes(32), random.bytes(32), new Uint8Array(32)];
    // 6,000 pairs with their contexts would take 4 MB.
    const limit = 2e6;
    const grown = nativeGrowth(limit, () => {
      for (let round = 0; round < 3_000; round++) {
        agreedSecret(secret, publicKey, provider);
        agreedSecret(secret, lowOrder, provider);
      }
    });
    close();
    assert(grown < limit, `${grown} bytes`);
  },
});

hostTest("openX25519() gives null when there is no such library, or it is another", () => {
  assertStrictEquals(openX25519(new Arena(64), "libcrypto.so.99"), null);
  assertStrictEquals(openX25519(new Arena(64), "libc.so.6"), null);
});

hostTest({
  name: "openX25519() throws when the permission is missing, for that is no missing library",
  permissions: { ffi: false },
  fn() {
    assertThrows(() => openX25519(UNUSED_ARENA, "libcrypto.so.3"), Deno.errors.NotCapable);
  },
});

for (
  const [what, lie] of Object.entries<(symbols: X25519Symbols) => Partial<X25519Symbols>>({
    "refuses secrets": () => ({ EVP_PKEY_new_raw_private_key: () => null }),
    "keeps the other side's key": () => ({ EVP_PKEY_set1_encoded_public_key: () => 1 }),
    "accepts points of low order": ({ EVP_PKEY_derive }) => ({
      EVP_PKEY_derive: (context, result, length) => {
        if (EVP_PKEY_derive(context, result, length) !== 1) (result as Uint8Array).fill(1);
        return 1;
      },
    }),
    "gives another result": ({ EVP_PKEY_derive }) => ({
      EVP_PKEY_derive: (context, result, length) => {
        const status = EVP_PKEY_derive(context, result, length);
        (result as Uint8Array)[0]! ^= 1;
        return status;
      },
    }),
  })
) {
  hostTest({
    name: `x25519Works() says no of a library that ${what}${reason}`,
    ignore: present === undefined,
    fn() {
      using library = openSymbols();
      const { symbols } = library;
      const worksWith = (lied: Partial<X25519Symbols>) =>
        x25519Works(new LibcryptoX25519({ ...symbols, ...lied }, new Arena(64), () => {}));
      assert(worksWith({}));
      assert(!worksWith(lie(symbols)));
    },
  });
}

testX25519("LibcryptoX25519 without the functions of 3.x", {
  ignore: present === undefined,
  open() {
    const library = openSymbols();
    const symbols = { ...library.symbols, EVP_PKEY_set1_encoded_public_key: null };
    const provider = new LibcryptoX25519(symbols, new Arena(64), library[Symbol.dispose]);
    return { provider, close: () => provider.close() };
  },
});

function openSymbols() {
  const library = loadX25519(present!);
  assert(library !== null);
  return { symbols: library.symbols, [Symbol.dispose]: () => library.close() };
}

function openFixture(name: string) {
  const library = openX25519(new Arena(64), name);
  assert(library !== null);
  const provider: X25519Provider = library;
  return { provider, close: () => library.close() };
}

function isPresent(name: string): boolean {
  const library = whereAllowed(() => openX25519(new Arena(64), name)) ?? null;
  library?.close();
  return library !== null;
}
