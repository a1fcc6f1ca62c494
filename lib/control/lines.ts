/** Lines: cuts a stream of bytes into lines, none of which may be longer than is allowed. */

/** Cuts what it is given at newlines, and keeps what comes behind the last one for the next time. */
export class LineSplitter {
  readonly #limit: number;
  #pending: Uint8Array[] = [];
  #pendingLength = 0;

  /** @param limit bytes of the longest line, without its newline */
  constructor(limit: number) {
    this.#limit = limit;
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
      if (this.#pendingLength + part.length > this.#limit) return [...lines, null];
      this.#keep(part);
      if (end < 0) return lines;
      lines.push(this.#take());
      start = end + 1;
    }
  }

  /** What came behind the last newline. */
  rest(): string {
    return this.#take();
  }

  #keep(part: Uint8Array): void {
    if (part.length === 0) return;
    // Copied: the reader may use its buffer again.
    this.#pending.push(part.slice());
    this.#pendingLength += part.length;
  }

  #take(): string {
    const line = new Uint8Array(this.#pendingLength);
    let at = 0;
    for (const part of this.#pending) {
      line.set(part, at);
      at += part.length;
    }
    this.#pending = [];
    this.#pendingLength = 0;
    return new TextDecoder().decode(line);
  }
}
