/**
 * Block list: which names are not to be resolved, up to millions of them. The names themselves are kept, packed in
 * blocks of bytes, and found by a hash table of their places: so no name is taken for another one, and a name costs its
 * length and some ten bytes.
 */
/** What is said of a name; several may be. */
export const BlockRule = {
  /** The name alone has the address 0.0.0.0, as in a hosts file. */
  host: 1,
  /** Neither the name nor any below it is there. */
  domain: 2,
  /** Neither the name nor any below it is blocked, whatever else is said. */
  allowed: 4,
} as const;
export type BlockRule = (typeof BlockRule)[keyof typeof BlockRule];

/** What becomes of a name. */
export type Blocked =
  | { readonly kind: "host" }
  /** By the rule of this domain, as a wire name. */
  | { readonly kind: "domain"; readonly domain: string };

const DOT = 0x2e;
const BLOCK_BITS = 20;
const BLOCK_SIZE = 1 << BLOCK_BITS;
/** Before the bytes of a name: what is said of it, and how many they are. */
const HEAD_SIZE = 2;
const MAX_NAME_SIZE = 255;
/** Names that are put into the table between two yields. */
const STEP = 256;
/** FNV-1a, 32 bits. */
const FNV_PRIME = 0x0100_0193;
const FNV_BASIS = 0x811c_9dc5;

/** Names, and where to look for one. */
interface PackedNames {
  readonly blocks: readonly Uint8Array[];
  /** Places of names, plus 1; 0 where there is none. Its length is a power of 2. */
  readonly table: Uint32Array;
  readonly seed: number;
}

/** A name among bytes. */
interface NameBytes {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** The names that are blocked: `BlockListBuilder` makes it. */
export class BlockList {
  /** How many names there are. */
  readonly count: number;
  readonly #names: PackedNames;
  /** The name that is looked for. */
  readonly #bytes = new Uint8Array(MAX_NAME_SIZE);

  constructor(count: number, names: PackedNames) {
    this.count = count;
    this.#names = names;
  }

  /** Bytes that it takes. */
  get size(): number {
    return this.#names.blocks.length * BLOCK_SIZE + this.#names.table.byteLength;
  }

  /** What becomes of a name (a wire name in lower case); null where nothing does. */
  find(name: string): Blocked | null {
    const length = name.length - 1;
    const bytes = this.#bytes;
    for (let index = 0; index < length; index++) bytes[index] = name.charCodeAt(index);
    let found: Blocked | null = null;
    for (let start = 0; start < length; start += 1 + bytes[start]!) {
      const rules = this.#rulesOf(start, length);
      if ((rules & BlockRule.allowed) !== 0) return null;
      if (found?.kind === "domain") continue;
      if ((rules & BlockRule.domain) !== 0) found = { kind: "domain", domain: name.slice(start) };
      else if ((rules & BlockRule.host) !== 0 && start === 0) found = { kind: "host" };
    }
    return found;
  }

  #rulesOf(start: number, end: number): number {
    const slot = slotOf(this.#names, { bytes: this.#bytes, start, end });
    const entry = this.#names.table[slot]!;
    if (entry === 0) return 0;
    return this.#names.blocks[(entry - 1) >>> BLOCK_BITS]![(entry - 1) & (BLOCK_SIZE - 1)]!;
  }
}

/** Takes names, of which some may come more than once, and makes a list of them. */
export class BlockListBuilder {
  #blocks: Uint8Array[] = [];
  /** Bytes in use of each block. */
  readonly #used: number[] = [];
  #count = 0;

  /** Names so far, repeated ones counted each time. */
  get count(): number {
    return this.#count;
  }

  /** Adds a name, in lower case and ASCII, with dots between its labels and none at its end, of at most 253 bytes. */
  add({ bytes, start, end }: NameBytes, rule: BlockRule): void {
    const length = end - start + 1;
    let last = this.#blocks.length - 1;
    if (last < 0 || this.#used[last]! + HEAD_SIZE + length > BLOCK_SIZE) {
      last = this.#blocks.push(new Uint8Array(BLOCK_SIZE)) - 1;
      this.#used.push(0);
    }
    const block = this.#blocks[last]!;
    let at = this.#used[last]!;
    block[at++] = rule;
    block[at++] = length;
    // The labels, each behind its length: that goes where the dot before it was.
    let lengthAt = at++;
    for (let index = start; index < end; index++, at++) {
      if (bytes[index] === DOT) lengthAt = at;
      else {
        block[at] = bytes[index]!;
        block[lengthAt]!++;
      }
    }
    this.#used[last] = at;
    this.#count++;
  }

  /**
   * The list, in steps; the builder is empty afterwards.
   *
   * @param seed a number that who writes the names cannot foresee, so that he cannot have them share a place
   */
  *finish(seed: number): Generator<void, BlockList> {
    const blocks = this.#blocks;
    this.#blocks = [];
    const table = new Uint32Array(1 << Math.ceil(Math.log2(Math.max(2, 2 * this.#count))));
    const names = { blocks, table, seed };
    let count = 0;
    for (const [number, block] of blocks.entries()) {
      const used = this.#used[number]!;
      for (let at = 0, step = 0; at < used; step++) {
        if (step % STEP === 0) yield;
        const start = at + HEAD_SIZE;
        const end = start + block[at + 1]!;
        const slot = slotOf(names, { bytes: block, start, end });
        const known = table[slot]!;
        if (known === 0) {
          table[slot] = (number << BLOCK_BITS | at) + 1;
          count++;
        } else {
          blocks[(known - 1) >>> BLOCK_BITS]![(known - 1) & (BLOCK_SIZE - 1)]! |= block[at]!;
        }
        at = end;
      }
    }
    this.#used.length = 0;
    this.#count = 0;
    return new BlockList(count, names);
  }
}

/** Where a name's place stands in the table, or would. */
function slotOf({ blocks, table, seed }: PackedNames, { bytes, start, end }: NameBytes): number {
  const mask = table.length - 1;
  let hash = FNV_BASIS ^ seed;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, FNV_PRIME);
  hash ^= hash >>> 15;
  for (let slot = hash & mask;; slot = (slot + 1) & mask) {
    const entry = table[slot]!;
    if (entry === 0) return slot;
    const block = blocks[(entry - 1) >>> BLOCK_BITS]!;
    const at = (entry - 1) & (BLOCK_SIZE - 1);
    if (block[at + 1] !== end - start) continue;
    let same = 0;
    while (start + same < end && block[at + HEAD_SIZE + same] === bytes[start + same]) same++;
    if (start + same === end) return slot;
  }
}
