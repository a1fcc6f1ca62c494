/**
 * Libcrypto trial: decides whether the shortcut may be taken, by comparing its results with the manual's byte for byte.
 */
import { Arena } from "../arena.ts";
import {
  CIPHER_KEY_SIZE,
  CIPHER_TAG_SIZE,
  ENCRYPT,
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
/** Where packets are; the slots before are scratch space. */
const PLAIN = 4 * SLOT_SIZE;
const EXPECTED = 5 * SLOT_SIZE;
const SEALED = 6 * SLOT_SIZE;
const OPENED = 7 * SLOT_SIZE;
const SECRET = Uint8Array.from({ length: CIPHER_KEY_SIZE }, (_, index) => 7 * index + 1);
const OTHER = SECRET.toReversed();

/**
 * Seals and opens packets: the first of a context, of a key behind another's, behind one of its own, and behind one
 * that went wrong. Each is compared with what a context of its own seals, with its key from the start, as the manual
 * has it. It takes some milliseconds, once for each library loaded.
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
  const keys = new LibcryptoKeys({ cipher, shortcut });
  try {
    return LENGTHS.every((length) =>
      COUNTERS.every((counter) => agree({ arena, cipher, keys, length, counter }))
    );
  } finally {
    cipher.close();
  }
}

interface Trial {
  readonly arena: Arena;
  readonly cipher: LibcryptoCipher;
  readonly keys: LibcryptoKeys;
  readonly length: number;
  readonly counter: readonly [low: number, high: number];
}

function agree(trial: Trial): boolean {
  const { arena: { bytes }, keys, length, counter: [low, high] } = trial;
  for (let i = 0; i < length; i++) bytes[PLAIN + i] = 31 * i + length;
  const key = new LibcryptoKey(SECRET, keys);
  const other = new LibcryptoKey(OTHER, keys);
  try {
    return works(trial, key, SECRET, low) && works(trial, other, OTHER, low) &&
      works(trial, key, SECRET, low) && works(trial, key, SECRET, low ^ 1) &&
      !key.open(OPENED, SEALED, length, low, high) && works(trial, key, SECRET, low);
  } finally {
    // With it goes the context: the next packets are the first of one again.
    key.destroy();
    other.destroy();
  }
}

/** Whether a key seals as a context of its own does, and opens that. */
function works(
  { arena: { bytes }, cipher, length, counter: [, high] }: Trial,
  key: LibcryptoKey,
  secret: Uint8Array,
  low: number,
): boolean {
  const alone = cipher.context(secret);
  const isSealed = cipher.startCounter(alone, low, high, ENCRYPT) &&
    cipher.update(alone, EXPECTED, PLAIN, length) &&
    cipher.finish(alone) && cipher.getTag(alone);
  cipher.storeTag(EXPECTED + length);
  cipher.free(alone);
  return isSealed && key.seal(SEALED, PLAIN, length, low, high) &&
    isEqual(bytes, { a: EXPECTED, b: SEALED, length: length + CIPHER_TAG_SIZE }) &&
    key.open(OPENED, SEALED, length, low, high) &&
    isEqual(bytes, { a: PLAIN, b: OPENED, length });
}

function isEqual(
  bytes: Uint8Array,
  { a, b, length }: { a: number; b: number; length: number },
): boolean {
  return bytes.subarray(a, a + length).every((byte, index) => byte === bytes[b + index]);
}
