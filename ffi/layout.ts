/**
 * Layout of C structs: a struct's fields are listed once, in their C order, and both directions (numbers to bytes,
 * bytes to numbers) follow from the list.
 *
 * Byte order is little-endian, the native one of x86-64 and arm64, the machines this program is built for.
 * Not for packets: reading makes an object. A hot path takes `offsets` and its own `DataView`.
 */

/** The C types that occur: `__u8`, `__u16`, `__u32`, `int`. */
export type FieldType = "u8" | "u16" | "u32" | "i32";

const FIELD_SIZES: Readonly<Record<FieldType, number>> = { u8: 1, u16: 2, u32: 4, i32: 4 };

/** A C struct whose fields have the names `Name`. Sizes and offsets are in bytes. */
export interface Struct<Name extends string> {
  /** `sizeof` the struct, with its tail padding. */
  readonly size: number;
  /** `offsetof` each field. */
  readonly offsets: Readonly<Record<Name, number>>;
  /**
   * The fields' values from `bytes` at `at`.
   *
   * @throws {RangeError} when the struct does not end inside `bytes`
   */
  read(bytes: Uint8Array, at: number): Readonly<Record<Name, number>>;
  /**
   * Writes the given fields; those left out become 0.
   *
   * @throws {RangeError} when the struct does not end inside `bytes`
   */
  write(bytes: Uint8Array, at: number, values: Readonly<Partial<Record<Name, number>>>): void;
}

/**
 * A struct with the given fields, laid out as the C ABI does: each field aligned to its own size, the whole
 * padded to its widest field. Padding is never left to chance: it is written as 0.
 */
export function struct<const Fields extends Readonly<Record<string, FieldType>>>(
  fields: Fields,
): Struct<keyof Fields & string> {
  type Name = keyof Fields & string;
  const types = Object.entries(fields) as [Name, FieldType][];
  const offsets = {} as Record<Name, number>;
  let end = 0;
  let widest = 1;
  for (const [name, type] of types) {
    const fieldSize = FIELD_SIZES[type];
    offsets[name] = alignTo(end, fieldSize);
    end = offsets[name] + fieldSize;
    widest = Math.max(widest, fieldSize);
  }
  const size = alignTo(end, widest);

  function viewOf(bytes: Uint8Array, at: number): DataView {
    if (at + size > bytes.length) {
      throw new RangeError(
        `Cannot reach a struct of ${size} bytes at ${at}: there are ${bytes.length} bytes`,
      );
    }
    return new DataView(bytes.buffer, bytes.byteOffset + at, size);
  }

  return {
    size,
    offsets,
    read(bytes, at) {
      const view = viewOf(bytes, at);
      const values = {} as Record<Name, number>;
      for (const [name, type] of types) values[name] = readField(view, offsets[name], type);
      return values;
    },
    write(bytes, at, values) {
      const view = viewOf(bytes, at);
      bytes.fill(0, at, at + size);
      for (const [name, type] of types) {
        writeField(view, offsets[name], { type, value: values[name] ?? 0 });
      }
    },
  };
}

/** `offset` rounded up to a multiple of `alignment`, a power of two. */
export function alignTo(offset: number, alignment: number): number {
  return (offset + alignment - 1) & ~(alignment - 1);
}

function readField(view: DataView, offset: number, type: FieldType): number {
  switch (type) {
    case "u8":
      return view.getUint8(offset);
    case "u16":
      return view.getUint16(offset, true);
    case "u32":
      return view.getUint32(offset, true);
    case "i32":
      return view.getInt32(offset, true);
  }
}

function writeField(
  view: DataView,
  offset: number,
  field: { readonly type: FieldType; readonly value: number },
): void {
  switch (field.type) {
    case "u8":
      return view.setUint8(offset, field.value);
    case "u16":
      return view.setUint16(offset, field.value, true);
    case "u32":
      return view.setUint32(offset, field.value, true);
    case "i32":
      return view.setInt32(offset, field.value, true);
  }
}
