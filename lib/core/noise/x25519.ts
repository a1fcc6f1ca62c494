/**
 * Built-in X25519 (RFC 7748) over raw 32-byte keys by `node:crypto`, which is inside the executable, for a host without
 * libcrypto, and for keys outside of handshakes.
 *
 * A shared secret takes 54 us against 900 us in JavaScript, and constant time. It takes keys only in DER (RFC 8410), so
 * each raw key gets its fixed prefix here, and a secret costs the work of its public key besides: libcrypto by FFI
 * takes 30 us.
 */
import { createPrivateKey, createPublicKey, diffieHellman } from "node:crypto";
import { Buffer } from "node:buffer";
import { KEY_SIZE } from "../wire/messages.ts";
import { constantTimeEqual } from "./constant_time.ts";
import type { KeyPair, X25519Provider } from "./key_pair.ts";

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
 * The pair of a 32-byte secret, which is copied.
 *
 * @throws {RangeError} if `secret` is not 32 bytes
 */
export function keyPair(secret: Uint8Array): BuiltinKeyPair {
  return new BuiltinKeyPair(publicKey(secret), Uint8Array.from(secret));
}

/** The provider of pairs by `node:crypto`. */
export const builtinX25519: X25519Provider = { keyPair };

class BuiltinKeyPair implements KeyPair {
  readonly public: Uint8Array;
  readonly secret: Uint8Array;
  #destroyed = false;

  constructor(publicHalf: Uint8Array, secret: Uint8Array) {
    this.public = publicHalf;
    this.secret = secret;
  }

  agree(remotePublic: Uint8Array, result: Uint8Array): boolean {
    checkSize(remotePublic, "agree on a shared secret");
    checkSize(result, "agree on a shared secret");
    result.fill(0);
    if (this.#destroyed) return false;
    const privateKey = privateKeyObject(this.secret);
    const publicKey = createPublicKey({
      key: Buffer.from([...SPKI_PREFIX, ...remotePublic]),
      format: "der",
      type: "spki",
    });
    let shared: Uint8Array;
    try {
      shared = diffieHellman({ privateKey, publicKey });
    } catch {
      // With sizes checked, low order is the one thing that OpenSSL and Deno refuse.
      return false;
    }
    const isZero = constantTimeEqual(shared, result);
    result.set(shared);
    shared.fill(0);
    return !isZero;
  }

  destroy(): void {
    this.#destroyed = true;
    this.secret.fill(0);
  }
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
