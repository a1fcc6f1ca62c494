/** Event descriptors: one thread wakes another that sleeps in `epoll_wait`. */
import { check } from "./errno.ts";
import { O_CLOEXEC, O_NONBLOCK } from "./file_constants.ts";
import type { Libc } from "./libc.ts";

/** Bytes of the counter that the kernel keeps. */
const COUNTER_SIZE = 8n;
const ONE = new Uint8Array(BigUint64Array.of(1n).buffer);
/** What was counted; nobody asks. */
const counted = new Uint8Array(8);

/** Makes a descriptor, which is readable from a signal on until it is cleared. */
export function createEventFd(libc: Libc): number {
  // EFD_CLOEXEC and EFD_NONBLOCK are these (include/linux/eventfd.h).
  return check(libc, libc.symbols.eventfd(0, O_CLOEXEC | O_NONBLOCK), "create event descriptor");
}

/** Makes it readable. */
export function signalEventFd(libc: Libc, fd: number): void {
  libc.symbols.write(fd, ONE, COUNTER_SIZE);
}

/** Makes it unreadable; what happens from now on makes it readable again. */
export function clearEventFd(libc: Libc, fd: number): void {
  libc.symbols.read(fd, counted, COUNTER_SIZE);
}
