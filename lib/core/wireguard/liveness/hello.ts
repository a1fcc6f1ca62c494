/**
 * Hello: what an end of ours says of itself right after a handshake, and the other in answer to it
 * (lib/core/wireguard/EXTENSIONS.md).
 *
 * ```text
 *  body, behind the frame of control_message.ts
 *  4  version                  1, the highest that the sender speaks
 *  5  role                     1: 1 client, 2 server
 *  6  zero                     2
 *  8  number                   4, the answer repeats the hello's
 * 12  fields: type 1, length 1, value
 * ```
 *
 * Fields that are not known are skipped, and so is what a known one has behind the bytes that are known. The peer is
 * authenticated and may be hostile all the same: nothing here is more than its word about itself.
 */
import type { Memory } from "../../wire/memory.ts";
import { IPV6_SIZE, ipv6At, ipv6Bytes, isIpv6 } from "../../wire/host_address.ts";
import type { SocketAddress } from "../../wire/socket_address.ts";
import { BODY_OFFSET, bodySize, type ControlKind, frame } from "./control_message.ts";

/** The version that this program speaks. */
export const HELLO_VERSION = 1;

/** What an end can do, a bit each. */
const Capability = {
  heartbeat: 1 << 0,
  pathProbe: 1 << 1,
  goodbye: 1 << 2,
} as const;

/** All that this program can. */
export const CAPABILITIES: number = Capability.heartbeat | Capability.pathProbe |
  Capability.goodbye;

export type PeerRole = "client" | "server";

export interface Hello {
  readonly version: number;
  /** Null for a role of a later version. */
  readonly role: PeerRole | null;
  /** Ties an answer to its hello. */
  readonly number: number;
  readonly capabilities: number;
  /** ms between two messages that the sender asks for; 0 for no wish. */
  readonly heartbeatInterval: number;
  /** Name and version of the program, printable ASCII; empty where nothing fit to print was said. */
  readonly software: string;
  /** Where the receiver is, as the sender sees it, host order; null where it was not said. */
  readonly seenAt: SocketAddress | null;
  /**
   * Bytes of the longest packet inside that the sender believes to fit the path to the receiver; 0 where it was not
   * said.
   */
  readonly mtu: number;
  /** Unix ms by the sender's clock; 0 where it was not said. */
  readonly time: number;
  /**
   * Drawn by the sender's program when it starts: tells two hosts with one key from each other; 0 where it was not
   * said.
   */
  readonly instance: number;
}

const ROLES: readonly (PeerRole | null)[] = [null, "client", "server"];

const VERSION_OFFSET = BODY_OFFSET;
const ROLE_OFFSET = BODY_OFFSET + 1;
const ZERO_OFFSET = BODY_OFFSET + 2;
const NUMBER_OFFSET = BODY_OFFSET + 4;
const FIELDS_OFFSET = BODY_OFFSET + 8;
const FIXED_SIZE = FIELDS_OFFSET - BODY_OFFSET;
const FIELD_HEADER_SIZE = 2;

const Field = {
  capabilities: 1,
  heartbeatInterval: 2,
  software: 3,
  seenAt: 4,
  mtu: 5,
  time: 6,
  instance: 7,
} as const;

/** Bytes of the name of a program that are sent, and taken. */
const MAX_SOFTWARE_SIZE = 32;
/** Later than this no clock is, and no date can be made of it. Unix ms. */
const MAX_TIME = 8_640_000_000_000_000;

/** Writes a hello, or the answer to one; returns its length in bytes. */
export function writeHello(
  memory: Memory,
  offset: number,
  kind: typeof ControlKind.hello | typeof ControlKind.helloAnswer,
  hello: Hello,
): number {
  const { view } = memory;
  view.setUint8(offset + VERSION_OFFSET, hello.version);
  view.setUint8(offset + ROLE_OFFSET, ROLES.indexOf(hello.role));
  view.setUint16(offset + ZERO_OFFSET, 0);
  view.setUint32(offset + NUMBER_OFFSET, hello.number);
  let at = offset + FIELDS_OFFSET;
  /** Puts the header of a field; its value begins at what is returned. */
  const field = (type: number, size: number): number => {
    view.setUint8(at, type);
    view.setUint8(at + 1, size);
    const value = at + FIELD_HEADER_SIZE;
    at = value + size;
    return value;
  };
  view.setUint32(field(Field.capabilities, 4), hello.capabilities);
  view.setUint32(field(Field.heartbeatInterval, 4), hello.heartbeatInterval);
  const software = new TextEncoder().encode(hello.software).subarray(0, MAX_SOFTWARE_SIZE);
  memory.bytes.set(software, field(Field.software, software.length));
  if (hello.seenAt !== null) {
    const { address, port } = hello.seenAt;
    const size = isIpv6(address) ? IPV6_SIZE : 4;
    const value = field(Field.seenAt, size + 2);
    if (isIpv6(address)) memory.bytes.set(ipv6Bytes(address), value);
    else view.setUint32(value, address);
    view.setUint16(value + size, port);
  }
  view.setUint16(field(Field.mtu, 2), hello.mtu);
  const time = Math.round(hello.time);
  const value = field(Field.time, 8);
  view.setUint32(value, Math.floor(time / 2 ** 32));
  view.setUint32(value + 4, time % 2 ** 32);
  view.setUint32(field(Field.instance, 4), hello.instance);
  return frame(memory, offset, kind, at - offset - BODY_OFFSET);
}

/** Reads a hello, or the answer to one, of `length` bytes; null where it is cut off or a field leaves it. */
export function readHello(view: DataView, offset: number, length: number): Hello | null {
  const size = bodySize(view, offset, length);
  if (size < FIXED_SIZE) return null;
  const version = view.getUint8(offset + VERSION_OFFSET);
  if (version === 0) return null;
  let [capabilities, heartbeatInterval, software, mtu, time, instance] = [0, 0, "", 0, 0, 0];
  let seenAt: Hello["seenAt"] = null;
  const end = offset + BODY_OFFSET + size;
  for (let at = offset + FIELDS_OFFSET; at < end;) {
    if (end - at < FIELD_HEADER_SIZE) return null;
    const fieldSize = view.getUint8(at + 1);
    const value = at + FIELD_HEADER_SIZE;
    if (fieldSize > end - value) return null;
    switch (view.getUint8(at)) {
      case Field.capabilities:
        if (fieldSize >= 4) capabilities = view.getUint32(value);
        break;
      case Field.heartbeatInterval:
        if (fieldSize >= 4) heartbeatInterval = view.getUint32(value);
        break;
      case Field.software:
        software = printable(view, value, fieldSize);
        break;
      case Field.seenAt:
        if (fieldSize === 6) {
          seenAt = { address: view.getUint32(value), port: view.getUint16(value + 4) };
        } else if (fieldSize === IPV6_SIZE + 2) {
          const port = view.getUint16(value + IPV6_SIZE);
          seenAt = { address: ipv6At(view, value), port };
        }
        break;
      case Field.mtu:
        if (fieldSize >= 2) mtu = view.getUint16(value);
        break;
      case Field.time:
        if (fieldSize >= 8) time = wallTime(view, value);
        break;
      case Field.instance:
        if (fieldSize >= 4) instance = view.getUint32(value);
        break;
    }
    at = value + fieldSize;
  }
  return {
    version,
    role: ROLES[view.getUint8(offset + ROLE_OFFSET)] ?? null,
    number: view.getUint32(offset + NUMBER_OFFSET),
    capabilities,
    heartbeatInterval,
    software,
    seenAt,
    mtu,
    time,
    instance,
  };
}

/** The name goes to terminals and logs: of control characters, quotes and whatever is not ASCII nothing gets there. */
function printable(view: DataView, at: number, size: number): string {
  let text = "";
  for (let i = 0; i < Math.min(size, MAX_SOFTWARE_SIZE); i++) {
    const code = view.getUint8(at + i);
    const isFit = code === 0x20 || (code >= 0x2b && code <= 0x39) ||
      (code >= 0x41 && code <= 0x5a) || code === 0x5f || (code >= 0x61 && code <= 0x7a);
    if (!isFit) return "";
    text += String.fromCharCode(code);
  }
  return text;
}

function wallTime(view: DataView, at: number): number {
  const time = view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
  return time <= MAX_TIME ? time : 0;
}
