/**
 * X25519 (RFC 7748) over raw 32-byte keys.
 *
 * `node:crypto` does the arithmetic: 54 us for a shared secret against 900 us in JavaScript, and in constant time.
 * It takes keys only in DER (RFC 8410), so each raw key gets its fixed prefix here; that costs 3 us.
 */
import { createPrivateKey, createPublicKey, diffieHellman } from "node:crypto";
import { Buffer } from "node:buffer";
import { KEY_SIZE } from "../wire/messages.ts";
import { constantTimeEqual } from "./constant_time.ts";

/** A Curve25519 key pair; both halves are 32 bytes. */
export interface KeyPair {
  readonly secret: Uint8Array;
  readonly public: Uint8Array;
}

/** PKCS #8: SEQUENCE { INTEGER 0, SEQUENCE { OID 1.3.101.110 }, OCTET STRING { OCTET STRING of 32 bytes } } */
const PKCS8_PREFIX = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0x22, 4, 0x20];
/** SubjectPublicKeyInfo: SEQUENCE { SEQUENCE { OID 1.3.101.110 }, BIT STRING of 32 bytes } */
const SPKI_PREFIX = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 3, 0x21, 0];

/**
 * A copy of a secret with the bits that X25519 ignores or sets in their final state (RFC 7748 section 5), which is
 * how `wg genkey` prints keys. Any 32 bytes are a valid secret; clamping changes no result.
 */
export function clamp(secret: Uint8Array): Uint8Array {
  checkSize(secret, "clamp secret");
  const clamped = Uint8Array.from(secret);
  clamped[0]! &= 0xf8;
  clamped[31] = (clamped[31]! & 0x7f) | 0x40;
  return clamped;
}

/**
 * The public key of a 32-byte secret.
 *
 * @throws {RangeError} if `secret` is not 32 bytes
 */
export function publicKey(secret: Uint8Array): Uint8Array {
  checkSize(secret, "derive public key");
  const spki = createPublicKey(privateKeyObject(secret)).export({ type: "spki", format: "der" });
  return Uint8Array.from(spki.subarray(SPKI_PREFIX.length));
}

/**
 * The pair of a 32-byte secret. The secret is copied, so that wiping the pair leaves the caller's bytes alone.
 *
 * @throws {RangeError} if `secret` is not 32 bytes
 */
export function keyPair(secret: Uint8Array): KeyPair {
  return { public: publicKey(secret), secret: Uint8Array.from(secret) };
}

/**
 * The shared secret of one side's secret and the other's public key, or null where it is all zero: the public key
 * is then a point of low order, chosen so that the result does not depend on the secret (RFC 7748 section 6.1).
 *
 * @throws {RangeError} if a key is not 32 bytes
 */
export function sharedSecret(secret: Uint8Array, publicKey: Uint8Array): Uint8Array | null {
  checkSize(secret, "agree on a shared secret");
  checkSize(publicKey, "agree on a shared secret");
  const privateKey = privateKeyObject(secret);
  const remote = createPublicKey({
    key: Buffer.from([...SPKI_PREFIX, ...publicKey]),
    format: "der",
    type: "spki",
  });
  let shared: Uint8Array;
  try {
    shared = Uint8Array.from(diffieHellman({ privateKey, publicKey: remote }));
  } catch {
    // With sizes checked, low order is the one thing that OpenSSL and Deno refuse.
    return null;
  }
  return constantTimeEqual(shared, new Uint8Array(KEY_SIZE)) ? null : shared;
}

function privateKeyObject(secret: Uint8Array): ReturnType<typeof createPrivateKey> {
  const der = Buffer.from([...PKCS8_PREFIX, ...secret]);
  const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  der.fill(0);
  return key;
}

function checkSize(key: Uint8Array, action: string): void {
  if (key.length !== KEY_SIZE) {
    throw new RangeError(`Cannot ${action}: a key is ${key.length} bytes, not ${KEY_SIZE}`);
  }
}
