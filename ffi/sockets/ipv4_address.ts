/** Socket addresses: `struct sockaddr_in` and `sockaddr_in6` to bytes, and the port that a socket is bound to. */
import { check } from "../errno.ts";
import type { Libc } from "../libc.ts";
import { AF_INET, AF_INET6 } from "../socket_constants.ts";
import { SOCKADDR_IN6_ADDRESS, SOCKADDR_IN6_SCOPE, SOCKADDR_IN6_SIZE } from "./ipv6_address.ts";

/** `struct sockaddr_in { u16 sin_family; be16 sin_port; be32 sin_addr; u8 sin_zero[8]; }` */
export const SOCKADDR_IN_SIZE = 16;
export const SOCKADDR_IN_PORT = 2;
export const SOCKADDR_IN_ADDRESS = 4;

/** An address and a port: IPv4 and port in host order, the 16 bytes of IPv6 in network order. */
export interface SocketName {
  readonly address?: number | Uint8Array;
  readonly port?: number;
  /** Index of the interface that a link-local address of IPv6 is on. */
  readonly link?: number;
}

/** The bytes of an address and a port; address 0 is any, port 0 is none or any. */
export function socketAddress(
  { address = 0, port = 0, link = 0 }: SocketName,
): Uint8Array<ArrayBuffer> {
  if (typeof address !== "number") {
    const name = new Uint8Array(SOCKADDR_IN6_SIZE);
    name.set(address, SOCKADDR_IN6_ADDRESS);
    const view = new DataView(name.buffer);
    view.setUint16(0, AF_INET6, true);
    view.setUint16(SOCKADDR_IN_PORT, port);
    view.setUint32(SOCKADDR_IN6_SCOPE, link, true);
    return name;
  }
  const name = new DataView(new ArrayBuffer(SOCKADDR_IN_SIZE));
  name.setUint16(0, AF_INET, true);
  name.setUint16(SOCKADDR_IN_PORT, port);
  name.setUint32(SOCKADDR_IN_ADDRESS, address);
  return new Uint8Array(name.buffer);
}

/** The port that a socket is bound to. */
export function boundPort(libc: Libc, fd: number): number {
  const address = new Uint8Array(SOCKADDR_IN6_SIZE);
  const length = new Uint8Array(Uint32Array.of(SOCKADDR_IN6_SIZE).buffer);
  check(libc, libc.symbols.getsockname(fd, address, length), "read the UDP socket's port");
  return new DataView(address.buffer).getUint16(SOCKADDR_IN_PORT);
}
