/**
 * Address query: the question for a host's addresses, for a program that asks a resolver itself (RFC 1035 section
 * 4).
 */
import { HEADER_SIZE } from "./message.ts";

/** Types of records that have an address (RFC 1035 section 3.2.2, RFC 3596). */
export const AddressType = { ipv4: 1, ipv6: 28 } as const;
export type AddressType = (typeof AddressType)[keyof typeof AddressType];

const CLASS_IN = 1;
const FLAG_RECURSION_DESIRED = 0x0100;
const MAX_LABEL_SIZE = 63;
/** Bytes of a name as it stands in a message, its last, empty label included. */
const MAX_NAME_SIZE = 255;

/**
 * The query for a name's A records, or AAAA records.
 *
 * @param name in ASCII, with or without a dot at its end
 * @param id 16 random bits
 * @returns null for what cannot be a host's name
 */
export function addressQuery(
  name: string,
  id: number,
  type: AddressType = AddressType.ipv4,
): Uint8Array<ArrayBuffer> | null {
  const labels = name.replace(/\.$/, "").split(".").map((label) => new TextEncoder().encode(label));
  const size = labels.reduce((sum, { length }) => sum + 1 + length, 1);
  if (size > MAX_NAME_SIZE) return null;
  if (labels.some(({ length }) => length === 0 || length > MAX_LABEL_SIZE)) return null;
  const query = new Uint8Array(HEADER_SIZE + size + 4);
  const view = new DataView(query.buffer);
  view.setUint16(0, id);
  view.setUint16(2, FLAG_RECURSION_DESIRED);
  view.setUint16(4, 1);
  let at = HEADER_SIZE;
  for (const label of labels) {
    query[at] = label.length;
    query.set(label, at + 1);
    at += 1 + label.length;
  }
  view.setUint16(at + 1, type);
  view.setUint16(at + 3, CLASS_IN);
  return query;
}
