/** Registers of nftables, of which a value, or parts of it, may not be known. */
import type { PartlyKnown } from "./packet.ts";

/** Four registers of 16 bytes, which are sixteen of 4 as well (include/uapi/linux/netfilter/nf_tables.h). */
const SIZE = 64;
const FIRST_SHORT = 8;
const LONG_SIZE = 16;
const SHORT_SIZE = 4;

export class Registers {
  readonly #bytes = new Uint8Array(SIZE);
  readonly #known = new Uint8Array(SIZE);

  /** Whether there is one of this number. */
  static has(register: number): boolean {
    return register > 0 && register < FIRST_SHORT + SIZE / SHORT_SIZE;
  }

  /** A view, from a register on. */
  at(register: number, length: number): PartlyKnown {
    const offset = register < FIRST_SHORT
      ? (register - 1) * LONG_SIZE
      : (register - FIRST_SHORT) * SHORT_SIZE;
    return {
      bytes: this.#bytes.subarray(offset, offset + length),
      known: this.#known.subarray(offset, offset + length),
    };
  }

  /** Loads bytes of a header; null for one of which nothing is known. */
  load(register: number, length: number, header: PartlyKnown | null, offset: number): void {
    this.put(register, null, Math.max(length, SHORT_SIZE));
    // A load clears what it does not fill of the last register.
    const to = this.at(register, length);
    const padding = this.at(register, Math.ceil(length / SHORT_SIZE) * SHORT_SIZE);
    padding.known.fill(0xff, length);
    if (header === null || offset + length > header.bytes.length) return;
    to.bytes.set(header.bytes.subarray(offset, offset + length));
    to.known.set(header.known.subarray(offset, offset + length));
  }

  /** Puts a value, or that nothing is known of it. */
  put(register: number, value: Uint8Array | null, length = value?.length ?? LONG_SIZE): void {
    const to = this.at(register, Math.ceil(length / SHORT_SIZE) * SHORT_SIZE);
    to.bytes.fill(0);
    to.known.fill(value === null ? 0 : 0xff);
    if (value !== null) to.bytes.set(value);
  }
}
