/** Look-up of partly known keys in what sets and maps of nftables have. */
import type {
  ListedElement,
  ListedSet,
} from "../../../../ffi/netlink/nftables/nftables_listing.ts";
import type { PartlyKnown } from "./packet.ts";

/** Fields of a concatenation are padded to whole registers (NFT_REG32_SIZE). */
const REGISTER = 4;

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
  const sizes = sizesOf(set);
  for (const { from, to, element: candidate } of rangesOf(set)) {
    const contained = containment(key, { from, to }, sizes);
    if (contained === "yes") element ??= candidate;
    else if (contained === "maybe") possible.push(candidate);
  }
  element ??= set.elements.find(({ isCatchall }) => isCatchall) ?? null;
  return { element, possible };
}

/** Bytes of what is compared at a time; the last of them for all that follow. */
function sizesOf({ fields, isOfIntervals, elements }: ListedSet): readonly number[] {
  if (fields.length > 0) return fields.map((size) => Math.ceil(size / REGISTER) * REGISTER);
  // Kernels before 5.6 do not tell of fields, and have intervals of keys of one field alone.
  return [isOfIntervals ? Math.max(REGISTER, ...elements.map(({ key }) => key.length)) : REGISTER];
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

/** Field by field, see `sizesOf()`. */
function containment(
  { bytes, known }: PartlyKnown,
  { from, to }: Pick<Range, "from" | "to">,
  sizes: readonly number[],
): "yes" | "no" | "maybe" {
  let isSure = true;
  for (let at = 0, end = 0, field = 0; at < from.length; at = end, field++) {
    end = Math.min(at + (sizes[field] ?? sizes.at(-1)!), from.length);
    const isWhole = known.subarray(at, end).every((byte) => byte !== 0);
    if (isWhole) {
      const value = bytes.subarray(at, end);
      const isBelow = compare(value, from.subarray(at, end)) < 0;
      if (isBelow || compare(value, to.subarray(at, end)) > 0) return "no";
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
