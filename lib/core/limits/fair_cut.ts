/** Fair cut: whose places go where a table without an order of its own has too many taken. */

/**
 * How many each owner loses so that `excess` are gone: those with the most come down to one level, and those below it
 * lose nothing. In n log n for n owners, whatever the excess is.
 *
 * @param counts of each owner
 * @returns owners that lose some, and how many; of all together `excess`, or as many as there are
 */
export function fairCut<Owner>(
  counts: ReadonlyMap<Owner, number>,
  excess: number,
): Map<Owner, number> {
  const owners = [...counts].sort(([, a], [, b]) => b - a);
  let above = 0;
  let taken = 0;
  while (above < owners.length) {
    taken += owners[above]![1];
    above++;
    const next = owners[above]?.[1] ?? 0;
    if (taken - above * next >= excess) break;
  }
  const kept = Math.max(0, taken - excess);
  const level = Math.floor(kept / above);
  // What the division leaves over: so many keep one more.
  const keepMore = kept - level * above;
  const cut = new Map<Owner, number>();
  for (const [index, [owner, count]] of owners.slice(0, above).entries()) {
    const part = count - level - (index >= above - keepMore ? 1 : 0);
    if (part > 0) cut.set(owner, part);
  }
  return cut;
}
