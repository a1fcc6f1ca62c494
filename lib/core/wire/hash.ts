/** Hash of tables whose keys strangers choose. */

/**
 * A 32-bit hash, signed, of two numbers. Clients and strangers choose what is hashed: `seed`, a secret, keeps
 * them from filling one bucket on purpose. `a` is mixed in full before `b` joins it: else a bit of the one would undo a
 * bit of the other whatever the seed is.
 */
export function hash(a: number, b: number, seed: number): number {
  return mix(mix(a ^ seed) ^ b);
}

/** Has each bit change about half of all others: the last step of MurmurHash3 (public domain). */
function mix(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
