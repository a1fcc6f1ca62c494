/**
 * Netlink messages as bytes: the header, the fixed struct behind it, and attributes with nesting (RFC 3549 section 2.2
 * and `include/uapi/linux/netlink.h`). It knows no message type of any protocol.
 */
import { alignTo, struct } from "../layout.ts";
import type { Struct } from "../layout.ts";

/**
 * ```c
 * struct nlmsghdr { __u32 nlmsg_len; __u16 nlmsg_type; __u16 nlmsg_flags; __u32 nlmsg_seq; __u32 nlmsg_pid; };
 * ```
 */
export const NLMSGHDR = struct({
  length: "u32",
  type: "u16",
  flags: "u16",
  sequence: "u32",
  port: "u32",
});

/** ```c struct nlattr { __u16 nla_len; __u16 nla_type; }; ``` `nla_len` counts these four bytes. */
const NLATTR = struct({ length: "u16", type: "u16" });

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
/** The dump was not consistent: the table changed while it was read. */
export const NLM_F_DUMP_INTR = 0x10;
/** On a get request: `NLM_F_ROOT | NLM_F_MATCH`. */
export const NLM_F_DUMP = 0x300;
/** On a new request: change the object that exists. */
export const NLM_F_REPLACE = 0x100;
/** On a new request: fail with EEXIST where the object exists. */
export const NLM_F_EXCL = 0x200;
/** On a new request: make the object where it does not exist. */
export const NLM_F_CREATE = 0x400;
/** On an acknowledgement: the request's payload is not repeated in it. */
export const NLM_F_CAPPED = 0x100;
/** On an acknowledgement: attributes follow, see `NLMSGERR_ATTR_MSG`. */
export const NLM_F_ACK_TLVS = 0x200;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

/** Header, struct and attributes all start at multiples of 4 (`NLMSG_ALIGNTO`, `NLA_ALIGNTO`). */
const ALIGNMENT = 4;
/** The upper two bits of an attribute's type are `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`. */
export const ATTRIBUTE_TYPE_MASK = 0x3fff;
const NLA_F_NESTED = 0x8000;

/** A message as it came: `body` is what follows the header. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly body: Uint8Array;
}

/** Writes one message from front to back; every method returns the builder. */
export class MessageBuilder {
  readonly #type: number;
  readonly #flags: number;
  #bytes = new Uint8Array(256);
  #length = NLMSGHDR.size;

  constructor(type: number, flags: number) {
    this.#type = type;
    this.#flags = flags;
  }

  /** Appends a struct, followed by padding to a multiple of 4. */
  struct<Name extends string>(
    layout: Struct<Name>,
    values: Readonly<Partial<Record<Name, number>>>,
  ): this {
    const at = this.#extend(layout.size);
    layout.write(this.#bytes, at, values);
    return this;
  }

  /** Appends an attribute with this payload. */
  bytes(type: number, payload: Uint8Array): this {
    const at = this.#extend(NLATTR.size + payload.length);
    NLATTR.write(this.#bytes, at, { length: NLATTR.size + payload.length, type });
    this.#bytes.set(payload, at + NLATTR.size);
    return this;
  }

  /** Appends an attribute of one byte. */
  u8(type: number, value: number): this {
    return this.bytes(type, Uint8Array.of(value));
  }

  /** Appends an attribute of four bytes in host order. */
  u32(type: number, value: number): this {
    return this.bytes(type, new Uint8Array(Uint32Array.of(value).buffer));
  }

  /** Appends an attribute of two bytes in network order. */
  be16(type: number, value: number): this {
    return this.bytes(type, Uint8Array.of(value >>> 8, value));
  }

  /** Appends an attribute of four bytes in network order, as netfilter has its numbers. */
  be32(type: number, value: number): this {
    return this.bytes(type, Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value));
  }

  /** Appends an attribute with the text and a NUL behind it. */
  string(type: number, text: string): this {
    return this.bytes(type, new TextEncoder().encode(`${text}\0`));
  }

  /** Appends an attribute that holds whatever `fill` appends. */
  nested(type: number, fill: (builder: this) => void): this {
    const at = this.#extend(NLATTR.size);
    fill(this);
    NLATTR.write(this.#bytes, at, { length: this.#length - at, type: type | NLA_F_NESTED });
    return this;
  }

  /** The finished message; `extraFlags` are added to the flags given at the start. */
  finish(sequence: number, extraFlags: number): Uint8Array<ArrayBuffer> {
    const message = this.#bytes.slice(0, this.#length);
    NLMSGHDR.write(message, 0, {
      length: this.#length,
      type: this.#type,
      flags: this.#flags | extraFlags,
      sequence,
    });
    return message;
  }

  /** Adds `length` zero bytes and padding; gives the offset where they start. */
  #extend(length: number): number {
    const at = this.#length;
    this.#length = alignTo(at + length, ALIGNMENT);
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(2 * this.#length);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    return at;
  }
}

/**
 * The messages of one datagram; their bodies are views of `datagram`.
 *
 * @throws {Error} when a length does not fit, which the kernel never sends
 */
export function readMessages(datagram: Uint8Array): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  let at = 0;
  while (at + NLMSGHDR.size <= datagram.length) {
    const header = NLMSGHDR.read(datagram, at);
    const end = at + header.length;
    if (header.length < NLMSGHDR.size || end > datagram.length) {
      throw new Error(
        `Cannot read a netlink message: its length is ${header.length} with ${
          datagram.length - at
        } bytes left`,
      );
    }
    const body = datagram.subarray(at + NLMSGHDR.size, end);
    messages.push({ type: header.type, flags: header.flags, sequence: header.sequence, body });
    at = alignTo(end, ALIGNMENT);
  }
  return messages;
}

/** The attributes at the end of a message, or inside another attribute. Where a type occurs twice the last counts. */
export class Attributes {
  readonly #payloads = new Map<number, Uint8Array>();

  /**
   * @param bytes what holds them
   * @param at the offset of the first, which is the size of the struct before it
   * @throws {Error} when a length does not fit, which the kernel never sends
   */
  constructor(bytes: Uint8Array, at: number) {
    for (let next = alignTo(at, ALIGNMENT); next + NLATTR.size <= bytes.length;) {
      const { length, type } = NLATTR.read(bytes, next);
      if (length < NLATTR.size || next + length > bytes.length) {
        throw new Error(
          `Cannot read a netlink attribute: its length is ${length} with ${
            bytes.length - next
          } bytes left`,
        );
      }
      this.#payloads.set(
        type & ATTRIBUTE_TYPE_MASK,
        bytes.subarray(next + NLATTR.size, next + length),
      );
      next = alignTo(next + length, ALIGNMENT);
    }
  }

  /** The payload, a view; null where there is no such attribute. */
  bytes(type: number): Uint8Array | null {
    return this.#payloads.get(type) ?? null;
  }

  /** A number of four bytes in host order; null where there is none. */
  u32(type: number): number | null {
    const payload = this.bytes(type);
    if (payload === null) return null;
    if (payload.length !== 4) {
      throw new Error(`Cannot read netlink attribute ${type}: ${payload.length} bytes, expected 4`);
    }
    return new DataView(payload.buffer, payload.byteOffset).getUint32(0, true);
  }

  /** The text up to the first NUL; null where there is none. */
  string(type: number): string | null {
    const payload = this.bytes(type);
    return payload === null ? null : textOf(payload);
  }

  /** The attributes inside each element of a list, in their order; none where there is no such attribute. */
  list(type: number): Attributes[] {
    return this.#elements(type).map((payload) => new Attributes(payload, 0));
  }

  /** The texts of a list, in their order; none where there is no such attribute. */
  strings(type: number): string[] {
    return this.#elements(type).map(textOf);
  }

  #elements(type: number): Uint8Array[] {
    const payload = this.bytes(type);
    if (payload === null) return [];
    const elements: Uint8Array[] = [];
    for (let at = 0; at + NLATTR.size <= payload.length;) {
      const { length } = NLATTR.read(payload, at);
      if (length < NLATTR.size || at + length > payload.length) {
        throw new Error(
          `Cannot read a list of netlink attributes: an element's length is ${length} with ${
            payload.length - at
          } bytes left`,
        );
      }
      elements.push(payload.subarray(at + NLATTR.size, at + length));
      at = alignTo(at + length, ALIGNMENT);
    }
    return elements;
  }

  /** The attributes inside an attribute; null where there is none. */
  nested(type: number): Attributes | null {
    const payload = this.bytes(type);
    return payload === null ? null : new Attributes(payload, 0);
  }
}

function textOf(payload: Uint8Array): string {
  const end = payload.indexOf(0);
  return new TextDecoder().decode(end < 0 ? payload : payload.subarray(0, end));
}
