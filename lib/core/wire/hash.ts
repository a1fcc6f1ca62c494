/** Hash of tables whose keys strangers choose. */

/**
 * A 32-bit hash, signed, of two numbers. Clients and strangers choose what is hashed: `seed`, a secret, keeps
 * them from filling one bucket on purpose.
 */
export function hash(a: number, b: number, seed: number): number {
  let mixed = Math.imul(a ^ seed, 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 15) ^ b, 0xc2b2ae35);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0x27d4eb2f);
  return mixed ^ (mixed >>> 16);
}
