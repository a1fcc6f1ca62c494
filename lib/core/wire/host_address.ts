/**
 * Host addresses: an address outside the tunnel of either family, as one value.
 *
 * IPv4 is a number, as everywhere; IPv6 its one canonical text (RFC 5952). So equal addresses are `===`, keys of a map,
 * and the same behind JSON; on the packet path they are bytes of a path's slot and nothing else. An IPv4 address that
 * is mapped into IPv6 is none of IPv6: sockets take it for what it is, and text with it is refused.
 */
import { formatIpv4, parseIpv4 } from "./ipv4_text.ts";

/** An IPv6 address in canonical text, without brackets or zone. */
export type Ipv6Text = string;

/** A uint32 in host order, or an IPv6 address. */
export type HostAddress = number | Ipv6Text;

/** Bytes of an IPv6 address. */
export const IPV6_SIZE = 16;

/** Whether an address is one of IPv6. */
export function isIpv6(address: HostAddress): address is Ipv6Text {
  return typeof address === "string";
}

/** Dotted decimal, or as RFC 5952 has it. */
export function formatAddress(address: HostAddress): string {
  return isIpv6(address) ? address : formatIpv4(address);
}

/** As in `198.51.100.7:51820` and `[2001:db8::7]:51820`. */
export function formatSocketAddress(
  { address, port }: { readonly address: HostAddress; readonly port: number },
): string {
  return `${bracketed(formatAddress(address))}:${port}`;
}

/** A host as it stands in front of a port: an IPv6 address in brackets. */
export function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

/** The address that a text without brackets is; null for any other text, and for IPv4 mapped into IPv6. */
export function parseAddress(text: string): HostAddress | null {
  const ipv4 = parseIpv4(text);
  if (ipv4 !== null) return ipv4;
  const ipv6 = canonicalIpv6(text);
  return ipv6 === null || ipv6.startsWith("::ffff:") ? null : ipv6;
}

/** The one spelling of an IPv6 address (RFC 5952), or `null`. The URL standard's host parser knows it. */
export function canonicalIpv6(text: string): Ipv6Text | null {
  if (!/^[0-9A-Fa-f:.]{2,45}$/.test(text)) return null;
  return URL.parse(`http://[${text}]/`)?.hostname.slice(1, -1) ?? null;
}

/** The 4 or 16 bytes of an address, network order. */
export function addressBytes(address: HostAddress): Uint8Array<ArrayBuffer> {
  if (isIpv6(address)) return ipv6Bytes(address);
  return Uint8Array.of(address >>> 24, address >>> 16, address >>> 8, address);
}

/** An address as sockets take it: IPv4 as the number, IPv6 as its bytes. */
export function socketForm(address: HostAddress): number | Uint8Array<ArrayBuffer> {
  return isIpv6(address) ? ipv6Bytes(address) : address;
}

/** The 16 bytes of an address in canonical text. */
export function ipv6Bytes(address: Ipv6Text): Uint8Array<ArrayBuffer> {
  const [head = "", tail] = address.split("::");
  const before = groupsOf(head);
  const after = groupsOf(tail ?? "");
  const view = new DataView(new ArrayBuffer(IPV6_SIZE));
  before.forEach((group, i) => view.setUint16(2 * i, group));
  after.forEach((group, i) => view.setUint16(IPV6_SIZE - 2 * (after.length - i), group));
  return new Uint8Array(view.buffer);
}

function groupsOf(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => parseInt(group, 16));
}

/** The address of the 16 bytes at `at`. */
export function ipv6At(view: DataView, at: number): Ipv6Text {
  const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(at + 2 * i).toString(16));
  return canonicalIpv6(groups.join(":"))!;
}
