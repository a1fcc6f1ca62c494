/** Packet trial: whether a library may cipher packets, by comparing its results with another's byte for byte. */
import type { Arena } from "../arena.ts";
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

/** It has the shape of `AeadKey` in lib/core/noise/aead.ts, as far as these go. */
export interface PacketKey {
  seal(...packet: Packet): boolean;
  open(...packet: Packet): boolean;
  destroy(): void;
}

export type Packet = [
  destination: number,
  source: number,
  length: number,
  counterLow: number,
  counterHigh: number,
];

/**
 * None, parts of a block of either cipher, whole blocks, and a byte more and less than the 4, 8 and 16 of ChaCha20's
 * that vectors of 128, 256 and 512 bits take at once; packets of usual paths, and of jumbo frames.
 */
const LENGTHS = [
  ...[0, 1, 15, 16, 17, 63, 64, 65, 127, 128, 129, 192, 193, 255, 256, 257, 300, 319, 320, 321],
  ...[511, 512, 513, 700, 1023, 1024, 1025, 1280, 1420, 1440, 2047, 8940],
];
/** Neighbours, as in a tunnel; then every byte of the counter different. */
const COUNTERS = [[0, 0], [1, 0], [0x8765_4321, 0x0fed_cba9]] as const;
const SLOT_SIZE = 9088;
/** Bytes that a trial takes of an arena, at most: it begins on a cache line of its own. */
export const TRIAL_SIZE: number = 2 * SLOT_SIZE + 63;
const NO_DATA = new Uint8Array(0);
/** What packets hold, from the beginning. */
const CONTENT = Uint8Array.from({ length: Math.max(...LENGTHS) }, (_, at) => 31 * at + (at >> 8));

/**
 * Seals packets, in place and not, compares them with what `reference` makes of them, opens them, and tries to with
 * another counter. It takes some ms, once for each thread.
 *
 * It finds a library whose calls are others than is believed, or that is wrong on this processor; it is no proof.
 *
 * @param arena where the library has its packets, `TRIAL_SIZE` of it free
 * @param takeKey takes a copy of a key into use
 * @returns false where the library differs in a bit of these, accepts a wrong tag, or does not do what it is asked
 */
export function packetsAgree(
  arena: Arena,
  takeKey: (secret: Uint8Array) => PacketKey,
  reference: FieldCipher,
): boolean {
  const packets = arena.allocate(2 * SLOT_SIZE);
  return [1, 2].every((factor) => {
    const secret = Uint8Array.from({ length: CIPHER_KEY_SIZE }, (_, at) => 7 * factor * at + 1);
    const key = takeKey(secret);
    const trial = { arena, packets, secret, key, reference };
    try {
      return LENGTHS.every((length, at) => agree(trial, length, COUNTERS[at % COUNTERS.length]!));
    } finally {
      key.destroy();
    }
  });
}

interface Trial {
  readonly arena: Arena;
  /** Offset of two slots. */
  readonly packets: number;
  readonly secret: Uint8Array;
  readonly key: PacketKey;
  readonly reference: FieldCipher;
}

function agree(
  { arena: { bytes }, packets, secret, key, reference }: Trial,
  length: number,
  [low, high]: readonly [number, number],
): boolean {
  const plain = CONTENT.subarray(0, length);
  const nonce = new Uint8Array(NONCE_SIZE);
  new DataView(nonce.buffer).setUint32(4, low, true);
  new DataView(nonce.buffer).setUint32(8, high, true);
  const expected = reference.seal(secret, nonce, NO_DATA, plain);
  const [at, other] = [packets, packets + SLOT_SIZE];
  const holds = (offset: number, content: Uint8Array) =>
    // Byte by byte it would be half of what a trial takes, as nothing is compiled yet.
    bytes.subarray(offset, offset + content.length).toHex() === content.toHex();
  bytes.set(plain, at);
  return key.seal(other, at, length, low, high) && holds(other, expected) &&
    key.seal(at, at, length, low, high) && holds(at, expected) &&
    expected.length === length + CIPHER_TAG_SIZE &&
    key.open(at, other, length, low, high) && holds(at, plain) &&
    key.open(other, other, length, low, high) && holds(other, plain) &&
    key.seal(other, at, length, low, high) &&
    !key.open(other, other, length, low ^ 1, high);
}
