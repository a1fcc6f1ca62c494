/**
 * IPsec-MB trial: decides whether the library may be used, by comparing its results with another's byte for byte. Its
 * jobs are written by their offsets, which a version may have changed.
 */
import { Arena } from "../arena.ts";
import { IMB_DECRYPT, IMB_ENCRYPT, IpsecMbBurst, MAX_BURST } from "./ipsec_mb_burst.ts";
import { KeyPlaces } from "./ipsec_mb_keys.ts";
import type { IpsecMbLibrary } from "./ipsec_mb_library.ts";

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
const PACKETS = LENGTHS.length * COUNTERS.length;
const TAG_SIZE = 16;
const NONCE_SIZE = 12;
const NO_DATA = new Uint8Array(0);

/**
 * Seals packets of two keys in one burst, compares them with what `reference` makes of them, opens them, and those of
 * another counter, several times, so that each job of the library's ring has its turn.
 *
 * @returns false where the library differs in a single bit, accepts a wrong tag, or does not do what it is asked
 */
export function burstsWork(symbols: IpsecMbLibrary["symbols"], reference: FieldCipher): boolean {
  const arena = new Arena(2 * PACKETS * SLOT_SIZE + 8 * 1024);
  const packets = arena.allocate(2 * PACKETS * SLOT_SIZE);
  const bursts: IpsecMbBurst[] = [];
  try {
    const capacity = MAX_BURST;
    const sealing = new IpsecMbBurst(symbols, arena, { direction: IMB_ENCRYPT, capacity });
    bursts.push(sealing);
    const opening = new IpsecMbBurst(symbols, arena, { direction: IMB_DECRYPT, capacity });
    bursts.push(opening);
    const trial = { arena, packets, sealing, opening, reference };
    for (let done = 0; done <= 2 * MAX_BURST; done += PACKETS) if (!agree(trial)) return false;
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return false;
  } finally {
    for (const burst of bursts) burst.close();
  }
}

interface Trial {
  readonly arena: Arena;
  readonly packets: number;
  readonly sealing: IpsecMbBurst;
  readonly opening: IpsecMbBurst;
  readonly reference: FieldCipher;
}

function agree({ arena: { bytes }, packets, sealing, opening, reference }: Trial): boolean {
  const places = new KeyPlaces();
  const secrets = [1, 2].map((factor) =>
    Uint8Array.from({ length: 32 }, (_, index) => 7 * factor * index + 1)
  );
  const keys = secrets.map((secret) => places.take(secret));
  const all = LENGTHS.flatMap((length) => COUNTERS.map((counter) => ({ length, counter }))).map(
    ({ length, counter: [low, high] }, index) => {
      const plain = Uint8Array.from({ length }, (_, at) => 31 * at + index);
      const nonce = new Uint8Array(NONCE_SIZE);
      new DataView(nonce.buffer).setUint32(4, low, true);
      new DataView(nonce.buffer).setUint32(8, high, true);
      const at = packets + index * SLOT_SIZE;
      return {
        plain,
        at,
        copy: at + PACKETS * SLOT_SIZE,
        length,
        low,
        high,
        nonce,
        key: index & 1,
      };
    },
  );
  for (const { plain, at, copy, length, low, high, key } of all) {
    bytes.set(plain, copy);
    // One in place, the next from elsewhere.
    if (key === 0) bytes.set(plain, at);
    sealing.add(keys[key], at, key === 0 ? at : copy, length, low, high);
  }
  if (!sealing.run()) return false;
  const isSealed = all.every(({ plain, at, length, nonce, key }) => {
    const expected = reference.seal(secrets[key], nonce, NO_DATA, plain);
    return isEqual(bytes.subarray(at, at + length + TAG_SIZE), expected);
  });
  if (!isSealed) return false;
  for (const { at, copy, length, low, high, key } of all) {
    bytes.copyWithin(copy, at, at + length + TAG_SIZE);
    opening.add(keys[key], at, at, length, low, high);
  }
  if (!opening.run()) return false;
  const isOpened = all.every(({ plain, at, length }, number) =>
    opening.isRight(number) && isEqual(bytes.subarray(at, at + length), plain)
  );
  if (!isOpened) return false;
  for (const { copy, length, low, high, key } of all) {
    opening.add(keys[key], copy, copy, length, low ^ 1, high);
  }
  return opening.run() && all.every((_, number) => !opening.isRight(number));
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
