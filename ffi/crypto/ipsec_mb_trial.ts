/**
 * IPsec-MB trial: decides whether the library may be used. Its jobs are written by their offsets, which a version may
 * have changed.
 */
import { Arena } from "../arena.ts";
import { IMB_DECRYPT, IMB_ENCRYPT, IpsecMbJobs } from "./ipsec_mb_jobs.ts";
import { KeyPlaces } from "./key_places.ts";
import type { IpsecMbLibrary } from "./ipsec_mb_library.ts";
import { type FieldCipher, packetsAgree, TRIAL_SIZE } from "./packet_trial.ts";

/** For what the jobs of both directions keep in an arena. */
const SCRATCH_SIZE = 1024;

/**
 * As `packetsAgree()`, with jobs of both directions that are made for it.
 *
 * @returns false as well where there is no making them
 */
export function jobsWork(symbols: IpsecMbLibrary["symbols"], reference: FieldCipher): boolean {
  const arena = new Arena(TRIAL_SIZE + SCRATCH_SIZE);
  const made: IpsecMbJobs[] = [];
  try {
    const sealing = new IpsecMbJobs(symbols, arena, IMB_ENCRYPT);
    made.push(sealing);
    const opening = new IpsecMbJobs(symbols, arena, IMB_DECRYPT);
    made.push(opening);
    const places = new KeyPlaces();
    return packetsAgree(arena, (secret) => {
      const place = places.take(secret);
      return {
        seal: (...packet) => sealing.take(place, ...packet),
        open: (...packet) => opening.take(place, ...packet),
        destroy: () => places.release(place),
      };
    }, reference);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return false;
  } finally {
    for (const jobs of made) jobs.close();
  }
}
