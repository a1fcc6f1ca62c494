/**
 * BLAKE2s (RFC 7693) as Noise and WireGuard use it: hash, keyed hash, HMAC and the key derivation on top.
 *
 * One state serves all, since nothing here is interrupted. It is wiped after each use: what goes through it are
 * secrets.
 */
import { MAC_SIZE } from "../wire/messages.ts";
import { BLOCK_SIZE, type Compression, createCompression, IV } from "./blake2s_compression.ts";

/** Bytes of a BLAKE2s digest. */
export const HASH_SIZE = 32;

const LAST = -1;
const MORE = 0;

/** Made by the first who hashes: compiling takes some hundred us. */
let compression: Compression | null = null;

function open(): Compression {
  return compression ??= createCompression();
}

/** BLAKE2s-256 over the parts, one after the other. */
export function blake2sHash(...parts: Uint8Array[]): Uint8Array {
  const { state, stateBytes, block, compress } = open();
  begin(state, HASH_SIZE, 0);
  block.fill(0);
  let filled = 0;
  let count = 0;
  for (const part of parts) {
    for (let at = 0; at < part.length;) {
      // The last block is marked as such, so a full one waits until it is known that more follows.
      if (filled === BLOCK_SIZE) {
        count += BLOCK_SIZE;
        compress(count, MORE);
        block.fill(0);
        filled = 0;
      }
      const taken = Math.min(part.length - at, BLOCK_SIZE - filled);
      block.set(taken === part.length ? part : part.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
    }
  }
  compress(count + filled, LAST);
  const digest = stateBytes.slice();
  state.fill(0);
  block.fill(0);
  return digest;
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
    const { state, block, compress } = open();
    begin(state, MAC_SIZE, key.length);
    block.fill(0);
    block.set(key);
    compress(BLOCK_SIZE, MORE);
    this.#state.set(state);
    state.fill(0);
    block.fill(0);
  }

  /** The MAC of `length` bytes of a message, at least 1. */
  mac(view: DataView, offset: number, length: number): Uint8Array {
    const { state, stateBytes } = open();
    this.#run(view, offset, length);
    const result = stateBytes.slice(0, MAC_SIZE);
    state.fill(0);
    return result;
  }

  /** Whether the MAC of `length` bytes at `offset`, at least 1, stands at `macAt`; in constant time. */
  check(view: DataView, offset: number, length: number, macAt: number): boolean {
    const { state } = open();
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
    const { state, block, blockWords, compress } = open();
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

/** The state before any input (section 2.5): sequential mode, so fanout and depth are 1. */
function begin(state: Int32Array, size: number, keySize: number): void {
  state.set(IV);
  state[0]! ^= 0x01010000 ^ (keySize << 8) ^ size;
}

/** HMAC-BLAKE2s (RFC 2104) with a key of at most 64 bytes, which all keys here are. */
export function hmac(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
  const pad = new Uint8Array(BLOCK_SIZE);
  pad.set(key);
  for (let i = 0; i < BLOCK_SIZE; i++) pad[i]! ^= 0x36;
  const inner = blake2sHash(pad, ...parts);
  for (let i = 0; i < BLOCK_SIZE; i++) pad[i]! ^= 0x36 ^ 0x5c;
  const digest = blake2sHash(pad, inner);
  pad.fill(0);
  return digest;
}

/** HKDF (RFC 5869) with one output, `KDF1` of the WireGuard paper. Outputs here are 32 bytes each. */
export function kdf1(key: Uint8Array, input: Uint8Array): Uint8Array {
  return hmac(hmac(key, input), Uint8Array.of(1));
}

/** HKDF with two outputs, `KDF2` of the WireGuard paper. */
export function kdf2(key: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array] {
  const extracted = hmac(key, input);
  const first = hmac(extracted, Uint8Array.of(1));
  return [first, hmac(extracted, first, Uint8Array.of(2))];
}

/** HKDF with three outputs, `KDF3` of the WireGuard paper. */
export function kdf3(key: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array, Uint8Array] {
  const extracted = hmac(key, input);
  const first = hmac(extracted, Uint8Array.of(1));
  const second = hmac(extracted, first, Uint8Array.of(2));
  return [first, second, hmac(extracted, second, Uint8Array.of(3))];
}
