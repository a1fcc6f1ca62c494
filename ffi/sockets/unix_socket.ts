/** Owns what Deno's local sockets do not tell: who listens behind a socket's file, and who is at the other end. */
import { check, ECONNREFUSED, ENOENT } from "../errno.ts";
import { cString, type Libc } from "../libc.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** `struct sockaddr_un { u16 sun_family; char sun_path[108]; }` */
const SUN_PATH_OFFSET = 2;
const SUN_PATH_SIZE = 108;
/** `struct ucred { pid_t pid; uid_t uid; gid_t gid; }` */
const UCRED_SIZE = 12;
const UCRED_UID_OFFSET = 4;

/**
 * The id of the process that listens behind the file of a local socket; null where none does. 0 where that cannot be told,
 * as for want of permission, or of a process that this one cannot see.
 *
 * @throws {RangeError} for a path that is too long for a socket
 */
export function listenerOf(libc: Libc, path: string): number | null {
  const name = cString(path);
  if (name.length > SUN_PATH_SIZE) {
    throw new RangeError(`Cannot use ${path} as a socket: the path is longer than 107 bytes`);
  }
  const { symbols } = libc;
  const fd = check(
    libc,
    symbols.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
    "open a local socket",
  );
  try {
    const address = new Uint8Array(SUN_PATH_OFFSET + name.length);
    new DataView(address.buffer).setUint16(0, AF_UNIX, true);
    address.set(name, SUN_PATH_OFFSET);
    if (symbols.connect(fd, address, address.length) === 0) return credentials(libc, fd).pid;
    const errno = libc.errno();
    return errno === ECONNREFUSED || errno === ENOENT ? null : 0;
  } finally {
    symbols.close(fd);
  }
}

/**
 * The user that the process at the other end of a local stream socket had when it connected.
 *
 * @throws {SystemCallError} EBADF, ENOTSOCK for what is no such socket
 */
export function peerUser(libc: Libc, fd: number): number {
  return credentials(libc, fd).user;
}

/** Of whoever connected; or, for whoever connects, of whoever listens. */
function credentials(libc: Libc, fd: number): { readonly pid: number; readonly user: number } {
  const value = new Uint8Array(UCRED_SIZE);
  const length = new Uint8Array(Uint32Array.of(UCRED_SIZE).buffer);
  const result = libc.symbols.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value, length);
  check(libc, result, "ask for the peer's credentials");
  const view = new DataView(value.buffer);
  return { pid: view.getInt32(0, true), user: view.getUint32(UCRED_UID_OFFSET, true) };
}
