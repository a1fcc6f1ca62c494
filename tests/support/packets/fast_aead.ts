/**
 * Cipher that is none: quick, and just good enough to notice a wrong key, counter, length or byte.
 *
 * It lets a simulated day run in seconds. Handshake fields are sealed by the real one.
 */
import type { AeadKey, AeadProvider } from "../../../lib/core/noise/aead.ts";
import { createBuiltinAead } from "../../../lib/core/noise/aead_builtin.ts";
import type { Memory } from "../../../lib/core/wire/memory.ts";

const TAG_SIZE = 16;

export function createFastAead(memory: Memory): AeadProvider {
  return { ...createBuiltinAead(memory), name: "fast", key: (key) => new FastKey(memory, key) };
}

class FastKey implements AeadKey {
  readonly #memory: Memory;
  readonly #key: number;
  #destroyed = false;

  constructor(memory: Memory, key: Uint8Array) {
    this.#memory = memory;
    this.#key = key.reduce((hash, byte) => Math.imul(hash ^ byte, 0x01000193), 0x811c9dc5);
  }

  prefetch(): number {
    return this.#key;
  }

  seal(
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean {
    if (this.#destroyed) return false;
    const { bytes, view } = this.#memory;
    const mask = this.#mask(counterLow, counterHigh);
    let hash = mask ^ length;
    for (let i = 0; i < length; i++) {
      const byte = bytes[source + i]!;
      hash = Math.imul(hash ^ byte, 0x01000193);
      bytes[destination + i] = byte ^ mask;
    }
    bytes.fill(0, destination + length, destination + length + TAG_SIZE);
    view.setUint32(destination + length, hash);
    return true;
  }

  open(
    destination: number,
    source: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): boolean {
    if (this.#destroyed) return false;
    const { bytes, view } = this.#memory;
    const mask = this.#mask(counterLow, counterHigh);
    let hash = mask ^ length;
    for (let i = 0; i < length; i++) {
      const byte = (bytes[source + i]! ^ mask) & 0xff;
      hash = Math.imul(hash ^ byte, 0x01000193);
      bytes[destination + i] = byte;
    }
    for (let i = 4; i < TAG_SIZE; i++) if (bytes[source + length + i] !== 0) return false;
    return view.getUint32(source + length) === hash >>> 0;
  }

  destroy(): void {
    this.#destroyed = true;
  }

  #mask(counterLow: number, counterHigh: number): number {
    return Math.imul(this.#key ^ counterLow, 0x9e3779b1) ^ Math.imul(counterHigh, 0x85ebca6b);
  }
}
