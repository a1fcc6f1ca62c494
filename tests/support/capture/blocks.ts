/** Reader of pcapng for tests: slow, obvious, and strict about what a block is. */

export const SECTION_HEADER = 0x0a0d0d0a;
export const INTERFACE_DESCRIPTION = 1;
export const INTERFACE_STATISTICS = 5;
export const ENHANCED_PACKET = 6;

/** A block's type and body. */
export interface Block {
  readonly type: number;
  readonly body: DataView;
}

/** A packet as a file has it. */
export interface FilePacket {
  /** The name of its interface. */
  readonly name: string;
  /** 1 is inbound, 2 outbound. */
  readonly direction: number;
  readonly originalLength: number;
  readonly bytes: Uint8Array;
}

/** @throws {Error} where the bytes are not whole blocks */
export function blocksOf(...chunks: readonly Uint8Array[]): Block[] {
  const bytes = new Uint8Array(chunks.flatMap((chunk) => [...chunk]));
  const view = new DataView(bytes.buffer);
  const blocks: Block[] = [];
  for (let at = 0; at < bytes.length;) {
    const size = view.getUint32(at + 4, true);
    if (size % 4 !== 0 || view.getUint32(at + size - 4, true) !== size) {
      throw new Error(`Cannot read the block at ${at}: its lengths are not one`);
    }
    const body = new DataView(bytes.buffer, at + 8, size - 12);
    blocks.push({ type: view.getUint32(at, true), body });
    at += size;
  }
  return blocks;
}

/** The packets of a file, in their order. */
export function packetsOf(...chunks: readonly Uint8Array[]): FilePacket[] {
  const names: string[] = [];
  const packets: FilePacket[] = [];
  for (const { type, body } of blocksOf(...chunks)) {
    if (type === INTERFACE_DESCRIPTION) {
      // if_name comes first.
      const length = body.getUint16(10, true);
      names.push(
        new TextDecoder().decode(new Uint8Array(body.buffer, body.byteOffset + 12, length)),
      );
    }
    if (type !== ENHANCED_PACKET) continue;
    const captured = body.getUint32(12, true);
    packets.push({
      name: names[body.getUint32(0, true)]!,
      direction: body.getUint32(20 + ((captured + 3) & -4) + 4, true),
      originalLength: body.getUint32(16, true),
      bytes: new Uint8Array(body.buffer, body.byteOffset + 20, captured).slice(),
    });
  }
  return packets;
}
