/**
 * Libcrypto trial: decides whether the shortcut may be taken, by comparing its results with the manual's byte for byte.
 */
import { Arena } from "../arena.ts";
import {
  CIPHER_KEY_SIZE,
  CIPHER_TAG_SIZE,
  LibcryptoCipher,
  type LibcryptoSymbols,
} from "./libcrypto_cipher.ts";
import { LibcryptoKey } from "./libcrypto_key.ts";
import { LibcryptoShortcut } from "./libcrypto_shortcut.ts";

/** None, a part of a ChaCha20 block, whole blocks, and more than AVX-512 takes at once. */
const LENGTHS = [0, 1, 64, 300, 1420];
/** Neighbours, as in a tunnel; then every byte of the counter different. */
const COUNTERS = [[0, 0], [1, 0], [0x8765_4321, 0x0fed_cba9]] as const;
const SLOT_SIZE = 1536;

/**
 * Seals and opens packets both ways, each with a context that the packet before has used, and compares. It takes well
 * under a millisecond, once for each library loaded.
 *
 * @returns false where the library lacks the functions (1.1), or differs in a single bit, or accepts a wrong tag
 */
export function shortcutWorks(symbols: LibcryptoSymbols): boolean {
  if (symbols.EVP_CIPHER_CTX_set_params === null || symbols.EVP_CIPHER_CTX_get_params === null) {
    return false;
  }
  const arena = new Arena(8 * SLOT_SIZE);
  const cipher = new LibcryptoCipher(symbols, arena);
  const shortcut = new LibcryptoShortcut(symbols, { cipher, arena });
  const secret = Uint8Array.from({ length: CIPHER_KEY_SIZE }, (_, index) => 7 * index + 1);
  const long = new LibcryptoKey(secret, { cipher, shortcut: null });
  const sealing = new LibcryptoKey(secret, { cipher, shortcut });
  const opening = new LibcryptoKey(secret, { cipher, shortcut });
  try {
    return LENGTHS.every((length) =>
      COUNTERS.every((counter) => agree({ arena, long, sealing, opening }, length, counter))
    );
  } finally {
    for (const key of [long, sealing, opening]) key.destroy();
    cipher.close();
  }
}

interface Trial {
  readonly arena: Arena;
  readonly long: LibcryptoKey;
  readonly sealing: LibcryptoKey;
  readonly opening: LibcryptoKey;
}

function agree(
  { arena, long, sealing, opening }: Trial,
  length: number,
  [low, high]: readonly [number, number],
): boolean {
  const { bytes } = arena;
  const [plain, expected, sealed, opened] = [4, 5, 6, 7].map((slot) => slot * SLOT_SIZE);
  for (let i = 0; i < length; i++) bytes[plain + i] = 31 * i + length;
  const total = length + CIPHER_TAG_SIZE;
  // Sealed and opened once before, so that the packet that counts takes the short way.
  return long.seal(expected, plain, length, low, high) &&
    sealing.seal(sealed, plain, length, low ^ 1, high) &&
    opening.open(opened, sealed, length, low ^ 1, high) &&
    sealing.seal(sealed, plain, length, low, high) &&
    isEqual(bytes, { a: expected, b: sealed, length: total }) &&
    opening.open(opened, sealed, length, low, high) &&
    isEqual(bytes, { a: plain, b: opened, length }) &&
    !opening.open(opened, sealed, length, low ^ 1, high);
}

function isEqual(
  bytes: Uint8Array,
  { a, b, length }: { a: number; b: number; length: number },
): boolean {
  return bytes.subarray(a, a + length).every((byte, index) => byte === bytes[b + index]);
}
