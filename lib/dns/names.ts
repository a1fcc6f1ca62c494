/**
 * Domain names in DNS messages (RFC 1035 sections 3.1 and 4.1.4): read through compression pointers, compared without regard
 * to case, written with pointers of our own.
 */

const MAX_NAME_SIZE = 255;
const POINTER = 0xc0;
/** Offsets that a pointer can name. */
const POINTER_RANGE = 0x4000;

export interface Name {
  /** One character for each byte; a name's last, empty label is not among them. */
  readonly labels: readonly string[];
  /** Where it ends in the message: behind its last label or its first pointer. */
  readonly end: number;
}

/** The name at `at`; null where it runs off the message, is too long, or a pointer does not lead backwards. */
export function readName(message: Uint8Array, at: number): Name | null {
  const labels: string[] = [];
  let size = 1;
  let end = -1;
  // Each pointer leads before all that was read so far: none can lead in circles.
  for (let lowest = at; at < message.length;) {
    const length = message[at]!;
    if (length === 0) return { labels, end: end < 0 ? at + 1 : end };
    if ((length & POINTER) === POINTER) {
      if (at + 2 > message.length) return null;
      if (end < 0) end = at + 2;
      const target = (length & ~POINTER) << 8 | message[at + 1]!;
      if (target >= lowest) return null;
      lowest = at = target;
      continue;
    }
    size += 1 + length;
    if ((length & POINTER) !== 0 || size > MAX_NAME_SIZE) return null;
    if (at + 1 + length > message.length) return null;
    labels.push(String.fromCharCode(...message.subarray(at + 1, at + 1 + length)));
    at += 1 + length;
  }
  return null;
}

/** The same for two names that are the same (RFC 4343 section 3), and for no others, whatever bytes are in their labels. */
export function nameKey(labels: readonly string[]): string {
  return labels.map((label) => String.fromCharCode(label.length) + lowerCase(label)).join("");
}

/** Whether a name is `ancestor`, or in the domain of that name. */
export function isInDomain(labels: readonly string[], ancestor: readonly string[]): boolean {
  const first = labels.length - ancestor.length;
  return first >= 0 && nameKey(labels.slice(first)) === nameKey(ancestor);
}

/** ASCII's letters alone have case here. */
export function lowerCase(text: string): string {
  return text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** Builds a message, front to back. What would be longer than a message can be is cut, and `isWhole` false. */
export class MessageWriter {
  #bytes = new Uint8Array(1024);
  #length = 0;
  #isWhole = true;
  /** Where names stand that pointers may lead to, by their keys. */
  readonly #names = new Map<string, number>();

  /** Bytes so far. */
  get length(): number {
    return this.#length;
  }

  /** Whether all that was written is there. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  append(bytes: Uint8Array): void {
    const end = this.#length + bytes.length;
    if (end > 0xffff) {
      this.#isWhole = false;
      return;
    }
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.min(0x10000, Math.max(end, this.#bytes.length * 4)));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, this.#length);
    this.#length = end;
  }

  u16(value: number): void {
    this.append(Uint8Array.of(value >>> 8, value));
  }

  u32(value: number): void {
    this.append(Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value));
  }

  /**
   * Writes a name.
   *
   * @param compressed whether pointers may stand in it: not in data of types that a reader need not know (RFC 3597 section 4)
   */
  name(labels: readonly string[], compressed: boolean): void {
    for (let first = 0; first < labels.length; first++) {
      const key = nameKey(labels.slice(first));
      const known = this.#names.get(key);
      if (compressed && known !== undefined) {
        this.u16(POINTER << 8 | known);
        return;
      }
      if (known === undefined && this.#length < POINTER_RANGE) this.#names.set(key, this.#length);
      const label = labels[first]!;
      this.append(Uint8Array.of(label.length));
      this.append(Uint8Array.from(label, (character) => character.charCodeAt(0)));
    }
    this.append(Uint8Array.of(0));
  }

  /** Writes what `write` does behind its size in two bytes. */
  sized(write: () => void): void {
    const start = this.#length;
    this.u16(0);
    write();
    const size = this.#length - start - 2;
    if (this.#isWhole) this.#bytes.set([size >>> 8, size & 0xff], start);
  }

  /** Changes two bytes that are there. */
  patch16(at: number, value: number): void {
    this.#bytes.set([value >>> 8, value & 0xff], at);
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }
}
