/**
 * Mesh messages: the frame of what gateways of a fleet send each other.
 *
 * They are the inside of a transport message between two gateways, authenticated and safe from replay: who has sent one
 * is known by that. They begin with a byte that neither a packet begins with nor a control message between the ends of
 * a tunnel (lib/core/wireguard/EXTENSIONS.md), and may have padding behind them, whose length names their lane
 * (lanes.ts).
 *
 * ```text
 *  0  one                      1
 *  1  kind                     1
 *  2  length of the body       2, big-endian, as all numbers are
 *  4  body
 * ```
 */

/** What a mesh message is; one of another kind is a later version's. */
export const MeshKind = {
  heartbeat: 16,
  /** A client's datagram that came to the wrong gateway (misdirected.ts). */
  datagram: 17,
  /** A packet for a client of the gateway that gets it; the body is the packet. */
  packet: 18,
  /** The same of a client's, which answers what the gateway that gets it has handed over so. */
  answer: 19,
  flows: 21,
  /** Where peers are, and whose (peer_places.ts). */
  places: 22,
} as const;

/** Where the body begins. */
export const FRAME_SIZE = 4;
const MARK = 1;
const KIND_OFFSET = 1;
const LENGTH_OFFSET = 2;

/** Writes the frame of a body of `size` bytes, up to 65,535. */
export function writeFrame(view: DataView, offset: number, kind: number, size: number): void {
  view.setUint8(offset, MARK);
  view.setUint8(offset + KIND_OFFSET, kind);
  view.setUint16(offset + LENGTH_OFFSET, size);
}

/** The kind of the message in these bytes, whatever is behind it; 0 for none of ours, or one that is cut short. */
export function meshKind(view: DataView, offset: number, length: number): number {
  if (length < FRAME_SIZE || view.getUint8(offset) !== MARK) return 0;
  if (meshBodySize(view, offset) > length - FRAME_SIZE) return 0;
  return view.getUint8(offset + KIND_OFFSET);
}

/** Bytes of the body of a message that `meshKind()` knows. */
export function meshBodySize(view: DataView, offset: number): number {
  return view.getUint16(offset + LENGTH_OFFSET);
}
