/**
 * Rendezvous weights: who comes after a gateway that is gone, said by each of the others without a word between them.
 * When one goes, only what it had moves; when one comes, only what becomes its own.
 */
import { hash } from "../wire/hash.ts";

/** A gateway's weight for the thing with this key, a uint32. */
export function weightOf(key: number, gateway: number): number {
  return hash(key, gateway, 0) >>> 0;
}
