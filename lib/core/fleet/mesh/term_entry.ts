/** Term entry: who has the virtual address, as the store has it, which is changed by compare-and-set alone. */

/** Its key in the bucket. */
export const TERM_KEY = "fleet.term";

export interface TermEntry {
  /** Rises each time that the address is taken, below 2^32. */
  readonly term: number;
  readonly holder: number;
}

export function termBytes({ term, holder }: TermEntry): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify({ term, holder }));
}

/** What an entry's bytes say; null where they are none. Never throws. */
export function readTerm(bytes: Uint8Array): TermEntry | null {
  if (bytes.length > 1_024) return null;
  try {
    const { term, holder } = JSON.parse(new TextDecoder().decode(bytes)) ?? {};
    return isBelow(term, 2 ** 32) && isBelow(holder, 256) ? { term, holder } : null;
  } catch {
    return null;
  }
}

function isBelow(value: unknown, limit: number): value is number {
  return Number.isInteger(value) && value as number >= 0 && value as number < limit;
}
