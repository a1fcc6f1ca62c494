/**
 * Packet memory: the shape of what every view, checksum and cipher here is handed.
 *
 * A packet is never an object of its own. It is an offset and a length in the one memory, so that it can be read
 * once, rewritten in place and written once, and nothing is allocated for it.
 */

/** The packet memory: one ArrayBuffer seen as bytes and as a DataView. Packets are named by offset and length in it. */
export interface Memory {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  /** The same as WebAssembly sees it, where it is WebAssembly's. */
  readonly wasm?: WebAssembly.Memory;
}

/**
 * A memory of `size` zero bytes that starts at the beginning of its own ArrayBuffer, for tests and tools. The
 * application wraps the arena that system calls write to instead.
 */
export function createMemory(size: number): Memory {
  const buffer = new ArrayBuffer(size);
  return { bytes: new Uint8Array(buffer), view: new DataView(buffer) };
}
