/**
 * WebAssembly modules written out by hand: the frame of the binary format around functions that are given instruction
 * by instruction (W3C, WebAssembly core 2.0, chapter 5). All numbers are LEB128; below 64 that is the byte itself.
 */

/** "\0asm", version 1: what every module begins with. */
export const PREAMBLE: readonly number[] = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

// Types.
export const I32 = 0x7f;
export const V128 = 0x7b;

// Instructions that more than one module uses.
export const END: readonly number[] = [0x0b];
export const GET = 0x20;
export const SET = 0x21;
export const CONST = 0x41;
export const ADD = 0x6a;

/** A section of the module: 1 types, 2 imports, 3 functions, 5 memories, 7 exports, 10 code. */
export function section(id: number, content: readonly number[]): number[] {
  return [id, ...leb128(content.length), ...content];
}

/** A name of at most 63 characters of ASCII. */
export function name(text: string): number[] {
  return [text.length, ...new TextEncoder().encode(text)];
}

/** An unsigned number in groups of seven bits, the lowest first. */
export function leb128(value: number): number[] {
  return value < 0x80 ? [value] : [value & 0x7f | 0x80, ...leb128(value >>> 7)];
}
