/**
 * WireGuard's four messages as bytes (https://www.wireguard.com/protocol/): types, offsets, sizes.
 *
 * ```text
 *  handshake initiation, 148 bytes          handshake response, 92 bytes
 *    0  type = 1, reserved = 0    4           0  type = 2, reserved = 0    4
 *    4  sender index              4           4  sender index              4
 *    8  ephemeral                32           8  receiver index            4
 *   40  static              32 + 16          12  ephemeral                32
 *   88  timestamp           12 + 16          44  empty                0 + 16
 *  116  mac1                     16          60  mac1                     16
 *  132  mac2                     16          76  mac2                     16
 *
 *  cookie reply, 64 bytes                   transport data, 32 bytes and more
 *    0  type = 3, reserved = 0    4           0  type = 4, reserved = 0    4
 *    4  receiver index            4           4  receiver index            4
 *    8  nonce                    24           8  counter                   8
 *   32  cookie              16 + 16          16  padded packet        n + 16
 * ```
 *
 * All numbers are little-endian. Type and reserved bytes together read as one little-endian uint32 that equals the
 * type.
 */

/** Every message starts with its type here: a little-endian uint32 whose upper three bytes are reserved and zero. */
export const MESSAGE_TYPE_OFFSET = 0;
/** Bytes of the type. */
export const TYPE_SIZE = 4;

export const MESSAGE_INITIATION = 1;
export const MESSAGE_RESPONSE = 2;
export const MESSAGE_COOKIE_REPLY = 3;
export const MESSAGE_TRANSPORT = 4;

/** Bytes of a Poly1305 tag. */
export const TAG_SIZE = 16;
/** Bytes of a public key, and of every other key here. */
export const KEY_SIZE = 32;
/** Bytes of a TAI64N timestamp. */
export const TIMESTAMP_SIZE = 12;
/** Bytes of mac1, mac2 and a cookie. */
export const MAC_SIZE = 16;
/** Bytes of the nonce of XChaCha20-Poly1305. */
export const COOKIE_NONCE_SIZE = 24;

export const INITIATION_SENDER_OFFSET = 4;
export const INITIATION_EPHEMERAL_OFFSET = 8;
export const INITIATION_STATIC_OFFSET = 40;
export const INITIATION_TIMESTAMP_OFFSET = 88;
export const INITIATION_MAC1_OFFSET = 116;
export const INITIATION_MAC2_OFFSET = 132;
export const INITIATION_SIZE = 148;

export const RESPONSE_SENDER_OFFSET = 4;
export const RESPONSE_RECEIVER_OFFSET = 8;
export const RESPONSE_EPHEMERAL_OFFSET = 12;
export const RESPONSE_EMPTY_OFFSET = 44;
export const RESPONSE_MAC1_OFFSET = 60;
export const RESPONSE_MAC2_OFFSET = 76;
export const RESPONSE_SIZE = 92;

export const COOKIE_REPLY_RECEIVER_OFFSET = 4;
export const COOKIE_REPLY_NONCE_OFFSET = 8;
export const COOKIE_REPLY_COOKIE_OFFSET = 32;
export const COOKIE_REPLY_SIZE = 64;

export const TRANSPORT_RECEIVER_OFFSET = 4;
/** The counter is a uint64: its low half stands here, its high half four bytes on. */
export const TRANSPORT_COUNTER_OFFSET = 8;
export const TRANSPORT_PACKET_OFFSET = 16;
/** What a transport message adds to the padded packet: header and tag. */
export const TRANSPORT_OVERHEAD = TRANSPORT_PACKET_OFFSET + TAG_SIZE;
/** The smallest transport message: an empty packet, which is a keepalive. */
export const TRANSPORT_MIN_SIZE = TRANSPORT_OVERHEAD;

/** Packets are padded to a multiple of this many bytes, so that lengths tell less. */
export const PADDING = 16;

/** The uint32 with type and reserved bytes; equals one of `MESSAGE_*` for a message that may be one of WireGuard's. */
export function messageType(view: DataView, offset: number): number {
  return view.getUint32(offset + MESSAGE_TYPE_OFFSET, true);
}

/** Whether a datagram of `length` bytes says that it is a transport message. */
export function isTransportMessage(view: DataView, offset: number, length: number): boolean {
  return length >= TYPE_SIZE && messageType(view, offset) === MESSAGE_TRANSPORT;
}

/**
 * Bytes of a packet of `length` bytes once padded with zeros to a multiple of 16, but never beyond `mtu`. A packet
 * longer than the MTU, which the path MTU may have shrunk below it, stays as it is.
 */
export function paddedSize(length: number, mtu: number): number {
  const padded = (length + PADDING - 1) & -PADDING;
  return padded <= mtu ? padded : length > mtu ? length : mtu;
}

/** Bytes of the transport message that carries a packet of `length` bytes, padding included. */
export function transportSize(length: number, mtu: number): number {
  return paddedSize(length, mtu) + TRANSPORT_OVERHEAD;
}
