/** Socket options: `setsockopt(2)` for values of 32 bits and for time limits. */
import { check } from "./errno.ts";
import type { Libc } from "./libc.ts";
import { SOL_SOCKET } from "./socket_constants.ts";

/** One option with its value: an `int`, or an `unsigned` that is given as one. */
export interface SocketOption {
  readonly level: number;
  readonly option: number;
  readonly value: number;
}

/** Sets an option; whether the kernel took it. */
export function setOption(libc: Libc, fd: number, { level, option, value }: SocketOption): boolean {
  const bytes = new Uint8Array(Int32Array.of(value).buffer);
  return libc.symbols.setsockopt(fd, level, option, bytes, bytes.length) === 0;
}

/**
 * Sets an option without which the socket is of no use.
 *
 * @param action what the option is for, as the error says it: "mark UDP socket"
 * @throws {SystemCallError}
 */
export function requireOption(libc: Libc, fd: number, option: SocketOption, action: string): void {
  check(libc, setOption(libc, fd, option) ? 0 : -1, action);
}

/** `struct timeval { long tv_sec; long tv_usec; }` */
const TIMEVAL_SIZE = 16;

/**
 * Limits how long a blocking call waits.
 *
 * @param limit `option`: SO_RCVTIMEO or SO_SNDTIMEO; `milliseconds`: more than 0
 * @throws {SystemCallError}
 */
export function limitTime(
  libc: Libc,
  fd: number,
  limit: { readonly option: number; readonly milliseconds: number },
  action: string,
): void {
  // All zero would mean "for ever" (socket(7)).
  const microseconds = Math.max(1, Math.round(limit.milliseconds * 1000));
  const time = new DataView(new ArrayBuffer(TIMEVAL_SIZE));
  time.setBigInt64(0, BigInt(Math.floor(microseconds / 1_000_000)), true);
  time.setBigInt64(8, BigInt(microseconds % 1_000_000), true);
  const bytes = new Uint8Array(time.buffer);
  const { setsockopt } = libc.symbols;
  check(libc, setsockopt(fd, SOL_SOCKET, limit.option, bytes, TIMEVAL_SIZE), action);
}
