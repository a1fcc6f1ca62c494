/**
 * BLAKE2s's compression function F (RFC 7693 section 3.2) in WebAssembly, on a small memory of its own.
 *
 * In JavaScript a keyed hash of a handshake message takes 4 to 30 us, and it is spent before anything is known of the
 * sender: a flood of messages that are wrong must cost less than that. The rounds are unrolled here, so that the
 * sixteen words stay in registers.
 */
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
} from "../wire/wasm_module.ts";

/** Bytes that the function takes at a time. */
export const BLOCK_SIZE = 64;

/** Arguments of `compress`: whether this is the last block of its hash. */
export const LAST = -1;
export const MORE = 0;

/** Section 2.6. */
const IV: readonly number[] = [
  0x6a09e667,
  0xbb67ae85,
  0x3c6ef372,
  0xa54ff53a,
  0x510e527f,
  0x9b05688c,
  0x1f83d9ab,
  0x5be0cd19,
];

/** Section 2.7: which message word goes where, one row for each round, in hexadecimal. */
const SIGMA = [
  "0123456789abcdef",
  "ea489fd61c02b753",
  "b8c052fdae367194",
  "7931dcbe265a40f8",
  "905724afe1bc683d",
  "2c6a0b834d75fe19",
  "c51fed4a0763928b",
  "db7ec13950f4862a",
  "6fe9b308c2d714a5",
  "a2847615fb9e3cd0",
];
/** Section 3.1: the words that are mixed together, columns and then diagonals. */
const MIXED = ["048c", "159d", "26ae", "37bf", "05af", "16bc", "278d", "349e"];

// Where things stand in the memory.
const STATE_OFFSET = 0;
const IV_OFFSET = 32;
const BLOCK_OFFSET = 64;

/** The function with what it works on. */
export interface Compression {
  /** The eight words of the hash's state. */
  readonly state: Int32Array<ArrayBuffer>;
  readonly stateBytes: Uint8Array<ArrayBuffer>;
  /** The block to be mixed in, as bytes and as words. */
  readonly block: Uint8Array<ArrayBuffer>;
  readonly blockWords: Int32Array<ArrayBuffer>;
  /**
   * Mixes the block into the state.
   *
   * @param count bytes of the input so far, below 2^32, this block's included
   * @param last `LAST` or `MORE`
   */
  readonly compress: (count: number, last: number) => void;
}

/** Made by the first who hashes: compiling takes some hundred us. */
let shared: Compression | null = null;

/** The one that serves all, since nothing that hashes is interrupted. Who leaves secrets in it wipes them. */
export function sharedCompression(): Compression {
  return shared ??= createCompression();
}

/** The state before any input (section 2.5): sequential mode, so fanout and depth are 1. */
export function beginHash(state: Int32Array, size: number, keySize: number): void {
  for (let i = 0; i < IV.length; i++) state[i] = IV[i];
  state[0]! ^= 0x01010000 ^ (keySize << 8) ^ size;
}

/**
 * The function on a memory of its own. Typed arrays and WebAssembly agree on little-endian words on all of Deno's
 * hosts.
 */
function createCompression(): Compression {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes()), {
    m: { m: memory },
  });
  const buffer = memory.buffer as ArrayBuffer;
  new Int32Array(buffer, IV_OFFSET, 8).set(IV);
  return {
    state: new Int32Array(buffer, STATE_OFFSET, 8),
    stateBytes: new Uint8Array(buffer, STATE_OFFSET, 32),
    block: new Uint8Array(buffer, BLOCK_OFFSET, BLOCK_SIZE),
    blockWords: new Int32Array(buffer, BLOCK_OFFSET, BLOCK_SIZE / 4),
    // Its signature is in the type section below.
    compress: instance.exports["compress"] as Compression["compress"],
  };
}

const LOAD = 0x28;
const STORE = 0x36;
const XOR = 0x73;
const ROTATE_RIGHT = 0x78;
/** Loads and stores name their alignment: 4 bytes, as a power of two. */
const ALIGN = 2;

// Variables: the two arguments, then the sixteen words of the working vector.
const COUNT_ARGUMENT = 0;
const LAST_ARGUMENT = 1;
const FIRST_WORD = 2;

function moduleBytes(): Uint8Array<ArrayBuffer> {
  const body = functionBody();
  return Uint8Array.from([
    ...PREAMBLE,
    // Types: (i32, i32) to nothing.
    ...section(1, [1, 0x60, 2, I32, I32, 0]),
    // Imports: the memory "m" of "m", of one page or more.
    ...section(2, [1, ...name("m"), ...name("m"), 0x02, 0x00, 1]),
    // Functions: one, of the first type; exports: it.
    ...section(3, [1, 0]),
    ...section(7, [1, ...name("compress"), 0x00, 0]),
    ...section(10, [1, ...leb128(body.length), ...body]),
  ]);
}

function functionBody(): number[] {
  // One kind of own variables: sixteen integers.
  const code = [1, 16, I32];
  for (let i = 0; i < 16; i++) code.push(...load(STATE_OFFSET + 4 * i), SET, word(i));
  code.push(GET, word(12), GET, COUNT_ARGUMENT, XOR, SET, word(12));
  code.push(GET, word(14), GET, LAST_ARGUMENT, XOR, SET, word(14));
  for (const row of SIGMA) {
    MIXED.forEach((indices, step) => {
      code.push(...mix(indices, row.slice(2 * step, 2 * step + 2)));
    });
  }
  for (let i = 0; i < 8; i++) {
    const mixed = [...load(STATE_OFFSET + 4 * i), GET, word(i), XOR, GET, word(i + 8), XOR];
    code.push(CONST, 0, ...mixed, STORE, ALIGN, ...leb128(STATE_OFFSET + 4 * i));
  }
  return [...code, ...END];
}

/** Section 3.1, the mixing function G: `indices` name the words a, b, c and d, `inputs` the message's x and y. */
function mix(indices: string, inputs: string): number[] {
  const [a, b, c, d] = [...indices].map((digit) => word(parseInt(digit, 16)));
  const [x, y] = [...inputs].map((digit) => load(BLOCK_OFFSET + 4 * parseInt(digit, 16)));
  const half = (input: number[], first: number, second: number) => [
    ...[GET, a!, GET, b!, ADD, ...input, ADD, SET, a!],
    ...[GET, d!, GET, a!, XOR, CONST, first, ROTATE_RIGHT, SET, d!],
    ...[GET, c!, GET, d!, ADD, SET, c!],
    ...[GET, b!, GET, c!, XOR, CONST, second, ROTATE_RIGHT, SET, b!],
  ];
  return [...half(x!, 16, 12), ...half(y!, 8, 7)];
}

function word(index: number): number {
  return FIRST_WORD + index;
}

/** Puts the word at this offset of the memory on the stack. */
function load(offset: number): number[] {
  return [CONST, 0, LOAD, ALIGN, ...leb128(offset)];
}
