/** Look-up of partly known keys in what sets and maps of nftables have. */
import type {
  ListedElement,
  ListedSet,
} from "../../../../ffi/netlink/nftables/nftables_listing.ts";
import type { PartlyKnown } from "./packet.ts";

/** Bytes of a field of a concatenation, padding included (NFT_REG32_SIZE). */
const FIELD = 4;

/** What came of it: the element that has the key, and those that may have it. */
export interface Found {
  readonly element: ListedElement | null;
  readonly possible: readonly ListedElement[];
}

/** The set of a name in a table; null for none. */
export function setOf(
  sets: readonly ListedSet[],
  table: ListedSet["table"],
  name: string,
): ListedSet | null {
  return sets.find((set) =>
    set.name === name && set.table.name === table.name && set.table.family === table.family
  ) ?? null;
}

/** Looks a key up. */
export function lookUp(set: ListedSet, key: PartlyKnown): Found {
  let element: ListedElement | null = null;
  const possible: ListedElement[] = [];
  for (const { from, to, element: candidate } of rangesOf(set)) {
    const contained = containment(key, from, to);
    if (contained === "yes") element ??= candidate;
    else if (contained === "maybe") possible.push(candidate);
  }
  element ??= set.elements.find(({ isCatchall }) => isCatchall) ?? null;
  return { element, possible };
}

interface Range {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
  readonly element: ListedElement;
}

/** What the elements stand for, both ends included. */
function rangesOf({ elements, isOfIntervals }: ListedSet): Range[] {
  const ranges: Range[] = [];
  const sorted = elements.filter(({ isCatchall }) => !isCatchall)
    .sort((a, b) => compare(a.key, b.key) || Number(b.isEnd) - Number(a.isEnd));
  for (const [index, element] of sorted.entries()) {
    if (element.isEnd) continue;
    const from = element.key;
    const end = sorted[index + 1];
    const to = element.keyEnd !== null ? element.keyEnd : !isOfIntervals
      ? from
      // The last interval may have no end.
      : end === undefined
      ? new Uint8Array(from.length).fill(0xff)
      : before(end.key);
    ranges.push({ from, to, element });
  }
  return ranges;
}

/** Field by field, as in a concatenation; a key of one field that is no longer than 4 bytes is the usual case. */
function containment(
  { bytes, known }: PartlyKnown,
  from: Uint8Array,
  to: Uint8Array,
): "yes" | "no" | "maybe" {
  let isSure = true;
  for (let at = 0; at < from.length; at += FIELD) {
    const end = Math.min(at + FIELD, from.length);
    const isWhole = known.subarray(at, end).every((byte) => byte !== 0);
    if (isWhole) {
      const field = bytes.subarray(at, end);
      if (compare(field, from.subarray(at, end)) < 0 || compare(field, to.subarray(at, end)) > 0) {
        return "no";
      }
      continue;
    }
    const isAll = from.subarray(at, end).every((byte) => byte === 0) &&
      to.subarray(at, end).every((byte) => byte === 0xff);
    isSure &&= isAll;
  }
  return isSure ? "yes" : "maybe";
}

function compare(a: Uint8Array, b: Uint8Array): number {
  for (let at = 0; at < a.length; at++) {
    const difference = a[at]! - (b[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The number before, of as many bytes. */
function before(key: Uint8Array): Uint8Array {
  const result = key.slice();
  for (let at = result.length - 1; at >= 0; at--) {
    result[at] = (result[at]! - 1) & 0xff;
    if (result[at] !== 0xff) break;
  }
  return result;
}
