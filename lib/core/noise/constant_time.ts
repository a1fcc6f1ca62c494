/** Constant-time comparison of secrets: how long it takes says nothing about where two values differ. */

/** Whether two arrays hold the same bytes. The time depends on their lengths, which are not secret, alone. */
export function constantTimeEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}
