/** Lines: cuts a stream of bytes into lines, none of which may be longer than is allowed. */
import { CollectedBytes } from "../core/limits/collected_bytes.ts";

/** Cuts what it is given at newlines, and keeps what comes behind the last one for the next time. */
export class LineSplitter {
  readonly #pending: CollectedBytes;

  /** @param limit bytes of the longest line, without its newline */
  constructor(limit: number) {
    this.#pending = new CollectedBytes(limit);
  }

  /**
   * Takes more bytes.
   *
   * @returns the lines that are complete now; after one that is too long, null, and nothing is to be read any more
   */
  push(chunk: Uint8Array): (string | null)[] {
    const lines: (string | null)[] = [];
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(0x0a, start);
      const part = chunk.subarray(start, end < 0 ? chunk.length : end);
      if (!this.#pending.add(part)) return [...lines, null];
      if (end < 0) return lines;
      lines.push(this.rest());
      start = end + 1;
    }
  }

  /** What came behind the last newline. */
  rest(): string {
    return new TextDecoder().decode(this.#pending.take());
  }
}
