/**
 * Linux error numbers that the program acts on, and the exception that a failed system call becomes.
 *
 * Numbers are those of `include/uapi/asm-generic/errno-base.h` and `errno.h` (x86-64 and arm64 alike).
 */
import { ERRNO_NAMES } from "./errno_names.ts";
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
/** Of a TUN whose device is gone. */
export const EBADFD = 77;
export const EMSGSIZE = 90;
export const EPROTONOSUPPORT = 93;
export const EOPNOTSUPP = 95;
export const EAFNOSUPPORT = 97;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const ENETUNREACH = 101;
export const ENOBUFS = 105;
export const ECONNREFUSED = 111;
export const EHOSTUNREACH = 113;

/** ENOMEM, ENFILE, EMFILE, ENOSPC, ENOBUFS */
const SHORTAGES: readonly number[] = [ENOMEM, 23, 24, 28, ENOBUFS];

/**
 * What a kernel that lacks a call says, or one that has it but not for us: EPERM, EACCES, EINVAL, ENOTTY, ENOSYS,
 * ENOPROTOOPT, EOPNOTSUPP.
 */
const REFUSALS: readonly number[] = [EPERM, EACCES, EINVAL, 25, 38, 92, EOPNOTSUPP];

/** The symbolic name of an error number, as in `EADDRINUSE`; `errno 200` for one that has none here. */
export function errnoName(errno: number): string {
  return ERRNO_NAMES.get(errno)?.[0] ?? `errno ${errno}`;
}

/** A system call that failed. `errno` is the positive number; the message names the call and the object. */
export class SystemCallError extends Error {
  override readonly name = "SystemCallError";
  /** The positive error number. */
  readonly errno: number;
  /** Its symbolic name. */
  readonly code: string;
  /** Whether the host was short of something, which says nothing of what its kernel can do. */
  readonly isShortage: boolean;
  /**
   * Whether the kernel does not have what was asked for, or a container's rules, or missing capabilities, keep it from
   * us. It will not go away by itself: who can do without it does.
   */
  readonly isUnavailable: boolean;

  /**
   * @param action what was tried, as in `bind UDP port 51820`
   * @param errno the positive error number
   */
  constructor(action: string, errno: number) {
    const [code, meaning] = ERRNO_NAMES.get(errno) ?? [`errno ${errno}`, "unknown error"];
    super(`Cannot ${action}: ${meaning} (${code})`);
    this.errno = errno;
    this.code = code;
    this.isShortage = SHORTAGES.includes(errno);
    this.isUnavailable = REFUSALS.includes(errno);
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
