/**
 * IPsec-MB trial: decides whether the library may be used, by comparing its results with another's byte for byte. Its
 * jobs are written by their offsets, which a version may have changed.
 */
import { Arena } from "../arena.ts";
import { IMB_DECRYPT, IMB_ENCRYPT, IpsecMbJobs } from "./ipsec_mb_jobs.ts";
import { KeyPlaces } from "./ipsec_mb_keys.ts";
import type { IpsecMbLibrary } from "./ipsec_mb_library.ts";
import { CIPHER_KEY_SIZE, CIPHER_TAG_SIZE, NONCE_SIZE } from "./libcrypto_cipher.ts";

/** What does handshake fields; it has the shape of `AeadProvider` in lib/core/noise/aead.ts, as far as these go. */
export interface FieldCipher {
  readonly name: string;
  seal(
    key: Uint8Array,
    nonce: Uint8Array,
    associatedData: Uint8Array,
    plaintext: Uint8Array,
  ): Uint8Array;
  open(
    key: Uint8Array,
    nonce: Uint8Array,
    associatedData: Uint8Array,
    ciphertext: Uint8Array,
  ): Uint8Array | null;
}

/** None, a part of a ChaCha20 block, whole blocks, what AVX-512 takes at once, and the longest packets. */
const LENGTHS = [0, 1, 15, 16, 64, 300, 1024, 1420, 1440];
/** Neighbours, as in a tunnel; then every byte of the counter different. */
const COUNTERS = [[0, 0], [1, 0], [0x8765_4321, 0x0fed_cba9]] as const;
const SLOT_SIZE = 1536;
const NO_DATA = new Uint8Array(0);

/**
 * Seals packets, in place and not, compares them with what `reference` makes of them, opens them, and tries to with
 * another counter. It takes some ms, once for each thread.
 *
 * @returns false where the library differs in a single bit, accepts a wrong tag, or does not do what it is asked
 */
export function jobsWork(symbols: IpsecMbLibrary["symbols"], reference: FieldCipher): boolean {
  const arena = new Arena(4 * SLOT_SIZE);
  const made: IpsecMbJobs[] = [];
  try {
    const sealing = new IpsecMbJobs(symbols, arena, IMB_ENCRYPT);
    made.push(sealing);
    const opening = new IpsecMbJobs(symbols, arena, IMB_DECRYPT);
    made.push(opening);
    const secrets = [1, 2].map((factor) =>
      Uint8Array.from({ length: CIPHER_KEY_SIZE }, (_, index) => 7 * factor * index + 1)
    );
    const trial = { arena, packets: arena.allocate(2 * SLOT_SIZE), sealing, opening, reference };
    return secrets.every((secret) =>
      LENGTHS.every((length) => COUNTERS.every((counter) => agree(trial, secret, length, counter)))
    );
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return false;
  } finally {
    for (const jobs of made) jobs.close();
  }
}

interface Trial {
  readonly arena: Arena;
  /** Offset of two slots. */
  readonly packets: number;
  readonly sealing: IpsecMbJobs;
  readonly opening: IpsecMbJobs;
  readonly reference: FieldCipher;
}

function agree(
  { arena: { bytes }, packets, sealing, opening, reference }: Trial,
  secret: Uint8Array,
  length: number,
  [low, high]: readonly [number, number],
): boolean {
  const key = new KeyPlaces().take(secret);
  const plain = Uint8Array.from({ length }, (_, at) => 31 * at + length);
  const nonce = new Uint8Array(NONCE_SIZE);
  new DataView(nonce.buffer).setUint32(4, low, true);
  new DataView(nonce.buffer).setUint32(8, high, true);
  const expected = reference.seal(secret, nonce, NO_DATA, plain);
  const [at, other] = [packets, packets + SLOT_SIZE];
  const holds = (offset: number, content: Uint8Array) =>
    content.every((byte, index) => byte === bytes[offset + index]);
  bytes.set(plain, at);
  return sealing.take(key, other, at, length, low, high) && holds(other, expected) &&
    sealing.take(key, at, at, length, low, high) && holds(at, expected) &&
    expected.length === length + CIPHER_TAG_SIZE &&
    opening.take(key, at, other, length, low, high) && holds(at, plain) &&
    opening.take(key, other, other, length, low, high) && holds(other, plain) &&
    sealing.take(key, other, at, length, low, high) &&
    !opening.take(key, other, other, length, low ^ 1, high);
}
