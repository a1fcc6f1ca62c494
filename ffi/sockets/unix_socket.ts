/** Local stream sockets: which process listens behind a socket's file, and which user is at the other end. */
import { check, ECONNREFUSED, ENOENT } from "../errno.ts";
import type { Libc } from "../libc.ts";
import {
  AF_UNIX,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../socket_constants.ts";
import { unixAddress } from "./unix_address.ts";

const SO_PEERCRED = 17;
const SO_PEERGROUPS = 59;
/** NGROUPS_MAX of Linux. */
const MAX_GROUPS = 65_536;
/** `struct ucred { pid_t pid; uid_t uid; gid_t gid; }` */
const UCRED_SIZE = 12;
const UCRED_UID_OFFSET = 4;
const UCRED_GID_OFFSET = 8;

/**
 * The id of the process that listens behind the file of a local socket; null where none does. 0 where that cannot be
 * told, because of permissions or of a process in another namespace.
 *
 * @throws {RangeError} for a path that no socket can have
 */
export function listenerOf(libc: Libc, path: string): number | null {
  const address = unixAddress(path);
  const { symbols } = libc;
  const fd = check(
    libc,
    symbols.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
    "open a local socket",
  );
  try {
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

/** The groups that it was in, its first one among them. @throws {SystemCallError} the same */
export function peerGroups(libc: Libc, fd: number): readonly number[] {
  const value = new Uint8Array(4 * MAX_GROUPS);
  const size = Uint32Array.of(value.length);
  const length = new Uint8Array(size.buffer);
  const result = libc.symbols.getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, value, length);
  check(libc, result, "ask for the peer's groups");
  const others = new Uint32Array(value.buffer, 0, size[0]! / 4);
  return [credentials(libc, fd).group, ...others];
}

/** Of the end that connected; the end that connected gets those of the listener. */
function credentials(
  libc: Libc,
  fd: number,
): { readonly pid: number; readonly user: number; readonly group: number } {
  const value = new Uint8Array(UCRED_SIZE);
  const length = new Uint8Array(Uint32Array.of(UCRED_SIZE).buffer);
  const result = libc.symbols.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value, length);
  check(libc, result, "ask for the peer's credentials");
  const view = new DataView(value.buffer);
  return {
    pid: view.getInt32(0, true),
    user: view.getUint32(UCRED_UID_OFFSET, true),
    group: view.getUint32(UCRED_GID_OFFSET, true),
  };
}
