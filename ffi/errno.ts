/**
 * Owns the names of Linux error numbers and the exception that a failed system call becomes.
 *
 * Numbers are those of `include/uapi/asm-generic/errno-base.h` and `errno.h` (x86-64 and arm64 alike).
 */
import type { Libc } from "./libc.ts";

export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const ENOTDIR = 20;
export const EINVAL = 22;
export const EPIPE = 32;
export const ELOOP = 40;
export const EMSGSIZE = 90;
export const EOPNOTSUPP = 95;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const ENETDOWN = 100;
export const ENETUNREACH = 101;
export const ENOBUFS = 105;
export const ECONNREFUSED = 111;
export const EHOSTUNREACH = 113;

const NAMES: Readonly<Record<number, readonly [name: string, meaning: string]>> = {
  [EPERM]: ["EPERM", "operation not permitted"],
  [ENOENT]: ["ENOENT", "no such file or directory"],
  [ESRCH]: ["ESRCH", "no such process"],
  [EINTR]: ["EINTR", "interrupted system call"],
  [EIO]: ["EIO", "input/output error"],
  [ENXIO]: ["ENXIO", "no such device or address"],
  9: ["EBADF", "bad file descriptor"],
  [EAGAIN]: ["EAGAIN", "resource temporarily unavailable"],
  [ENOMEM]: ["ENOMEM", "cannot allocate memory"],
  [EACCES]: ["EACCES", "permission denied"],
  14: ["EFAULT", "bad address"],
  [EBUSY]: ["EBUSY", "device or resource busy"],
  [EEXIST]: ["EEXIST", "file exists"],
  [ENODEV]: ["ENODEV", "no such device"],
  [ENOTDIR]: ["ENOTDIR", "not a directory"],
  [EINVAL]: ["EINVAL", "invalid argument"],
  24: ["EMFILE", "too many open files"],
  28: ["ENOSPC", "no space left on device"],
  [EPIPE]: ["EPIPE", "broken pipe"],
  34: ["ERANGE", "numerical result out of range"],
  38: ["ENOSYS", "function not implemented"],
  [ELOOP]: ["ELOOP", "a symbolic link that is not followed"],
  [EMSGSIZE]: ["EMSGSIZE", "message too long"],
  92: ["ENOPROTOOPT", "protocol not available"],
  93: ["EPROTONOSUPPORT", "protocol not supported"],
  [EOPNOTSUPP]: ["EOPNOTSUPP", "operation not supported"],
  97: ["EAFNOSUPPORT", "address family not supported by protocol"],
  [EADDRINUSE]: ["EADDRINUSE", "address already in use"],
  [EADDRNOTAVAIL]: ["EADDRNOTAVAIL", "cannot assign requested address"],
  [ENETDOWN]: ["ENETDOWN", "network is down"],
  [ENETUNREACH]: ["ENETUNREACH", "network is unreachable"],
  [ENOBUFS]: ["ENOBUFS", "no buffer space available"],
  110: ["ETIMEDOUT", "connection timed out"],
  [ECONNREFUSED]: ["ECONNREFUSED", "connection refused"],
  [EHOSTUNREACH]: ["EHOSTUNREACH", "no route to host"],
};

/** The symbolic name of an error number, as in `EADDRINUSE`; `errno 200` for one that has none here. */
export function errnoName(errno: number): string {
  return NAMES[errno]?.[0] ?? `errno ${errno}`;
}

/** A system call that failed. `errno` is the positive number; the message names the call and the object. */
export class SystemCallError extends Error {
  override readonly name = "SystemCallError";
  /** The positive error number. */
  readonly errno: number;
  /** Its symbolic name. */
  readonly code: string;

  /**
   * @param action what was tried, as in `bind UDP port 51820`
   * @param errno the positive error number
   */
  constructor(action: string, errno: number) {
    const [code, meaning] = NAMES[errno] ?? [`errno ${errno}`, "unknown error"];
    super(`Cannot ${action}: ${meaning} (${code})`);
    this.errno = errno;
    this.code = code;
  }
}

/**
 * Passes on the result of a system call, or throws.
 *
 * @throws {SystemCallError} when `result` is negative; `errno` is read at once, before anything else can change it
 */
export function check(libc: Libc, result: number, action: string): number {
  if (result >= 0) return result;
  throw new SystemCallError(action, libc.errno());
}
