/** Tests of `ffi/epoll.ts`. */
import { Arena } from "../../../ffi/arena.ts";
import { Epoll, EPOLLHUP, EPOLLIN, EPOLLOUT } from "../../../ffi/epoll.ts";
import { EEXIST, SystemCallError } from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import {
  createWakeChannel,
  receiveMessage,
  sendMessage,
} from "../../../ffi/sockets/wake_channel.ts";
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";
import { hostTest, whereAllowed } from "../../support/permissions.ts";

const libc = whereAllowed(openLibc);

/** An epoll instance and descriptors to watch; all of it is closed when disposed of. */
class Fixture implements Disposable {
  readonly epoll: Epoll;
  readonly #fds = new Set<number>();

  constructor(capacity?: number) {
    this.epoll = new Epoll(libc, new Arena(4096), capacity);
  }

  channel(): { sender: number; receiver: number } {
    const channel = createWakeChannel(libc);
    this.#fds.add(channel.sender).add(channel.receiver);
    return channel;
  }

  close(fd: number): void {
    if (this.#fds.delete(fd)) libc.symbols.close(fd);
  }

  /** What the next wait reports, as descriptor and bits. */
  events(): [fd: number, readiness: number][] {
    const count = this.epoll.wait(0);
    return Array.from(
      { length: count },
      (_, i) => [this.epoll.descriptor(i), this.epoll.readiness(i)],
    );
  }

  [Symbol.dispose](): void {
    this.epoll[Symbol.dispose]();
    for (const fd of this.#fds) this.close(fd);
  }
}

hostTest("Epoll.wait() reports a descriptor for as long as there is something to read", () => {
  using fixture = new Fixture();
  const { sender, receiver } = fixture.channel();
  fixture.epoll.add(receiver, EPOLLIN);
  assertEquals(fixture.events(), []);
  sendMessage(libc, sender, new Uint8Array(1));
  assertEquals(fixture.events(), [[receiver, EPOLLIN]]);
  assertEquals(fixture.events(), [[receiver, EPOLLIN]]);
  receiveMessage(libc, receiver, new Uint8Array(16));
  assertEquals(fixture.events(), []);
});

hostTest("Epoll.wait() reports what each of several descriptors is ready for", () => {
  using fixture = new Fixture();
  const [one, two, three] = [fixture.channel(), fixture.channel(), fixture.channel()];
  fixture.epoll.add(one.receiver, EPOLLIN);
  fixture.epoll.add(two.sender, EPOLLIN | EPOLLOUT);
  fixture.epoll.add(three.receiver, EPOLLIN);
  sendMessage(libc, one.sender, new Uint8Array(1));
  const events = fixture.events().sort(([a], [b]) => a - b);
  assertEquals(events, [[one.receiver, EPOLLIN], [two.sender, EPOLLOUT]]);
});

hostTest("Epoll.modify() takes effect at once", () => {
  using fixture = new Fixture();
  const { sender, receiver } = fixture.channel();
  sendMessage(libc, sender, new Uint8Array(1));
  fixture.epoll.add(receiver, 0);
  assertEquals(fixture.events(), []);
  fixture.epoll.modify(receiver, EPOLLIN | EPOLLOUT);
  assertEquals(fixture.events(), [[receiver, EPOLLIN | EPOLLOUT]]);
  fixture.epoll.modify(receiver, EPOLLOUT);
  assertEquals(fixture.events(), [[receiver, EPOLLOUT]]);
});

hostTest("Epoll.wait() reports a hang-up even to who watches for nothing", () => {
  using fixture = new Fixture();
  const { sender, receiver } = fixture.channel();
  fixture.epoll.add(receiver, 0);
  fixture.close(sender);
  const [[fd, readiness] = []] = fixture.events();
  assertEquals(fd, receiver);
  assert((readiness! & EPOLLHUP) !== 0);
});

hostTest(
  "Epoll.wait() reports no more than its capacity and none for ever when more are ready",
  () => {
    using fixture = new Fixture(2);
    const seen = new Set<number>();
    const receivers = Array.from({ length: 5 }, () => {
      const { sender, receiver } = fixture.channel();
      sendMessage(libc, sender, new Uint8Array(1));
      fixture.epoll.add(receiver, EPOLLIN);
      return receiver;
    });
    // The kernel passes on to the next ones; all have had their turn after three calls.
    for (let call = 0; call < 3; call++) {
      const events = fixture.events();
      assertEquals(events.length, 2);
      for (const [fd] of events) seen.add(fd);
    }
    assertEquals([...seen].sort(), receivers.sort());
  },
);

hostTest("Epoll.wait() returns 0 after its time-out", () => {
  using fixture = new Fixture();
  fixture.epoll.add(fixture.channel().receiver, EPOLLIN);
  assertEquals(fixture.epoll.wait(30), 0);
});

hostTest("Epoll.add() throws when a descriptor is watched already or is none", () => {
  using fixture = new Fixture();
  const { receiver } = fixture.channel();
  fixture.epoll.add(receiver, EPOLLIN);
  const again = assertThrows(() => fixture.epoll.add(receiver, EPOLLIN), SystemCallError);
  assertEquals(again.errno, EEXIST);
  const none = assertThrows(() => fixture.epoll.add(-1, EPOLLIN), SystemCallError);
  assertEquals(none.message, "Cannot watch descriptor -1: bad file descriptor (EBADF)");
});

hostTest("Epoll.wait() throws when the instance is closed", () => {
  const fixture = new Fixture();
  fixture[Symbol.dispose]();
  const error = assertThrows(() => fixture.epoll.wait(0), SystemCallError);
  assertEquals(error.message, "Cannot wait for events: bad file descriptor (EBADF)");
});

hostTest("Epoll.fd is ready in another set while something in its own is", () => {
  using inner = new Fixture();
  using outer = new Fixture();
  const { sender, receiver } = inner.channel();
  inner.epoll.add(receiver, EPOLLIN);
  outer.epoll.add(inner.epoll.fd, EPOLLIN);
  assertEquals(outer.events(), []);
  sendMessage(libc, sender, new Uint8Array(1));
  assertEquals(outer.events(), [[inner.epoll.fd, EPOLLIN]]);
  outer.epoll.modify(inner.epoll.fd, 0);
  assertEquals(outer.events(), []);
});
