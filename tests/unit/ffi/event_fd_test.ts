/** Tests of `ffi/event_fd.ts`: by an epoll set, as threads use it. */
import { Arena } from "../../../ffi/arena.ts";
import { Epoll, EPOLLIN } from "../../../ffi/epoll.ts";
import { clearEventFd, createEventFd, signalEventFd } from "../../../ffi/event_fd.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { assertEquals } from "../../support/assert.ts";
import { hostTest } from "../../support/permissions.ts";

hostTest("a signal wakes who waits, once for several, until it is cleared", () => {
  const libc = openLibc();
  using epoll = new Epoll(libc, new Arena(64 * 1024));
  const fd = createEventFd(libc);
  try {
    epoll.add(fd, EPOLLIN);
    assertEquals(epoll.wait(0), 0);
    signalEventFd(libc, fd);
    signalEventFd(libc, fd);
    assertEquals([epoll.wait(0), epoll.descriptor(0)], [1, fd]);
    clearEventFd(libc, fd);
    assertEquals(epoll.wait(0), 0);
    // Cleared once more, it does not block.
    clearEventFd(libc, fd);
  } finally {
    libc.symbols.close(fd);
  }
});
