/** IPv4 socket addresses: `struct sockaddr_in` to bytes, and the port that a socket is bound to. */
import { check } from "../errno.ts";
import type { Libc } from "../libc.ts";
import { AF_INET } from "../socket_constants.ts";

/** `struct sockaddr_in { u16 sin_family; be16 sin_port; be32 sin_addr; u8 sin_zero[8]; }` */
export const SOCKADDR_IN_SIZE = 16;
export const SOCKADDR_IN_PORT = 2;
export const SOCKADDR_IN_ADDRESS = 4;

/** The bytes of an address and a port, both in host order; address 0 is any, port 0 is none or any. */
export function socketAddress(
  { address = 0, port = 0 }: { readonly address?: number; readonly port?: number },
): Uint8Array<ArrayBuffer> {
  const name = new DataView(new ArrayBuffer(SOCKADDR_IN_SIZE));
  name.setUint16(0, AF_INET, true);
  name.setUint16(SOCKADDR_IN_PORT, port);
  name.setUint32(SOCKADDR_IN_ADDRESS, address);
  return new Uint8Array(name.buffer);
}

/** The port that a socket is bound to. */
export function boundPort(libc: Libc, fd: number): number {
  const address = new Uint8Array(SOCKADDR_IN_SIZE);
  const length = new Uint8Array(Uint32Array.of(SOCKADDR_IN_SIZE).buffer);
  check(libc, libc.symbols.getsockname(fd, address, length), "read the UDP socket's port");
  return new DataView(address.buffer).getUint16(SOCKADDR_IN_PORT);
}
