/**
 * HKDF (RFC 5869) over HMAC-BLAKE2s (RFC 2104), as Noise and WireGuard use it: keys, and all outputs, have 32 bytes.
 *
 * Outputs go to arrays of the caller, which may be those that key or input came in. Nothing is allocated, and what HMAC
 * makes of a key is made once for all outputs. A handshake does ten of these: they took more of it than two of its
 * Diffie-Hellmans before.
 */
import { HASH_SIZE } from "./blake2s.ts";
import {
  beginHash,
  BLOCK_SIZE,
  type Compression,
  LAST,
  MORE,
  sharedCompression,
} from "./blake2s_compression.ts";

/** HMAC's pads, four bytes of them. */
const INNER_PAD = 0x36363636;
const OUTER_PAD = 0x5c5c5c5c;
const HASH_WORDS = HASH_SIZE / 4;
const BLOCK_WORDS = BLOCK_SIZE / 4;

/** The states of HMAC's two hashes after the key. */
const inner = new Int32Array(HASH_WORDS);
const outer = new Int32Array(HASH_WORDS);

/** HKDF with one output: `KDF1` of the WireGuard paper. */
export function kdf1(key: Uint8Array, input: Uint8Array, first: Uint8Array): void {
  const compression = sharedCompression();
  extract(compression, key, input);
  expand(compression, 1, first);
  wipe(compression);
}

/** HKDF with two outputs: `KDF2`. */
export function kdf2(
  key: Uint8Array,
  input: Uint8Array,
  first: Uint8Array,
  second: Uint8Array,
): void {
  const compression = sharedCompression();
  extract(compression, key, input);
  expand(compression, 1, first);
  expand(compression, 2, second);
  wipe(compression);
}

/** HKDF with three outputs: `KDF3`. */
export function kdf3(
  key: Uint8Array,
  input: Uint8Array,
  first: Uint8Array,
  second: Uint8Array,
  third: Uint8Array,
): void {
  const compression = sharedCompression();
  extract(compression, key, input);
  expand(compression, 1, first);
  expand(compression, 2, second);
  expand(compression, 3, third);
  wipe(compression);
}

/** Section 2.2: HMAC of the input, which then is the key of all that follows. */
function extract(compression: Compression, key: Uint8Array, input: Uint8Array): void {
  const { state, block, blockWords, compress } = compression;
  block.set(key);
  // Where nothing follows it, as in Noise's Split(), the key's block is the last one.
  takeKey(compression, input.length === 0 ? LAST : MORE);
  copyWords(state, inner);
  let at = 0;
  for (; input.length - at > BLOCK_SIZE; at += BLOCK_SIZE) {
    for (let i = 0; i < BLOCK_SIZE; i++) block[i] = input[at + i];
    compress(BLOCK_SIZE + at + BLOCK_SIZE, MORE);
  }
  for (let i = 0; i < BLOCK_WORDS; i++) blockWords[i] = 0;
  for (let i = 0; i < input.length - at; i++) block[i] = input[at + i];
  if (input.length > 0) compress(BLOCK_SIZE + input.length, LAST);
  endHmac(compression);
  copyWords(blockWords, state);
  takeKey(compression, MORE);
}

/** Section 2.3: HMAC of the output before, which still is the state, and of the number of this one. */
function expand(compression: Compression, number: number, output: Uint8Array): void {
  const { state, stateBytes, block, blockWords, compress } = compression;
  for (let i = 0; i < BLOCK_WORDS; i++) blockWords[i] = 0;
  const before = number === 1 ? 0 : HASH_SIZE;
  if (before > 0) copyWords(blockWords, state);
  block[before] = number;
  copyWords(state, inner);
  compress(BLOCK_SIZE + before + 1, LAST);
  endHmac(compression);
  output.set(stateBytes);
}

/** Takes the key at the front of the block into both hashes. */
function takeKey({ state, blockWords, compress }: Compression, innerLast: number): void {
  for (let i = 0; i < HASH_WORDS; i++) blockWords[i]! ^= INNER_PAD;
  for (let i = HASH_WORDS; i < BLOCK_WORDS; i++) blockWords[i] = INNER_PAD;
  beginHash(state, HASH_SIZE, 0);
  compress(BLOCK_SIZE, innerLast);
  copyWords(inner, state);
  for (let i = 0; i < BLOCK_WORDS; i++) blockWords[i]! ^= INNER_PAD ^ OUTER_PAD;
  beginHash(state, HASH_SIZE, 0);
  compress(BLOCK_SIZE, MORE);
  copyWords(outer, state);
}

/** The outer hash over the inner one, which is the state: so is the result. */
function endHmac({ state, blockWords, compress }: Compression): void {
  copyWords(blockWords, state);
  for (let i = HASH_WORDS; i < BLOCK_WORDS; i++) blockWords[i] = 0;
  copyWords(state, outer);
  compress(BLOCK_SIZE + HASH_SIZE, LAST);
}

/** A digest's words; for so few, the loop is quicker than a call of `set`. */
function copyWords(target: Int32Array, source: Int32Array): void {
  for (let i = 0; i < HASH_WORDS; i++) target[i] = source[i];
}

/** All that went through here is secret. */
function wipe({ state, blockWords }: Compression): void {
  state.fill(0);
  blockWords.fill(0);
  inner.fill(0);
  outer.fill(0);
}
