/** Listening sockets of this process: which descriptor one has, and whether connections wait in it to be accepted. */
import { check } from "../errno.ts";
import type { Libc } from "../libc.ts";
import { AF_INET, AF_INET6, AF_UNIX, SOL_SOCKET } from "../socket_constants.ts";

const SO_ACCEPTCONN = 30;
/** `struct sockaddr_storage`; the port of IPv4 and IPv6 is where a local socket's path begins. */
const ADDRESS_SIZE = 128;
const PORT_OFFSET = 2;
const PATH_OFFSET = 2;
/** `struct pollfd { int fd; short events; short revents; }` */
const POLLFD_SIZE = 8;
const EVENTS_OFFSET = 4;
const POLLIN = 1;

/**
 * The descriptor of the socket of this process that listens at a place; null where none does.
 *
 * @param place a TCP port, host order, or the path of a local socket
 * @throws {Error} where descriptors have run out
 */
export function listeningSocket(libc: Libc, place: number | string): number | null {
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    const fd = Number(name);
    if (isListening(libc, fd) && placeOf(libc, fd) === place) return fd;
  }
  return null;
}

/** Whether a connection waits in a listening socket to be accepted (listen(2)). It takes no descriptor to ask. */
export function hasWaiting(libc: Libc, fd: number): boolean {
  const pollfd = new DataView(new ArrayBuffer(POLLFD_SIZE));
  pollfd.setInt32(0, fd, true);
  pollfd.setInt16(EVENTS_OFFSET, POLLIN, true);
  const count = libc.symbols.poll(new Uint8Array(pollfd.buffer), 1n, 0);
  return check(libc, count, "ask whether connections wait") > 0;
}

function isListening(libc: Libc, fd: number): boolean {
  const value = new Uint8Array(4);
  const length = new Uint8Array(Uint32Array.of(value.length).buffer);
  // What is no socket has no such option.
  return libc.symbols.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, value, length) === 0 &&
    value[0] !== 0;
}

function placeOf(libc: Libc, fd: number): number | string | null {
  const address = new Uint8Array(ADDRESS_SIZE);
  const size = Uint32Array.of(ADDRESS_SIZE);
  if (libc.symbols.getsockname(fd, address, new Uint8Array(size.buffer)) !== 0) return null;
  const view = new DataView(address.buffer);
  switch (view.getUint16(0, true)) {
    case AF_INET:
    case AF_INET6:
      return view.getUint16(PORT_OFFSET);
    case AF_UNIX: {
      const path = address.subarray(PATH_OFFSET, size[0]);
      const end = path.indexOf(0);
      return new TextDecoder().decode(end < 0 ? path : path.subarray(0, end));
    }
    default:
      return null;
  }
}
