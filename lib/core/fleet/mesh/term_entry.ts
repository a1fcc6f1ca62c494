/** Term entry: who has the virtual address, as the store has it, which is changed by compare-and-set alone. */

/** Its key in the bucket. */
export const TERM_KEY = "fleet.term";

/** Bytes of an entry with as many voters as there can be, and more. */
const MAX_SIZE = 4_096;

export interface TermEntry {
  /** Rises each time that the address is taken, below 2^32. */
  readonly term: number;
  readonly holder: number;
  /** Gateways of which half have to want another holder: those that are there, by the holder's account. */
  readonly voters: readonly number[];
}

export function termBytes({ term, holder, voters }: TermEntry): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify({ term, holder, voters }));
}

/** What an entry's bytes say; null where they are none. Never throws. */
export function readTerm(bytes: Uint8Array): TermEntry | null {
  if (bytes.length > MAX_SIZE) return null;
  try {
    const { term, holder, voters } = JSON.parse(new TextDecoder().decode(bytes)) ?? {};
    if (!isBelow(term, 2 ** 32) || !isBelow(holder, 256) || !Array.isArray(voters)) return null;
    if (!voters.every((voter) => isBelow(voter, 256))) return null;
    return { term, holder, voters: [...new Set(voters)] };
  } catch {
    return null;
  }
}

function isBelow(value: unknown, limit: number): value is number {
  return Number.isInteger(value) && value as number >= 0 && value as number < limit;
}
