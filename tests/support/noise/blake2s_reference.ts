/**
 * Slow BLAKE2s, written after RFC 7693 section 3 step by step, to check the fast ones. It is itself checked with the
 * self-test of the RFC's appendix E (blake2s_test.ts).
 */
import { concat } from "./vectors.ts";

const BLOCK_SIZE = 64;

/** Section 2.6: the first 32 bits of the fractions of the square roots of the first eight primes. */
const IV = [2, 3, 5, 7, 11, 13, 17, 19].map((prime) => Math.floor(Math.sqrt(prime) % 1 * 2 ** 32));

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

/** Section 3.1: the columns, then the diagonals. */
const MIXED = ["048c", "159d", "26ae", "37bf", "05af", "16bc", "278d", "349e"];

/** BLAKE2s of `input` with `size` bytes of output (1 to 32) and a key of 0 to 32 bytes. */
export function referenceBlake2s(
  input: Uint8Array,
  { size = 32, key = new Uint8Array(0) }: { size?: number; key?: Uint8Array } = {},
): Uint8Array<ArrayBuffer> {
  const keyBlock = new Uint8Array(key.length > 0 ? BLOCK_SIZE : 0);
  keyBlock.set(key);
  const data = concat(keyBlock, input);
  const state = [...IV];
  state[0] = (state[0]! ^ 0x01010000 ^ (key.length << 8) ^ size) >>> 0;
  const blocks = Math.max(1, Math.ceil(data.length / BLOCK_SIZE));
  for (let block = 0; block < blocks; block++) {
    const isLast = block === blocks - 1;
    const padded = new Uint8Array(BLOCK_SIZE);
    padded.set(data.subarray(block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE));
    compress(state, padded, { count: isLast ? data.length : (block + 1) * BLOCK_SIZE, isLast });
  }
  const digest = new DataView(new ArrayBuffer(32));
  state.forEach((word, index) => digest.setUint32(index * 4, word, true));
  return new Uint8Array(digest.buffer).slice(0, size);
}

/** HMAC (RFC 2104) over the reference. */
export function referenceHmac(key: Uint8Array, input: Uint8Array): Uint8Array<ArrayBuffer> {
  const pad = (value: number) =>
    Uint8Array.from({ length: BLOCK_SIZE }, (_, index) => (key[index] ?? 0) ^ value);
  return referenceBlake2s(concat(pad(0x5c), referenceBlake2s(concat(pad(0x36), input))));
}

/** Section 3.2, the compression function F. */
function compress(
  state: number[],
  block: Uint8Array<ArrayBuffer>,
  { count, isLast }: { count: number; isLast: boolean },
): void {
  const message = new DataView(block.buffer);
  const v = [...state, ...IV];
  v[12] = v[12]! ^ count;
  if (isLast) v[14] = ~v[14]!;
  for (const row of SIGMA) {
    MIXED.forEach((indices, step) => {
      const [a, b, c, d] = [...indices].map((digit) => parseInt(digit, 16));
      const word = (at: number) => message.getUint32(parseInt(row[at]!, 16) * 4, true);
      mix(v, [a!, b!, c!, d!], [word(2 * step), word(2 * step + 1)]);
    });
  }
  for (let index = 0; index < 8; index++) {
    state[index] = (state[index]! ^ v[index]! ^ v[index + 8]!) >>> 0;
  }
}

/** Section 3.1, the mixing function G with the rotations of BLAKE2s. */
function mix(
  v: number[],
  [a, b, c, d]: [number, number, number, number],
  [x, y]: [number, number],
): void {
  v[a] = (v[a]! + v[b]! + x) >>> 0;
  v[d] = rotateRight(v[d]! ^ v[a]!, 16);
  v[c] = (v[c]! + v[d]!) >>> 0;
  v[b] = rotateRight(v[b]! ^ v[c]!, 12);
  v[a] = (v[a]! + v[b]! + y) >>> 0;
  v[d] = rotateRight(v[d]! ^ v[a]!, 8);
  v[c] = (v[c]! + v[d]!) >>> 0;
  v[b] = rotateRight(v[b]! ^ v[c]!, 7);
}

function rotateRight(word: number, by: number): number {
  return ((word >>> by) | (word << (32 - by))) >>> 0;
}
