/**
 * IPsec-MB provider: ChaCha20-Poly1305 for packets by Intel's library. Handshake fields, which
 * have associated data, are the other provider's that it stands on.
 */
import type { Arena } from "../arena.ts";
import type { Address } from "./address.ts";
import { IMB_DECRYPT, IMB_ENCRYPT, IpsecMbJobs } from "./ipsec_mb_jobs.ts";
import { refuseKeySize } from "./libcrypto_cipher.ts";
import { type KeyPlace, KeyPlaces } from "./key_places.ts";
import { type FoundIpsecMb, IPSEC_MB_NAMES, loadIpsecMb } from "./ipsec_mb_library.ts";
import { jobsWork } from "./ipsec_mb_trial.ts";
import { OverFields } from "./over_fields.ts";
import type { FieldCipher } from "./packet_trial.ts";

/**
 * Opens the library for this thread.
 *
 * @param arena where packets are; some bytes of it become scratch space
 * @param fields does handshake fields, and is what the library is tried against
 * @param names file names or paths, the first that works is taken
 * @returns null where there is none that has something better for this processor, and does what `fields` does
 * @throws {Deno.errors.NotCapable} without `--allow-ffi`
 */
export function openIpsecMb(
  arena: Arena,
  fields: FieldCipher,
  names: readonly string[] = IPSEC_MB_NAMES,
): IpsecMbAead | null {
  for (const name of names) {
    const found = loadIpsecMb([name]);
    if (found === null) continue;
    if (jobsWork(found.library.symbols, fields)) return new IpsecMbAead(found, arena, fields);
    found.library.close();
  }
  return null;
}

/** The provider; it has the shape of `AeadProvider` in lib/core/noise/aead.ts, where the methods are described. */
class IpsecMbAead extends OverFields {
  readonly #found: FoundIpsecMb;
  readonly #directions: Directions;
  readonly #places = new KeyPlaces();

  /** Use `openIpsecMb`. */
  constructor(found: FoundIpsecMb, arena: Arena, fields: FieldCipher) {
    super(found.name, fields);
    const { symbols } = found.library;
    this.#found = found;
    this.#directions = {
      sealing: new IpsecMbJobs(symbols, arena, IMB_ENCRYPT),
      opening: new IpsecMbJobs(symbols, arena, IMB_DECRYPT),
    };
  }

  key(key: Uint8Array): IpsecMbKey {
    refuseKeySize(key);
    return new IpsecMbKey(key, this.#places, this.#directions);
  }

  /** Unloads the library. All keys must be destroyed before. */
  close(): void {
    this.#directions.sealing.close();
    this.#directions.opening.close();
    this.#found.library.close();
  }
}

/** By direction. */
interface Directions {
  readonly sealing: IpsecMbJobs;
  readonly opening: IpsecMbJobs;
}

/** It has the shape of `AeadKey` in lib/core/noise/aead.ts, where the methods are described. */
class IpsecMbKey implements Address {
  /** Of the key's place: in this object, which is one look less for each packet. */
  readonly low: number;
  readonly high: number;
  readonly #places: KeyPlaces;
  readonly #directions: Directions;
  #place: KeyPlace | null;

  constructor(key: Uint8Array, places: KeyPlaces, directions: Directions) {
    this.#places = places;
    this.#directions = directions;
    this.#place = places.take(key);
    this.low = this.#place.low;
    this.high = this.#place.high;
  }

  prefetch(): number {
    // Both ends of it: it may lie across two lines of the cache.
    return this.low ^ Number(this.#place === null);
  }

  seal(
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean {
    return this.#place !== null &&
      this.#directions.sealing.take(this, destination, source, length, counterLow, counterHigh);
  }

  open(
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean {
    return this.#place !== null &&
      this.#directions.opening.take(this, destination, source, length, counterLow, counterHigh);
  }

  destroy(): void {
    if (this.#place === null) return;
    this.#places.release(this.#place);
    this.#place = null;
  }
}
