/**
 * Block reader: takes a block list as it comes from the disk and hands its names on. The lines that nearly all lists
 * consist of are read as bytes, as a million strings would leave more memory behind than the list takes; any other is a
 * string for `blockRules()`.
 */
import { type BlockListBuilder, BlockRule } from "./block_list.ts";
import { blockRules } from "./block_rules.ts";

/** Bytes of a line that are looked at: what is longer is about no name. */
const MAX_LINE = 1_024;
/** Lines between two yields. */
const STEP = 128;
const MAX_NAME = 253;
const MAX_LABEL = 63;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const HASH = 0x23;
const HYPHEN = 0x2d;
const DOT = 0x2e;
const UNDERSCORE = 0x5f;
const CARET = 0x5e;
/** What stands before the name in the commonest lines. */
const HOSTS = ["0.0.0.0 ", "127.0.0.1 "].map((text) => new TextEncoder().encode(text));
const ADBLOCK = new TextEncoder().encode("||");

export class BlockReader {
  /** Lines that are about no whole name, or cannot be understood. */
  skipped = 0;
  readonly #builder: Pick<BlockListBuilder, "add">;
  /** The beginning of a line whose end has not come. */
  readonly #line = new Uint8Array(MAX_LINE);
  #length = 0;
  #isTooLong = false;

  constructor(builder: Pick<BlockListBuilder, "add">) {
    this.#builder = builder;
  }

  /** Takes the next bytes, in steps. */
  *take(bytes: Uint8Array): Generator<void, void> {
    for (let start = 0, step = 0; start < bytes.length; step++) {
      if (step % STEP === 0) yield;
      const newline = bytes.indexOf(NEWLINE, start);
      if (newline < 0) {
        this.#keep(bytes, start, bytes.length);
        return;
      }
      if (this.#length === 0 && !this.#isTooLong) this.#read(bytes, start, newline);
      else {
        this.#keep(bytes, start, newline);
        this.end();
      }
      start = newline + 1;
    }
  }

  /** There is no more: the last line need not have an end. */
  end(): void {
    if (this.#isTooLong) this.skipped++;
    else this.#read(this.#line, 0, this.#length);
    this.#length = 0;
    this.#isTooLong = false;
  }

  #keep(bytes: Uint8Array, start: number, end: number): void {
    if (this.#length + end - start > MAX_LINE) this.#isTooLong = true;
    if (this.#isTooLong) return;
    this.#line.set(bytes.subarray(start, end), this.#length);
    this.#length += end - start;
  }

  #read(bytes: Uint8Array, start: number, lineEnd: number): void {
    const end = lineEnd > start && bytes[lineEnd - 1] === RETURN ? lineEnd - 1 : lineEnd;
    if (end === start || bytes[start] === HASH || this.#readPlain(bytes, start, end)) return;
    const rules = end - start > MAX_LINE
      ? null
      : blockRules(String.fromCharCode(...bytes.subarray(start, end)));
    if (rules === null) {
      this.skipped++;
      return;
    }
    for (const { name, rule } of rules) {
      const text = new TextEncoder().encode(name);
      this.#builder.add({ bytes: text, start: 0, end: text.length }, rule);
    }
  }

  /** Reads a line that is an address and a name, a name, or a name as AdBlock has it; false for any other. */
  #readPlain(bytes: Uint8Array, start: number, end: number): boolean {
    if (beginsWith(bytes, start, ADBLOCK)) {
      if (bytes[end - 1] !== CARET || !isPlainName(bytes, start + 2, end - 1)) return false;
      this.#builder.add({ bytes, start: start + 2, end: end - 1 }, BlockRule.domain);
      return true;
    }
    let at = start;
    for (const prefix of HOSTS) if (beginsWith(bytes, start, prefix)) at = start + prefix.length;
    if (!isPlainName(bytes, at, end)) return false;
    this.#builder.add({ bytes, start: at, end }, BlockRule.host);
    return true;
  }
}

function beginsWith(bytes: Uint8Array, start: number, prefix: Uint8Array): boolean {
  for (let index = 0; index < prefix.length; index++) {
    if (bytes[start + index] !== prefix[index]) return false;
  }
  return true;
}

/** Whether this is, beyond doubt, a name of several labels in lower case, the last of which begins with a letter. */
function isPlainName(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start > MAX_NAME) return false;
  let label = start;
  let labels = 0;
  for (let at = start; at <= end; at++) {
    const byte = at < end ? bytes[at]! : DOT;
    if (byte === DOT) {
      if (at === label || at - label > MAX_LABEL) return false;
      if (bytes[label] === HYPHEN || bytes[at - 1] === HYPHEN) return false;
      labels++;
      if (at < end) label = at + 1;
    } else if (!isLetter(byte) && !isDigit(byte) && byte !== HYPHEN && byte !== UNDERSCORE) {
      return false;
    }
  }
  return labels > 1 && isLetter(bytes[label]!);
}

function isLetter(byte: number): boolean {
  return byte >= 0x61 && byte <= 0x7a;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}
