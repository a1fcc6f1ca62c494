/**
 * IP addresses as netlink has them: bytes in network order, four for IPv4, sixteen for IPv6, so that one function
 * serves both families and the length says which it is.
 */
import { AF_INET, AF_INET6 } from "../socket_constants.ts";

/** An address in network order: 4 bytes are IPv4, 16 are IPv6. */
export type IpAddress = Uint8Array;

/** A network: an address and the count of its leading bits that matter. */
export interface IpPrefix {
  readonly address: IpAddress;
  /** 0 to 32, or to 128. */
  readonly length: number;
}

/** The two families that carry IP: `AF_INET`, `AF_INET6`. */
export type AddressFamily = typeof AF_INET | typeof AF_INET6;

/** The family that an address's length gives. */
export function familyOf(address: IpAddress): AddressFamily {
  if (address.length === 4) return AF_INET;
  if (address.length === 16) return AF_INET6;
  throw new TypeError(`Cannot use an address of ${address.length} bytes: IPv4 has 4, IPv6 has 16`);
}

/** Four bytes from the number that the rest of the program uses for an IPv4 address (host order). */
export function ipv4FromNumber(address: number): IpAddress {
  return Uint8Array.of(address >>> 24, address >>> 16, address >>> 8, address);
}

/** The number, in host order, of a four-byte address. */
export function ipv4ToNumber(address: IpAddress): number {
  if (familyOf(address) !== AF_INET) {
    throw new TypeError(`Cannot use ${formatIp(address)} as IPv4: it has 16 bytes`);
  }
  return new DataView(address.buffer, address.byteOffset).getUint32(0);
}

/** The prefix that matches everything in a family: the destination of a default route. */
export function defaultPrefix(family: AddressFamily): IpPrefix {
  return { address: new Uint8Array(family === AF_INET ? 4 : 16), length: 0 };
}

/** Dotted for IPv4; for IPv6 the one form that RFC 5952 section 4 allows. */
export function formatIp(address: IpAddress): string {
  if (familyOf(address) === AF_INET) return address.join(".");
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(address[i] << 8 | address[i + 1]);
  const zeros = longestZeroRun(groups);
  const hex = (group: number) => group.toString(16);
  if (zeros.length < 2) return groups.map(hex).join(":");
  const before = groups.slice(0, zeros.start).map(hex).join(":");
  const after = groups.slice(zeros.start + zeros.length).map(hex).join(":");
  return `${before}::${after}`;
}

/** As in `10.0.0.0/8`. */
export function formatPrefix(prefix: IpPrefix): string {
  return `${formatIp(prefix.address)}/${prefix.length}`;
}

/**
 * The address that `text` names: dotted decimal, or IPv6 in hexadecimal groups (no dotted tail, no zone).
 *
 * @throws {TypeError} when it is neither
 */
export function parseIp(text: string): IpAddress {
  const address = text.includes(":") ? parseIpv6(text) : parseIpv4(text);
  if (address === null) throw new TypeError(`Cannot read "${text}" as an IP address`);
  return address;
}

/**
 * The network that `text` names, as in `10.0.0.0/8`; without a slash the whole address counts. Bits behind
 * the prefix stay as they are, since an interface's address has them.
 *
 * @throws {TypeError} when the address or the length is wrong
 */
export function parsePrefix(text: string): IpPrefix {
  const [addressText = "", lengthText, ...rest] = text.split("/");
  const address = parseIp(addressText);
  const bits = address.length * 8;
  if (lengthText === undefined) return { address, length: bits };
  const length = /^\d{1,3}$/.test(lengthText) ? Number(lengthText) : bits + 1;
  if (length > bits || rest.length > 0) {
    throw new TypeError(`Cannot read "${text}" as a network: the length must be 0 to ${bits}`);
  }
  return { address, length };
}

function parseIpv4(text: string): IpAddress | null {
  const parts = text.split(".");
  if (parts.length !== 4) return null;
  if (!parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)) return null;
  return Uint8Array.from(parts, Number);
}

function parseIpv6(text: string): IpAddress | null {
  const [head = "", tail, ...rest] = text.split("::");
  if (rest.length > 0) return null;
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const missing = 8 - before.length - after.length;
  // "::" stands for at least one group.
  if (tail === undefined ? missing !== 0 : missing < 1) return null;
  const groups = [...before, ...new Array<string>(missing).fill("0"), ...after];
  if (!groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return null;
  const address = new Uint8Array(16);
  const view = new DataView(address.buffer);
  groups.forEach((group, i) => view.setUint16(2 * i, parseInt(group, 16)));
  return address;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let longest = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > longest.length) longest = { start, length };
  }
  return longest;
}
