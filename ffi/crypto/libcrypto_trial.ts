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
import { LibcryptoKey, LibcryptoKeys } from "./libcrypto_key.ts";
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
  const short = new LibcryptoKeys({ cipher, shortcut });
  const secret = Uint8Array.from({ length: CIPHER_KEY_SIZE }, (_, index) => 7 * index + 1);
  const trial = {
    arena,
    long: new LibcryptoKey(secret, new LibcryptoKeys({ cipher, shortcut: null })),
    key: new LibcryptoKey(secret, short),
    other: new LibcryptoKey(secret.toReversed(), short),
  };
  try {
    return LENGTHS.every((length) => COUNTERS.every((counter) => agree(trial, length, counter)));
  } finally {
    for (const key of [trial.long, trial.key, trial.other]) key.destroy();
    cipher.close();
  }
}

interface Trial {
  readonly arena: Arena;
  readonly long: LibcryptoKey;
  /** Of the same secret. */
  readonly key: LibcryptoKey;
  /** Whose packets go through the same contexts, so that these take over a key. */
  readonly other: LibcryptoKey;
}

function agree(
  { arena, long, key, other }: Trial,
  length: number,
  [low, high]: readonly [number, number],
): boolean {
  const { bytes } = arena;
  const [plain, expected, sealed, opened] = [4, 5, 6, 7].map((slot) => slot * SLOT_SIZE);
  for (let i = 0; i < length; i++) bytes[plain + i] = 31 * i + length;
  const total = length + CIPHER_TAG_SIZE;
  const seals = () =>
    key.seal(sealed, plain, length, low, high) &&
    isEqual(bytes, { a: expected, b: sealed, length: total });
  const opens = () =>
    key.open(opened, sealed, length, low, high) &&
    isEqual(bytes, { a: plain, b: opened, length });
  // Behind another key's packet, behind one of its own with another counter, and behind one that was wrong.
  return long.seal(expected, plain, length, low, high) &&
    other.seal(sealed, plain, length, low, high) &&
    other.open(opened, sealed, length, low, high) &&
    seals() && opens() &&
    key.seal(sealed, plain, length, low ^ 1, high) &&
    key.open(opened, sealed, length, low ^ 1, high) &&
    seals() && opens() &&
    !key.open(opened, sealed, length, low ^ 1, high) && opens();
}

function isEqual(
  bytes: Uint8Array,
  { a, b, length }: { a: number; b: number; length: number },
): boolean {
  return bytes.subarray(a, a + length).every((byte, index) => byte === bytes[b + index]);
}
