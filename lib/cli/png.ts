/** PNG (ISO/IEC 15948): writes an image of black and white squares, a bit for each pixel. */
import { crc32, deflateSync } from "node:zlib";

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
const BIT_DEPTH = 1;
const GREYSCALE = 0;
/** Of a row: its bytes are as they are. */
const FILTER_NONE = 0;

/**
 * @param squares by row, then column: whether each is black; all rows are as long
 * @param scale pixels to a side of a square
 */
export function pngImage(
  squares: readonly (readonly boolean[])[],
  scale: number,
): Uint8Array<ArrayBuffer> {
  const width = squares[0]!.length * scale;
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, squares.length * scale);
  header[8] = BIT_DEPTH;
  header[9] = GREYSCALE;
  return joined([
    SIGNATURE,
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(pixelRows(squares, width, scale))),
    chunk("IEND", new Uint8Array()),
  ]);
}

/** Each row behind its filter; white is 1. */
function pixelRows(
  squares: readonly (readonly boolean[])[],
  width: number,
  scale: number,
): Uint8Array<ArrayBuffer> {
  const rowSize = 1 + Math.ceil(width / 8);
  const rows = new Uint8Array(squares.length * scale * rowSize);
  for (const [y, row] of squares.entries()) {
    const first = y * scale * rowSize;
    rows[first] = FILTER_NONE;
    for (let x = 0; x < width; x++) {
      if (!row[Math.floor(x / scale)]) rows[first + 1 + (x >> 3)]! |= 0x80 >> (x & 7);
    }
    for (let copy = 1; copy < scale; copy++) {
      rows.copyWithin(first + copy * rowSize, first, first + rowSize);
    }
  }
  return rows;
}

/** Length, type, data, and the checksum of both. */
function chunk(type: string, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const body = joined([new TextEncoder().encode(type), data]);
  const bytes = new Uint8Array(body.length + 8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(body, 4);
  view.setUint32(4 + body.length, crc32(body));
  return bytes;
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((size, { length }) => size + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
