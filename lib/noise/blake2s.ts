/**
 * Owns BLAKE2s (RFC 7693) as Noise and WireGuard use it: hash, keyed hash, HMAC and the key derivation on top.
 *
 * The hash comes from `node:crypto` (2 us for 64 bytes, `@noble/hashes` 3 us), and HMAC is built on it by hand
 * (4 us against 8 us for `createHmac` and 7 us for noble). `node:crypto` offers neither a key nor a shorter digest
 * for BLAKE2s, so the keyed hash is noble's.
 */
import { createHash } from "node:crypto";
import { blake2s } from "@noble/hashes/blake2.js";
import { MAC_SIZE } from "../wire/messages.ts";

/** Bytes of a BLAKE2s digest. */
export const HASH_SIZE = 32;

const BLOCK_SIZE = 64;

/** BLAKE2s-256 over the parts, one after the other. */
export function hash(...parts: Uint8Array[]): Uint8Array {
  const state = createHash("blake2s256");
  for (const part of parts) state.update(part);
  const digest = state.digest();
  return new Uint8Array(digest.buffer, digest.byteOffset, digest.byteLength);
}

/** Keyed BLAKE2s with 16 bytes of output: `MAC(key, input)` of the WireGuard paper. The key has at most 32 bytes. */
export function mac(key: Uint8Array, input: Uint8Array): Uint8Array {
  return blake2s(input, { key, dkLen: MAC_SIZE });
}

/** HMAC-BLAKE2s (RFC 2104) with a key of at most 64 bytes, which all keys here are. */
export function hmac(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
  const pad = new Uint8Array(BLOCK_SIZE);
  pad.set(key);
  for (let i = 0; i < BLOCK_SIZE; i++) pad[i]! ^= 0x36;
  const inner = hash(pad, ...parts);
  for (let i = 0; i < BLOCK_SIZE; i++) pad[i]! ^= 0x36 ^ 0x5c;
  const digest = hash(pad, inner);
  pad.fill(0);
  return digest;
}

/** HKDF (RFC 5869) with one output, `KDF1` of the WireGuard paper. Outputs here are 32 bytes each. */
export function kdf1(key: Uint8Array, input: Uint8Array): Uint8Array {
  return hmac(hmac(key, input), Uint8Array.of(1));
}

/** HKDF with two outputs, `KDF2` of the WireGuard paper. */
export function kdf2(key: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array] {
  const extracted = hmac(key, input);
  const first = hmac(extracted, Uint8Array.of(1));
  return [first, hmac(extracted, first, Uint8Array.of(2))];
}

/** HKDF with three outputs, `KDF3` of the WireGuard paper. */
export function kdf3(key: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array, Uint8Array] {
  const extracted = hmac(key, input);
  const first = hmac(extracted, Uint8Array.of(1));
  const second = hmac(extracted, first, Uint8Array.of(2));
  return [first, second, hmac(extracted, second, Uint8Array.of(3))];
}
