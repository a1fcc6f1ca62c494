/** Tests of ChaCha20-Poly1305 by libcrypto, with each version of it that the host has. */
import { Arena } from "../../../../ffi/arena.ts";
import { openLibcrypto } from "../../../../ffi/crypto/libcrypto.ts";
import {
  LibcryptoCipher,
  type LibcryptoSymbols,
  loadLibrary,
} from "../../../../ffi/crypto/libcrypto_cipher.ts";
import { LibcryptoKey, LibcryptoKeys } from "../../../../ffi/crypto/libcrypto_key.ts";
import { LibcryptoShortcut } from "../../../../ffi/crypto/libcrypto_shortcut.ts";
import { shortcutWorks } from "../../../../ffi/crypto/libcrypto_trial.ts";
import type { AeadProvider } from "../../../../lib/core/noise/aead.ts";
import { createBuiltinAead } from "../../../../lib/core/noise/aead_builtin.ts";
import { testAead } from "../../../support/noise/aead_suite.ts";
import { testPacketCipher } from "../../../support/noise/packet_cipher_suite.ts";
import { Random } from "../../../support/random.ts";
import { assert, assertEquals, assertStrictEquals, assertThrows } from "../../../support/assert.ts";
import { nativeGrowth } from "../../../support/native_growth.ts";
import { hostTest, whereAllowed } from "../../../support/permissions.ts";

/** Made here, as making one takes the permission as well. */
const UNUSED_ARENA = whereAllowed(() => new Arena(64));
const NAMES = ["libcrypto.so.3", "libcrypto.so.1.1"];

for (const name of NAMES) {
  const suite = { ignore: !isPresent(name), open: () => openFixture([name]) };
  testAead(`openLibcrypto(${name})`, suite);
  testPacketCipher(`openLibcrypto(${name})`, suite);
}

hostTest({
  name: "seal(), open() and key() keep no native memory when they are done",
  ignore: !NAMES.some(isPresent),
  fn() {
    const { provider, close } = openFixture(NAMES);
    const key = new Uint8Array(32);
    const nonce = new Uint8Array(12);
    // 20,000 contexts would take 15 MB.
    const limit = 8e6;
    const grown = nativeGrowth(limit, () => {
      for (let round = 0; round < 20_000; round++) {
        provider.key(key).destroy();
        provider.open(key, nonce, nonce, provider.seal(key, nonce, nonce, nonce));
      }
    });
    close();
    assert(grown < limit, `${grown} bytes`);
  },
});

hostTest("openLibcrypto() gives null when no name can be opened", () => {
  assertStrictEquals(openLibcrypto(new Arena(4096), ["libcrypto.so.99", "/nonexistent"]), null);
});

hostTest({
  name: "openLibcrypto() throws when the permission is missing, for that is no missing library",
  permissions: { ffi: false },
  fn() {
    assertThrows(() => openLibcrypto(UNUSED_ARENA), Deno.errors.NotCapable);
  },
});

hostTest("openLibcrypto() passes over a library when it is not libcrypto", () => {
  assertStrictEquals(openLibcrypto(new Arena(4096), ["libc.so.6"]), null);
});

hostTest({
  name: "openLibcrypto() takes the first name that works and tells it",
  ignore: !NAMES.some(isPresent),
  fn() {
    const expected = NAMES.find(isPresent);
    const { provider, close } = openFixture(["libcrypto.so.99", ...NAMES]);
    assertEquals<string | undefined>(provider.name, expected);
    close();
  },
});

hostTest({
  name: "openLibcrypto() keeps instances apart when several are open, as in several threads",
  ignore: !NAMES.some(isPresent),
  fn() {
    const one = openFixture(NAMES);
    const two = openFixture(NAMES);
    const key = one.provider.key(new Uint8Array(32).fill(1));
    const same = two.provider.key(new Uint8Array(32).fill(1));
    assert(key.seal(4096, 4096, 100, 1, 0));
    two.memory.bytes.set(one.memory.bytes.subarray(4096, 4212), 4096);
    one.memory.bytes.fill(0);
    assert(same.open(4096, 4096, 100, 1, 0));
    key.destroy();
    same.destroy();
    one.close();
    two.close();
  },
});

function openFixture(names: readonly string[]) {
  const memory = new Arena(16_384);
  memory.allocate(12_288);
  const library = openLibcrypto(memory, names);
  assert(library !== null);
  const provider: AeadProvider = library;
  return { memory, provider, close: () => library.close() };
}

function isPresent(name: string): boolean {
  const library = whereAllowed(() => openLibcrypto(new Arena(4096), [name])) ?? null;
  library?.close();
  return library !== null;
}

const ignoreShortcut = !isPresent("libcrypto.so.3");
const shortcutReason = ignoreShortcut ? " (ignored: there is no libcrypto.so.3)" : "";

hostTest({
  name: "seal() and open() give the same bytes by the short way as by the long one" +
    shortcutReason,
  ignore: ignoreShortcut,
  fn() {
    using fixture = openKeys();
    const { arena, long, short } = fixture;
    const random = new Random(2);
    for (let round = 0; round < 5_000; round++) {
      const length = random.between(0, 1500);
      const counter = random.between(0, 0xffff_ffff);
      for (let i = 0; i < length; i++) arena.bytes[4096 + i] = random.between(0, 255);
      const from = round % 2 === 0 ? short : long;
      const to = round % 2 === 0 ? long : short;
      // Directions, failures and good packets follow one another in every order.
      assert(from.seal(8192, 4096, length, counter, round));
      if (round % 7 === 0) arena.bytes[8192 + random.between(0, length + 15)] ^= 1;
      assertEquals(to.open(8192, 8192, length, counter, round), round % 7 !== 0, `round ${round}`);
      if (round % 7 === 0) continue;
      assertEquals(
        arena.bytes.subarray(8192, 8192 + length),
        arena.bytes.subarray(4096, 4096 + length),
      );
    }
  },
});

for (const [way, hasShortcut] of [["short", true], ["long", false]] as const) {
  hostTest({
    name: `seal() and open() by the ${way} way keep keys apart that take turns, with failures` +
      " among them" + shortcutReason,
    ignore: ignoreShortcut,
    fn() {
      using fixture = openKeys();
      const { arena, cipher, shortcut } = fixture;
      const keys = new LibcryptoKeys({ cipher, shortcut: hasShortcut ? shortcut : null });
      const random = new Random(5);
      const reference = createBuiltinAead(arena);
      const pairs = Array.from({ length: 5 }, () => {
        const secret = random.bytes(32);
        return { own: new LibcryptoKey(secret, keys), other: reference.key(secret) };
      });
      for (let round = 0; round < 3_000; round++) {
        const { own, other } = pairs[random.between(0, pairs.length - 1)]!;
        const length = random.between(0, 300);
        for (let i = 0; i < length; i++) arena.bytes[4096 + i] = random.between(0, 255);
        assert(own.seal(8192, 4096, length, round, 7));
        assert(other.seal(6144, 4096, length, round, 7));
        const end = length + 16;
        assertEquals(
          arena.bytes.subarray(8192, 8192 + end),
          arena.bytes.subarray(6144, 6144 + end),
        );
        const isForged = random.between(0, 3) === 0;
        if (isForged) arena.bytes[8192 + random.between(0, end - 1)]! ^= 1;
        assertEquals(own.open(8192, 8192, length, round, 7), !isForged, `round ${round}`);
        if (isForged) continue;
        assertEquals(
          arena.bytes.subarray(8192, 8192 + length),
          arena.bytes.subarray(4096, 4096 + length),
        );
      }
      for (const { own, other } of pairs) {
        own.destroy();
        other.destroy();
        assertEquals(own.seal(8192, 4096, 1, 1, 0), false);
        assertEquals(own.open(8192, 8192, 1, 1, 0), false);
      }
    },
  });
}

for (const call of ["EVP_CIPHER_CTX_new", "EVP_CipherInit_ex", "EVP_CipherUpdate"] as const) {
  for (const [way, hasShortcut] of [["short", true], ["long", false]] as const) {
    hostTest({
      name: `what ${call} refuses is not sealed or opened by the ${way} way, and what follows` +
        " is under its own key" + shortcutReason,
      ignore: ignoreShortcut,
      fn() {
        using fixture = openKeys();
        const { arena, symbols } = fixture;
        let fails = false;
        const refusing: LibcryptoSymbols = {
          ...symbols,
          EVP_CIPHER_CTX_new: () =>
            fails && call === "EVP_CIPHER_CTX_new" ? null : symbols.EVP_CIPHER_CTX_new(),
          EVP_CipherInit_ex: (...words) =>
            fails && call === "EVP_CipherInit_ex" ? 0 : symbols.EVP_CipherInit_ex(...words),
          EVP_CipherUpdate: (...words) =>
            fails && call === "EVP_CipherUpdate" ? 0 : symbols.EVP_CipherUpdate(...words),
        };
        const cipher = new LibcryptoCipher(refusing, arena);
        const shortcut = new LibcryptoShortcut(refusing, { cipher, arena });
        const keys = new LibcryptoKeys({ cipher, shortcut: hasShortcut ? shortcut : null });
        const reference = createBuiltinAead(arena);
        const random = new Random(8);
        const newPair = () => {
          const secret = random.bytes(32);
          return { own: new LibcryptoKey(secret, keys), other: reference.key(secret) };
        };
        const pairs = [newPair(), newPair(), newPair()];
        let refused = 0;
        for (let round = 0; round < 2_000; round++) {
          const at = random.between(0, 2);
          const { own, other } = pairs[at]!;
          fails = random.between(0, 3) === 0;
          const isSealed = own.seal(8192, 4096, 100, round, 0);
          if (!isSealed) refused++;
          assert(isSealed || fails);
          assert(other.seal(6144, 4096, 100, round, 0));
          const sealed = arena.bytes.subarray(6144, 6260).toHex();
          if (isSealed) assertEquals(arena.bytes.subarray(8192, 8308).toHex(), sealed);
          const isOpened = own.open(6144, 6144, 100, round, 0);
          assert(isOpened || fails, `round ${round}`);
          if (isOpened) {
            const text = arena.bytes.subarray(4096, 4196).toHex();
            assertEquals(arena.bytes.subarray(6144, 6244).toHex(), text);
          }
          if (random.between(0, 9) > 0) continue;
          own.destroy();
          other.destroy();
          pairs[at] = newPair();
        }
        assert(refused > 20, `${refused}`);
        for (const { own, other } of pairs) {
          own.destroy();
          other.destroy();
        }
        assertEquals(fixture.contexts.size, 0);
        cipher.close();
      },
    });
  }
}

hostTest({
  name:
    "destroy() leaves nothing of a key: not at its place, in scratch space or with the library" +
    shortcutReason,
  ignore: ignoreShortcut,
  fn() {
    using fixture = openKeys();
    const { arena, cipher, shortcut, contexts } = fixture;
    const keys = new LibcryptoKeys({ cipher, shortcut });
    const secret = new Random(6).bytes(32);
    const own = new LibcryptoKey(secret, keys);
    const other = new LibcryptoKey(new Uint8Array(32).fill(1), keys);
    const { block, at } = own;
    const before = contexts.size;
    const seals = (key: LibcryptoKey) => assert(key.seal(8192, 4096, 100, 1, 0));
    // The last packet of the one context was good, and of the other wrong.
    seals(own);
    assertEquals(own.open(8192, 4096, 100, 1, 0), false);
    assertEquals(contexts.size, before + 2);
    own.destroy();
    assertEquals(contexts.size, before);
    assertEquals(block.subarray(at, at + 8), new Uint32Array(8));
    const text = arena.bytes.toHex();
    assertEquals(text.includes(secret.toHex()), false);
    seals(other);
    other.destroy();
    assertEquals(contexts.size, before);
  },
});

hostTest({
  name: "shortcutWorks() says yes of OpenSSL 3" + shortcutReason,
  ignore: ignoreShortcut,
  fn() {
    using fixture = openKeys();
    assert(shortcutWorks(fixture.symbols));
  },
});

for (
  const [what, lie] of Object.entries<(symbols: LibcryptoSymbols) => Partial<LibcryptoSymbols>>({
    "does not take the nonce": () => ({ EVP_CIPHER_CTX_set_params: () => 1 }),
    "accepts every tag": ({ EVP_CipherFinal_ex }) => ({
      EVP_CipherFinal_ex: (context, out, length) => {
        EVP_CipherFinal_ex(context, out, length);
        return 1;
      },
    }),
    "gives an old tag": () => ({ EVP_CIPHER_CTX_get_params: () => 1 }),
    "does not take over a key": ({ EVP_CipherInit_ex }) => ({
      EVP_CipherInit_ex: (context, type, engine, _key, nonce, encrypt) =>
        EVP_CipherInit_ex(context, type, engine, null, nonce, encrypt),
    }),
    "does not take the nonce of a context's first packet": (symbols) => {
      const isNew = new Set<bigint>();
      return {
        EVP_CIPHER_CTX_new: () => {
          const context = symbols.EVP_CIPHER_CTX_new();
          isNew.add(Deno.UnsafePointer.value(context));
          return context;
        },
        EVP_CIPHER_CTX_set_params: (context, parameters) => {
          if (!isNew.delete(Deno.UnsafePointer.value(context))) {
            return symbols.EVP_CIPHER_CTX_set_params!(context, parameters);
          }
          // As if it were the nonce of zeros.
          const value = new Deno.UnsafePointerView(parameters!).getBigUint64(16);
          const at = Deno.UnsafePointer.create(value)!;
          const nonce = new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(at, 12));
          const own = nonce.slice();
          nonce.fill(0);
          const result = symbols.EVP_CIPHER_CTX_set_params!(context, parameters);
          nonce.set(own);
          return result;
        },
      };
    },
    "has no parameter lists, as 1.1": () => ({ EVP_CIPHER_CTX_set_params: null }),
  })
) {
  hostTest({
    name: `shortcutWorks() says no of a library that ${what}` + shortcutReason,
    ignore: ignoreShortcut,
    fn() {
      using fixture = openKeys();
      const { symbols } = fixture;
      assertEquals(shortcutWorks({ ...symbols, ...lie(symbols) }), false);
    },
  });
}

/** Two keys of the same secret: one that takes the short way where it can, one that never does. */
function openKeys() {
  const library = loadLibrary("libcrypto.so.3");
  assert(library !== null);
  const arena = new Arena(16384);
  const contexts = new Set<Deno.PointerValue>();
  const symbols: LibcryptoSymbols = {
    ...library.symbols,
    EVP_CIPHER_CTX_new: () => {
      const context = library.symbols.EVP_CIPHER_CTX_new();
      contexts.add(context);
      return context;
    },
    EVP_CIPHER_CTX_free: (context) => {
      contexts.delete(context);
      library.symbols.EVP_CIPHER_CTX_free(context);
    },
  };
  const cipher = new LibcryptoCipher(symbols, arena);
  const secret = new Uint8Array(32).fill(9);
  const shortcut = new LibcryptoShortcut(library.symbols, { cipher, arena });
  const long = new LibcryptoKey(secret, new LibcryptoKeys({ cipher, shortcut: null }));
  const short = new LibcryptoKey(secret, new LibcryptoKeys({ cipher, shortcut }));
  return {
    arena,
    cipher,
    shortcut,
    /** Those of the library's that have not been freed. */
    contexts,
    symbols: library.symbols,
    long,
    short,
    [Symbol.dispose]() {
      long.destroy();
      short.destroy();
      cipher.close();
      library.close();
    },
  };
}
