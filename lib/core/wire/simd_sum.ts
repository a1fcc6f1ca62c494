/**
 * SIMD sum: the Internet checksum (RFC 1071) in 128-bit lanes, by a WebAssembly function, written out here instruction
 * by instruction, that reads the packet memory where it lies. It takes a third of the time of `sum()`.
 *
 * Each step adds the eight 16-bit words of 16 bytes, by pairs, to four 32-bit lanes. That cannot overflow below 512
 * KiB.
 */
import { fold, sum } from "./checksum.ts";
import type { Memory } from "./memory.ts";
import {
  ADD,
  CONST,
  END,
  GET,
  I32,
  leb128,
  name,
  PREAMBLE,
  section,
  SET,
  V128,
} from "./wasm_module.ts";

/** As `sum()`, bound to a memory. */
export type Sum = (offset: number, length: number, initial?: number) => number;

/** The function for a memory: in lanes, or as `sum()` does it where the memory is not WebAssembly's. */
export function createSum(memory: Memory): Sum {
  const { view, wasm } = memory;
  if (wasm === undefined) {
    return (offset, length, initial = 0) => sum(view, offset, length, initial);
  }
  const module = new WebAssembly.Module(MODULE);
  const { exports } = new WebAssembly.Instance(module, { m: { m: wasm } });
  // Its signature is in the type section below.
  const sumOfWords = exports["sum"] as (offset: number, length: number) => number;
  return (offset, length, initial = 0) => {
    const words = sumOfWords(offset, length);
    // WebAssembly reads in little-endian order: the bytes are swapped once, at the end (RFC 1071 section 2 (B)).
    return fold((words >>> 8 | (words & 0xff) << 8) + initial);
  };
}

// Instructions, with what follows them.
const BLOCK = [0x02, 0x40];
const LOOP = [0x03, 0x40];
const IF = [0x04, 0x40];
const BREAK = 0x0c;
const BREAK_IF = 0x0d;
const LOAD8 = [0x2d, 0x00, 0x00];
const LOAD16 = [0x2f, 0x00, 0x00];
const GREATER_OR_EQUAL = 0x4f;
const AND = 0x71;
const SHIFT_RIGHT = 0x76;
const LOAD128 = [0xfd, 0x00, 0x00, 0x00];
const SPLAT = [0xfd, 0x11];
const LANE = [0xfd, 0x1b];
const AND128 = [0xfd, 0x4e];
/** `i32x4.extadd_pairwise_i16x8_u`: pairs of 16-bit words to 32-bit sums. */
const ADD_PAIRS = [0xfd, 0x7f];
const SHIFT_RIGHT_LANES = [0xfd, 0xad, 0x01];
const ADD_LANES = [0xfd, 0xae, 0x01];

const LOW_HALF = [CONST, 0xff, 0xff, 0x03];
const MINUS_16 = [CONST, 0x70];

// Variables: the two arguments, and those of the function's own.
const AT = 0;
const LENGTH = 1;
const LANES = 2;
const STOP = 3;
const TOTAL = 4;

/** While `AT` is below `STOP`: `body`, which advances by `step` bytes. */
function repeat(step: number, body: readonly number[]): number[] {
  return [
    ...BLOCK,
    ...LOOP,
    ...[GET, AT, GET, STOP, GREATER_OR_EQUAL, BREAK_IF, 1],
    ...body,
    ...[GET, AT, CONST, step, ADD, SET, AT],
    ...[BREAK, 0],
    ...END,
    ...END,
  ];
}

/** `STOP = AT + (LENGTH & mask)`. */
function stopBehind(mask: readonly number[]): number[] {
  return [GET, AT, GET, LENGTH, ...mask, AND, ADD, SET, STOP];
}

const FOLD_TOTAL = [
  ...[GET, TOTAL, ...LOW_HALF, AND],
  ...[GET, TOTAL, CONST, 16, SHIFT_RIGHT],
  ...[ADD, SET, TOTAL],
];

const BODY = [
  // Two kinds of own variables: one of lanes, two integers.
  ...[2, 1, V128, 2, I32],
  ...stopBehind(MINUS_16),
  ...repeat(16, [GET, LANES, GET, AT, ...LOAD128, ...ADD_PAIRS, ...ADD_LANES, SET, LANES]),
  // Each lane is folded once, so that the sum of all four fits.
  ...[GET, LANES, ...LOW_HALF, ...SPLAT, ...AND128],
  ...[GET, LANES, CONST, 16, ...SHIFT_RIGHT_LANES],
  ...[...ADD_LANES, SET, LANES],
  ...[GET, LANES, ...LANE, 0, GET, LANES, ...LANE, 1, ADD],
  ...[GET, LANES, ...LANE, 2, ADD, GET, LANES, ...LANE, 3, ADD, SET, TOTAL],
  // Up to seven words are left, and an odd byte, which stands for itself and a zero behind it.
  ...stopBehind([CONST, 14]),
  ...repeat(2, [GET, TOTAL, GET, AT, ...LOAD16, ADD, SET, TOTAL]),
  ...[GET, LENGTH, CONST, 1, AND, ...IF],
  ...[GET, TOTAL, GET, AT, ...LOAD8, ADD, SET, TOTAL],
  ...END,
  ...FOLD_TOTAL,
  ...FOLD_TOTAL,
  ...[GET, TOTAL, ...END],
];

const MODULE = Uint8Array.from([
  ...PREAMBLE,
  // Types: (i32, i32) to i32.
  ...section(1, [1, 0x60, 2, I32, I32, 1, I32]),
  // Imports: the memory "m" of "m", of one page or more.
  ...section(2, [1, ...name("m"), ...name("m"), 0x02, 0x00, 1]),
  // Functions: one, of the first type; exports: it.
  ...section(3, [1, 0]),
  ...section(7, [1, ...name("sum"), 0x00, 0]),
  ...section(10, [1, ...leb128(BODY.length), ...BODY]),
]);
