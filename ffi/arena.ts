/**
 * Arena: the one memory that packets, message headers and control structures live in. It is WebAssembly's, so that
 * functions in 128-bit lanes reach it as well.
 *
 * It is allocated once, never grows and so never moves, so that the address of an offset can be
 * computed once and kept. A packet is then named by its offset, for JavaScript and for the kernel alike.
 */

/** Bytes of a page of WebAssembly's. */
const PAGE_SIZE = 65_536;
/** Offsets up to this alignment have their pointer kept after the first use. */
const POINTER_GRAIN_SHIFT = 2;
/** Bytes whose pointers are kept together, as a shift: few, as most of what is named stands far apart. */
const GROUP_SHIFT = 8;
const GROUP_MASK = (1 << (GROUP_SHIFT - POINTER_GRAIN_SHIFT)) - 1;
const GROUP_LENGTH = GROUP_MASK + 1;

/** Bytes in which the pointer last asked for is found first, as a shift: less than a full packet. */
const NEAR_SHIFT = 10;

/** Kept pointers of `GROUP_LENGTH` offsets. */
type PointerGroup = (Deno.PointerObject | null)[];

export class Arena {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  readonly wasm: WebAssembly.Memory;
  readonly #base: Deno.PointerObject;
  readonly #addressLow: number;
  readonly #addressHigh: number;
  /**
   * Kept pointers, as making one costs an allocation. In groups that are made when one of them is first asked for: a
   * slot for each offset would take twice the arena, and hardly one in a hundred is ever named.
   */
  readonly #pointers: (PointerGroup | null)[];
  /**
   * The pointer last asked for within each KB, by its offset. Packets stand at the same offsets time after time, one in
   * a KB: a few bytes for each are found side by side, where its group is four lines of the cache, one by one.
   */
  readonly #nearOffsets: Int32Array;
  readonly #nearPointers: Deno.PointerObject[];
  #allocated = 0;

  /** @param size capacity in bytes; fixed for the arena's life */
  constructor(size: number) {
    const pages = Math.ceil(size / PAGE_SIZE);
    this.wasm = new WebAssembly.Memory({ initial: pages, maximum: pages });
    // Threads share it only if that is asked for.
    const buffer = this.wasm.buffer as ArrayBuffer;
    this.bytes = new Uint8Array(buffer, 0, size);
    this.view = new DataView(buffer, 0, size);
    const base = Deno.UnsafePointer.of(this.bytes);
    if (base === null) throw new RangeError(`Cannot create arena: size is ${size}`);
    this.#base = base;
    const address = Deno.UnsafePointer.value(base);
    this.#addressLow = Number(address & 0xffff_ffffn);
    this.#addressHigh = Number(address >> 32n);
    this.#pointers = new Array<PointerGroup | null>((size >> GROUP_SHIFT) + 1).fill(null);
    this.#nearOffsets = new Int32Array((size >> NEAR_SHIFT) + 1);
    this.#nearPointers = new Array<Deno.PointerObject>((size >> NEAR_SHIFT) + 1).fill(base);
    // All say offset 0 to begin with, which is true of the first alone, and no offset of another's KB.
    this.#find(0);
  }

  /**
   * Sets a region aside for good.
   *
   * @param align power of two; 64 keeps regions on cache lines of their own
   * @returns its offset
   * @throws {RangeError} when the arena is full
   */
  allocate(size: number, align = 64): number {
    const offset = (this.#allocated + align - 1) & -align;
    if (offset + size > this.bytes.length) {
      throw new RangeError(
        `Cannot allocate ${size} bytes: ${
          this.bytes.length - offset
        } of ${this.bytes.length} are left`,
      );
    }
    this.#allocated = offset + size;
    return offset;
  }

  /** The pointer of an offset. Free of allocation from the second call on when the offset is a multiple of 4. */
  pointer(offset: number): Deno.PointerObject {
    const near = offset >> NEAR_SHIFT;
    return this.#nearOffsets[near] === offset ? this.#nearPointers[near] : this.#find(offset);
  }

  /** Writes the address of offset `target` as a 64-bit pointer field at offset `at` (little-endian hosts). */
  writePointer(at: number, target: number): void {
    const low = this.#addressLow + target;
    this.view.setUint32(at, low >>> 0, true);
    this.view.setUint32(at + 4, this.#addressHigh + (low > 0xffff_ffff ? 1 : 0), true);
  }

  #find(offset: number): Deno.PointerObject {
    if ((offset & 3) !== 0) return this.#makePointer(offset);
    const group = this.#pointers[offset >> GROUP_SHIFT] ??= new Array<Deno.PointerObject | null>(
      GROUP_LENGTH,
    ).fill(null);
    const pointer = group[(offset >> POINTER_GRAIN_SHIFT) & GROUP_MASK] ??= this.#makePointer(
      offset,
    );
    const near = offset >> NEAR_SHIFT;
    this.#nearOffsets[near] = offset;
    return this.#nearPointers[near] = pointer;
  }

  #makePointer(offset: number): Deno.PointerObject {
    // Only a null base has no offset, and the constructor refused that.
    return Deno.UnsafePointer.offset(this.#base, offset) as Deno.PointerObject;
  }
}
