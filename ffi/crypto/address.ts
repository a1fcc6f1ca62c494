/** Addresses of memory, as two halves: a bigint for each would be an object on the heap. */

/** An address as two 32-bit halves. */
export interface Address {
  readonly low: number;
  readonly high: number;
}

/** The address of a pointer. */
export function pointerHalves(pointer: Deno.PointerValue): Address {
  const address = Deno.UnsafePointer.value(pointer);
  return { low: Number(address & 0xffff_ffffn) | 0, high: Number(address >> 32n) | 0 };
}
