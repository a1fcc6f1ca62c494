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

export class Arena {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  readonly wasm: WebAssembly.Memory;
  readonly #base: Deno.PointerObject;
  readonly #addressLow: number;
  readonly #addressHigh: number;
  /** Kept pointers by offset / 4: making one costs an allocation, finding one a load. */
  readonly #pointers: (Deno.PointerObject | undefined)[];
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
    this.#pointers = new Array((size >> POINTER_GRAIN_SHIFT) + 1).fill(undefined);
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
    if ((offset & 3) !== 0) return this.#makePointer(offset);
    return this.#pointers[offset >> POINTER_GRAIN_SHIFT] ??= this.#makePointer(offset);
  }

  /** Writes the address of offset `target` as a 64-bit pointer field at offset `at` (little-endian hosts). */
  writePointer(at: number, target: number): void {
    const low = this.#addressLow + target;
    this.view.setUint32(at, low >>> 0, true);
    this.view.setUint32(at + 4, this.#addressHigh + (low > 0xffff_ffff ? 1 : 0), true);
  }

  #makePointer(offset: number): Deno.PointerObject {
    // Only a null base has no offset, and the constructor refused that.
    return Deno.UnsafePointer.offset(this.#base, offset) as Deno.PointerObject;
  }
}
