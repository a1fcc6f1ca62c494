/**
 * Domain names in DNS messages (RFC 1035 sections 3.1 and 4.1.4): read through compression pointers, compared without
 * regard to case, written with pointers of our own.
 */

const MAX_NAME_SIZE = 255;
const POINTER = 0xc0;
/** Offsets that a pointer can name. */
const POINTER_RANGE = 0x4000;

/** A name: its first label, and the rest of it, which names that end alike in a message share. */
export class DomainName {
  /** One character for each byte; empty for the root. */
  readonly label: string;
  /** Null for the root. */
  readonly rest: DomainName | null;
  /**
   * The same for two names that are the same (RFC 4343 section 3), and for no others, whatever bytes are in their
   * labels.
   */
  readonly key: string;
  /** How many labels it has, the root's not among them. */
  readonly count: number;
  /** Bytes of it in a message. */
  readonly size: number;

  constructor(label: string, rest: DomainName | null) {
    this.label = label;
    this.rest = rest;
    this.key = rest === null ? "" : String.fromCharCode(label.length) + lowerCase(label) + rest.key;
    this.count = rest === null ? 0 : rest.count + 1;
    this.size = rest === null ? 1 : rest.size + 1 + label.length;
  }
}

const ROOT = new DomainName("", null);

/** A label, or with null the place that a pointer leads to, and where it stands. */
interface NamePart {
  readonly at: number;
  readonly label: string | null;
}

/**
 * Reads the names of a message. What a pointer leads to is read once, and so is what stands behind each of its labels:
 * an answer has thousands of names of a hundred labels each if its sender likes, a pointer into another place of them
 * for each, and must not take tenths of a second.
 */
export class NameReader {
  readonly #message: Uint8Array;
  /** By where they begin, as far as pointers can lead. */
  readonly #known = new Map<number, DomainName>();

  constructor(message: Uint8Array) {
    this.#message = message;
  }

  /**
   * The name at `at`, and where it ends there: behind its last label or its first pointer.
   *
   * @returns null where it runs off the message, is too long, or a pointer does not lead backwards
   */
  read(at: number): { readonly name: DomainName; readonly end: number } | null {
    const message = this.#message;
    const parts: NamePart[] = [];
    let labels = 0;
    let rest: DomainName | undefined;
    let end = -1;
    // Each pointer leads before all that was read so far: none can lead in circles.
    for (let lowest = at; rest === undefined;) {
      // Where the name itself ends is not known before a pointer was met.
      rest = end < 0 ? undefined : this.#known.get(at);
      if (rest !== undefined) break;
      const length = message[at];
      if (length === undefined) return null;
      if (length === 0) {
        if (end < 0) end = at + 1;
        rest = ROOT;
      } else if ((length & POINTER) === POINTER) {
        if (at + 2 > message.length) return null;
        if (end < 0) end = at + 2;
        const target = (length & ~POINTER) << 8 | message[at + 1]!;
        if (target >= lowest) return null;
        lowest = at = target;
        parts.push({ at, label: null });
      } else {
        if ((length & POINTER) !== 0 || ++labels > MAX_NAME_SIZE) return null;
        if (at + 1 + length > message.length) return null;
        const label = String.fromCharCode(...message.subarray(at + 1, at + 1 + length));
        parts.push({ at, label });
        at += 1 + length;
      }
    }
    const name = this.#join(parts, rest);
    return name === null ? null : { name, end };
  }

  #join(parts: readonly NamePart[], rest: DomainName): DomainName | null {
    let name = rest;
    for (let index = parts.length - 1; index >= 0; index--) {
      const { at, label } = parts[index]!;
      if (label !== null) name = new DomainName(label, name);
      if (name.size > MAX_NAME_SIZE) return null;
      if (at < POINTER_RANGE) this.#known.set(at, name);
    }
    return name;
  }
}

/** Whether a name is `ancestor`, or in the domain of that name. */
export function isInDomain(name: DomainName, ancestor: DomainName): boolean {
  let end = name;
  while (end.count > ancestor.count) end = end.rest!;
  return end.key === ancestor.key;
}

/** ASCII's letters alone have case here. */
function lowerCase(text: string): string {
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
    const at = this.#extend(bytes.length);
    if (at >= 0) this.#bytes.set(bytes, at);
  }

  u16(value: number): void {
    const at = this.#extend(2);
    if (at < 0) return;
    this.#bytes[at] = value >>> 8;
    this.#bytes[at + 1] = value;
  }

  u32(value: number): void {
    this.u16(value >>> 16);
    this.u16(value & 0xffff);
  }

  /**
   * Writes a name.
   *
   * @param compressed whether pointers may stand in it: not in data of types that a reader need not know (RFC 3597
   * section 4)
   */
  name(name: DomainName, compressed: boolean): void {
    for (let end = name; end.rest !== null; end = end.rest) {
      const known = this.#names.get(end.key);
      if (compressed && known !== undefined) {
        this.u16(POINTER << 8 | known);
        return;
      }
      if (known === undefined && this.#length < POINTER_RANGE) {
        this.#names.set(end.key, this.#length);
      }
      const { label } = end;
      const at = this.#extend(1 + label.length);
      if (at < 0) return;
      this.#bytes[at] = label.length;
      for (let i = 0; i < label.length; i++) this.#bytes[at + 1 + i] = label.charCodeAt(i);
    }
    const at = this.#extend(1);
    if (at >= 0) this.#bytes[at] = 0;
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

  /** Makes room at the end; where it is, or -1 where the message would be too long. */
  #extend(count: number): number {
    const at = this.#length;
    const end = at + count;
    if (end > 0xffff) {
      this.#isWhole = false;
      return -1;
    }
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.min(0x10000, Math.max(end, this.#bytes.length * 4)));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#length = end;
    return at;
  }
}
