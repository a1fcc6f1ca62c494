/**
 * Wake channel: the socket pair by which the main thread reaches the data-plane thread, which sleeps in `epoll_wait`
 * and so cannot take messages in JavaScript. Each message is one packet of a SOCK_SEQPACKET pair: boundaries are kept,
 * order too.
 */
import { check, EAGAIN, EINTR, SystemCallError } from "../errno.ts";
import type { Libc } from "../libc.ts";
import {
  AF_UNIX,
  MSG_NOSIGNAL,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_SEQPACKET,
  SOL_SOCKET,
} from "../socket_constants.ts";
import { setOption } from "../socket_options.ts";

/** The longest message in bytes; a command is far shorter. */
export const MAX_MESSAGE_SIZE = 65536;

/** Makes the pair. Both ends are descriptors of the process, so either thread may hold either. */
export function createWakeChannel(libc: Libc): { sender: number; receiver: number } {
  const pair = new Int32Array(2);
  check(
    libc,
    libc.symbols.socketpair(
      AF_UNIX,
      SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC,
      0,
      new Uint8Array(pair.buffer),
    ),
    "create socket pair",
  );
  const size = { level: SOL_SOCKET, option: SO_SNDBUFFORCE, value: 4 * MAX_MESSAGE_SIZE };
  setOption(libc, pair[0]!, size);
  return { sender: pair[0], receiver: pair[1] };
}

/**
 * Sends one message.
 *
 * @throws {SystemCallError} EPIPE when the other end is closed, EAGAIN when it has not read for long
 */
export function sendMessage(libc: Libc, fd: number, message: Uint8Array<ArrayBuffer>): void {
  check(
    libc,
    libc.symbols.send(fd, message, BigInt(message.length), MSG_NOSIGNAL),
    "send a command to the data plane",
  );
}

/** Takes the next message, or null when there is none. */
export function receiveMessage(
  libc: Libc,
  fd: number,
  buffer: Uint8Array<ArrayBuffer>,
): Uint8Array | null {
  const length = libc.symbols.recv(fd, buffer, BigInt(buffer.length), 0);
  if (length >= 0) return buffer.subarray(0, length);
  const errno = libc.errno();
  if (errno === EAGAIN || errno === EINTR) return null;
  throw new SystemCallError("receive a command", errno);
}
