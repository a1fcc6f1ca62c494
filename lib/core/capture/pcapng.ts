/**
 * Pcapng writer (draft-ietf-opsawg-pcapng): blocks, each of them whole or not at all, into a buffer.
 *
 * Little-endian, times in microseconds. A block is its type, its length, its body and its length again, each part
 * padded to four bytes; options within it are code, length and value, and end with a code of 0.
 */
import type { PacketDirection } from "../wireguard/packet_tap.ts";

const SECTION_HEADER_BLOCK = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION_BLOCK = 1;
const INTERFACE_STATISTICS_BLOCK = 5;
const ENHANCED_PACKET_BLOCK = 6;

const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
/**
 * LINKTYPE_IPV4: packets begin with their IP header; those of IPv6, which a tunnel may carry besides, tcpdump and
 * Wireshark show as such all the same. LINKTYPE_RAW (101) would do for one interface, but libpcap compares that of each
 * further one with DLT_RAW (12), its own number for it, and refuses the file.
 */
const LINKTYPE_IPV4 = 228;

const OPT_ENDOFOPT = 0;
const SHB_USERAPPL = 4;
const IF_NAME = 2;
const IF_DESCRIPTION = 3;
const IF_TSRESOL = 9;
const ISB_IFRECV = 4;
const ISB_IFDROP = 5;
const EPB_FLAGS = 2;

/** Type and length before a block's body, and the length behind it. */
const FRAME_SIZE = 12;
const OPTION_HEADER_SIZE = 4;
/** Bytes of a packet block besides the packet: frame, five numbers, flags, end of options. */
const PACKET_BLOCK_SIZE = FRAME_SIZE + 20 + 8 + 4;
/** The powers of ten of a second that times count in. */
const MICROSECONDS = 6;
/** Bytes of the longest text in an option; what is longer is cut. */
const MAX_TEXT = 1024;
const TWO_TO_32 = 0x1_0000_0000;

/** What a file says of an interface; here, each peer is one. */
export interface InterfaceDescription {
  readonly name: string;
  readonly description: string;
  /** Bytes of a packet that are kept at most. */
  readonly snapLength: number;
}

/** What was seen on an interface: packets in the file, and those that are missing in it. */
export interface InterfaceCounts {
  readonly received: number;
  readonly dropped: number;
}

type Option = readonly [code: number, value: Uint8Array];

export class PcapngWriter {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Bytes written. */
  length = 0;
  readonly #view: DataView<ArrayBuffer>;

  /** @param capacity bytes; a block that does not fit the rest of them is not written */
  constructor(capacity: number) {
    this.bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.bytes.buffer);
  }

  /** Begins a file. The section's length is left open, so that it can be written as it comes. */
  section(application: string): boolean {
    const body = new Uint8Array(16).fill(0xff);
    const view = new DataView(body.buffer);
    view.setUint32(0, BYTE_ORDER_MAGIC, true);
    view.setUint16(4, 1, true);
    view.setUint16(6, 0, true);
    return this.#block(SECTION_HEADER_BLOCK, body, [[SHB_USERAPPL, text(application)]]);
  }

  /** Describes the next interface; they are numbered from 0. */
  interface({ name, description, snapLength }: InterfaceDescription): boolean {
    const body = new Uint8Array(8);
    const view = new DataView(body.buffer);
    view.setUint16(0, LINKTYPE_IPV4, true);
    view.setUint32(4, snapLength, true);
    return this.#block(INTERFACE_DESCRIPTION_BLOCK, body, [
      [IF_NAME, text(name)],
      [IF_DESCRIPTION, text(description)],
      [IF_TSRESOL, Uint8Array.of(MICROSECONDS)],
    ]);
  }

  /**
   * Adds a packet.
   *
   * @param interfaceId its interface's number
   * @param time Unix microseconds
   * @param source,offset,length where the packet is
   * @param captured bytes of it to be kept, at most `length`
   */
  packet(
    interfaceId: number,
    direction: PacketDirection,
    time: number,
    source: Uint8Array,
    offset: number,
    length: number,
    captured: number,
  ): boolean {
    const padded = (captured + 3) & -4;
    const size = PACKET_BLOCK_SIZE + padded;
    if (size > this.bytes.length - this.length) return false;
    const view = this.#view;
    let at = this.length;
    view.setUint32(at, ENHANCED_PACKET_BLOCK, true);
    view.setUint32(at + 4, size, true);
    view.setUint32(at + 8, interfaceId, true);
    writeTime(view, at + 12, time);
    view.setUint32(at + 20, captured, true);
    view.setUint32(at + 24, length, true);
    at += 28;
    // The view costs less than copying by the byte: 0.2 us instead of 1.7 for a packet of 1,420.
    this.bytes.set(source.subarray(offset, offset + captured), at);
    for (let i = captured; i < padded; i++) this.bytes[at + i] = 0;
    at += padded;
    view.setUint16(at, EPB_FLAGS, true);
    view.setUint16(at + 2, 4, true);
    view.setUint32(at + 4, direction, true);
    view.setUint32(at + 8, OPT_ENDOFOPT, true);
    view.setUint32(at + 12, size, true);
    this.length = at + 16;
    return true;
  }

  /** Tells what was seen on an interface up to `time` (Unix microseconds). */
  statistics(interfaceId: number, time: number, { received, dropped }: InterfaceCounts): boolean {
    const body = new Uint8Array(12);
    const view = new DataView(body.buffer);
    view.setUint32(0, interfaceId, true);
    writeTime(view, 4, time);
    return this.#block(INTERFACE_STATISTICS_BLOCK, body, [
      [ISB_IFRECV, count(received)],
      [ISB_IFDROP, count(dropped)],
    ]);
  }

  #block(type: number, body: Uint8Array, options: readonly Option[]): boolean {
    let size = FRAME_SIZE + body.length + OPTION_HEADER_SIZE;
    for (const [, value] of options) size += OPTION_HEADER_SIZE + ((value.length + 3) & -4);
    if (size > this.bytes.length - this.length) return false;
    const view = this.#view;
    const start = this.length;
    const end = start + size;
    this.bytes.fill(0, start, end);
    view.setUint32(start, type, true);
    view.setUint32(start + 4, size, true);
    this.bytes.set(body, start + 8);
    let at = start + 8 + body.length;
    for (const [code, value] of options) {
      view.setUint16(at, code, true);
      view.setUint16(at + 2, value.length, true);
      this.bytes.set(value, at + OPTION_HEADER_SIZE);
      at += OPTION_HEADER_SIZE + ((value.length + 3) & -4);
    }
    // The end of options is all zeros, and they are there.
    view.setUint32(end - 4, size, true);
    this.length = end;
    return true;
  }
}

/** The upper half comes first, whatever the byte order. */
function writeTime(view: DataView, at: number, time: number): void {
  const high = Math.floor(time / TWO_TO_32);
  view.setUint32(at, high, true);
  view.setUint32(at + 4, time - high * TWO_TO_32, true);
}

function count(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}

/** UTF-8, cut between characters. */
function text(value: string): Uint8Array {
  const bytes = new Uint8Array(MAX_TEXT);
  return bytes.subarray(0, new TextEncoder().encodeInto(value, bytes).written);
}
