/**
 * BLAKE2s (RFC 7693) as Noise and WireGuard use it: hash and keyed hash.
 *
 * The state of it is wiped after each use: what goes through it are secrets.
 */
import { MAC_SIZE } from "../wire/messages.ts";
import {
  beginHash,
  BLOCK_SIZE,
  type Compression,
  LAST,
  MORE,
  sharedCompression,
} from "./blake2s_compression.ts";

/** Bytes of a BLAKE2s digest. */
export const HASH_SIZE = 32;

/** BLAKE2s-256 over the parts, one after the other. */
export function blake2sHash(...parts: Uint8Array[]): Uint8Array {
  const compression = sharedCompression();
  const digest = new Uint8Array(HASH_SIZE);
  beginHash(compression.state, HASH_SIZE, 0);
  let total = 0;
  for (const part of parts) total = absorb(compression, part, total);
  finish(compression, total, digest);
  return digest;
}

/** BLAKE2s-256 over `first` and then `second`, into `digest`, which may be one of them. Nothing is allocated. */
export function hashInto(digest: Uint8Array, first: Uint8Array, second: Uint8Array): void {
  const compression = sharedCompression();
  beginHash(compression.state, HASH_SIZE, 0);
  finish(compression, absorb(compression, second, absorb(compression, first, 0)), digest);
}

/**
 * Takes a part of the input.
 *
 * @param total bytes taken before
 * @returns bytes taken with it
 */
function absorb({ block, compress }: Compression, part: Uint8Array, total: number): number {
  // The last block is marked as such, so a full one waits until it is known that more follows.
  let filled = total === 0 ? 0 : ((total - 1) & (BLOCK_SIZE - 1)) + 1;
  let count = total - filled;
  for (let i = 0; i < part.length; i++) {
    if (filled === BLOCK_SIZE) {
      count += BLOCK_SIZE;
      compress(count, MORE);
      filled = 0;
    }
    block[filled++] = part[i];
  }
  return count + filled;
}

function finish(
  { state, stateBytes, block, compress }: Compression,
  total: number,
  digest: Uint8Array,
): void {
  block.fill(0, total === 0 ? 0 : ((total - 1) & (BLOCK_SIZE - 1)) + 1);
  compress(total, LAST);
  digest.set(stateBytes);
  state.fill(0);
  block.fill(0);
}

/**
 * Keyed BLAKE2s with 16 bytes of output: `MAC(key, input)` of the WireGuard paper. The key has at most 32 bytes.
 *
 * @throws {RangeError} for no input, which the protocol has nowhere: the key would be the last block then
 */
export function mac(key: Uint8Array, input: Uint8Array): Uint8Array {
  if (input.length === 0) throw new RangeError("Cannot compute a MAC: its input is empty");
  const keyed = new MacKey(key);
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  const result = keyed.mac(view, 0, input.length);
  keyed.destroy();
  return result;
}

/**
 * A key of the keyed hash, taken in once: what it costs then is the message alone. Nothing is allocated for a check.
 */
export class MacKey {
  readonly #state = new Int32Array(8);

  /** @param key 1 to 32 bytes */
  constructor(key: Uint8Array) {
    this.replace(key);
  }

  /** Takes another key in place of this one. */
  replace(key: Uint8Array): void {
    const { state, block, compress } = sharedCompression();
    beginHash(state, MAC_SIZE, key.length);
    block.fill(0);
    block.set(key);
    compress(BLOCK_SIZE, MORE);
    this.#state.set(state);
    state.fill(0);
    block.fill(0);
  }

  /** The MAC of `length` bytes of a message, at least 1. */
  mac(view: DataView, offset: number, length: number): Uint8Array {
    const { state, stateBytes } = sharedCompression();
    this.#run(view, offset, length);
    const result = stateBytes.slice(0, MAC_SIZE);
    state.fill(0);
    return result;
  }

  /** Whether the MAC of `length` bytes at `offset`, at least 1, stands at `macAt`; in constant time. */
  check(view: DataView, offset: number, length: number, macAt: number): boolean {
    const { state } = sharedCompression();
    this.#run(view, offset, length);
    const difference = (state[0]! ^ view.getInt32(macAt, true)) |
      (state[1]! ^ view.getInt32(macAt + 4, true)) |
      (state[2]! ^ view.getInt32(macAt + 8, true)) |
      (state[3]! ^ view.getInt32(macAt + 12, true));
    state.fill(0);
    return difference === 0;
  }

  /** Overwrites what was made of the key. */
  destroy(): void {
    this.#state.fill(0);
  }

  #run(view: DataView, offset: number, length: number): void {
    const { state, block, blockWords, compress } = sharedCompression();
    state.set(this.#state);
    let at = 0;
    for (; length - at > BLOCK_SIZE; at += BLOCK_SIZE) {
      for (let i = 0; i < BLOCK_SIZE / 4; i++) {
        blockWords[i] = view.getInt32(offset + at + 4 * i, true);
      }
      compress(BLOCK_SIZE + at + BLOCK_SIZE, MORE);
    }
    block.fill(0);
    const words = (length - at) >> 2;
    for (let i = 0; i < words; i++) blockWords[i] = view.getInt32(offset + at + 4 * i, true);
    for (let i = 4 * words; i < length - at; i++) block[i] = view.getUint8(offset + at + i);
    compress(BLOCK_SIZE + length, LAST);
  }
}
