/**
 * Record ring: what one thread tells another: records in shared memory, in order, by one writer and for one reader.
 *
 * Nothing waits: where there is no room, the writer keeps what must not be lost. A position is a count of bytes since
 * the start, modulo 2^32. What has been read is zeroed, as keys pass here.
 *
 * ```text
 *   0  position up to which is written    4
 *  64  position up to which is read       4
 *  68  how many records have been done    4, modulo 2^32
 * 128  records: kind 4 (0: go on at the start of the ring), length 4, payload, each on a multiple of 8
 * ```
 */

const WRITTEN = 0;
const READ = 64 / 4;
const DONE = 68 / 4;
const RECORDS_OFFSET = 128;
const HEADER_SIZE = 8;
const ALIGN = 8;
/** A record that must get through as long as there is room. */
const WHOLE = 1;
/** Kind of what fills the end of the ring where the next record does not fit. */
const SKIP = 0;

/** Shared memory for a ring with room for `capacity` bytes, a power of two. */
export function createRing(capacity: number): SharedArrayBuffer {
  return new SharedArrayBuffer(RECORDS_OFFSET + capacity);
}

/** What both ends have of a ring. */
abstract class RingEnd {
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly view: DataView<SharedArrayBuffer>;
  /** The same as `bytes`; payloads begin on a multiple of 8. */
  readonly payloads: Int32Array<SharedArrayBuffer>;
  protected readonly words: Int32Array<SharedArrayBuffer>;
  protected readonly capacity: number;

  constructor(memory: SharedArrayBuffer) {
    this.bytes = new Uint8Array(memory);
    this.view = new DataView(memory);
    this.payloads = new Int32Array(memory);
    this.words = new Int32Array(memory, 0, RECORDS_OFFSET / 4);
    this.capacity = memory.byteLength - RECORDS_OFFSET;
  }

  /** Where in the memory a position is. */
  protected place(position: number): number {
    return RECORDS_OFFSET + (position & (this.capacity - 1));
  }
}

export class RingWriter extends RingEnd {
  /** Records handed over since the start; int32, wraps around. */
  count = 0;
  #position = 0;
  #next = 0;
  /** Whether something was written since this was last set to false. */
  hasNews = false;

  /**
   * Begins a record.
   *
   * @param kind above 0
   * @param length bytes of its payload
   * @param share of the ring that may be full then: less for what there may be any amount of
   * @returns where its payload is to be written; -1 where there is no room now
   */
  begin(kind: number, length: number, share = WHOLE): number {
    const size = sizeOf(length);
    const used = (this.#position - Atomics.load(this.words, READ)) | 0;
    const untilEnd = this.capacity - (this.#position & (this.capacity - 1));
    const skipped = untilEnd < size ? untilEnd : 0;
    if (used + skipped + size > this.capacity * share) return -1;
    if (skipped > 0) this.view.setInt32(this.place(this.#position), SKIP, true);
    const start = (this.#position + skipped) | 0;
    const at = this.place(start);
    this.view.setInt32(at, kind, true);
    this.view.setInt32(at + 4, length, true);
    this.#next = (start + size) | 0;
    return at + HEADER_SIZE;
  }

  /** Hands over the record that was begun last. */
  commit(): void {
    this.#position = this.#next;
    this.count = (this.count + 1) | 0;
    this.hasNews = true;
    Atomics.store(this.words, WRITTEN, this.#position);
  }

  /** Whether this many records have been done. */
  isDone(count: number): boolean {
    return ((Atomics.load(this.words, DONE) - count) | 0) >= 0;
  }
}

export class RingReader extends RingEnd {
  /** Where the payload of the current record is, and its bytes. */
  offset = 0;
  length = 0;
  #position = 0;

  /** The kind of the next record, which is current until `done()`; 0 for none. */
  next(): number {
    for (;;) {
      if (this.#position === Atomics.load(this.words, WRITTEN)) return 0;
      const at = this.place(this.#position);
      const kind = this.view.getInt32(at, true);
      if (kind !== SKIP) {
        this.offset = at + HEADER_SIZE;
        this.length = this.view.getInt32(at + 4, true);
        return kind;
      }
      this.#pass(this.capacity - (this.#position & (this.capacity - 1)));
    }
  }

  /** The current record has been done: it is zeroed, and its room is the writer's again. */
  done(): void {
    this.bytes.fill(0, this.offset - HEADER_SIZE, this.offset + this.length);
    this.passed();
  }

  /** The same of a record that holds no secret: it is left as it is, as zeroing costs as much as copying. */
  passed(): void {
    this.#pass(sizeOf(this.length));
    Atomics.add(this.words, DONE, 1);
  }

  #pass(size: number): void {
    this.#position = (this.#position + size) | 0;
    Atomics.store(this.words, READ, this.#position);
  }
}

function sizeOf(length: number): number {
  return (HEADER_SIZE + length + ALIGN - 1) & -ALIGN;
}
