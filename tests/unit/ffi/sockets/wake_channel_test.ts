/** Tests of `ffi/sockets/wake_channel.ts`. */
import { EAGAIN, SystemCallError } from "../../../../ffi/errno.ts";
import { openLibc } from "../../../../ffi/libc.ts";
import {
  createWakeChannel,
  MAX_MESSAGE_SIZE,
  receiveMessage,
  sendMessage,
} from "../../../../ffi/sockets/wake_channel.ts";
import { assert, assertEquals, assertThrows } from "../../../support/assert.ts";
import { hostTest, whereAllowed } from "../../../support/permissions.ts";

const libc = whereAllowed(openLibc);
const buffer = new Uint8Array(MAX_MESSAGE_SIZE);

/** Both ends of a channel, closed when disposed of. */
class Channel implements Disposable {
  readonly sender: number;
  readonly receiver: number;
  readonly #open: Set<number>;

  constructor() {
    const { sender, receiver } = createWakeChannel(libc);
    this.sender = sender;
    this.receiver = receiver;
    this.#open = new Set([sender, receiver]);
  }

  close(fd: number): void {
    if (this.#open.delete(fd)) libc.symbols.close(fd);
  }

  [Symbol.dispose](): void {
    for (const fd of this.#open) this.close(fd);
  }
}

function text(message: Uint8Array | null): string | null {
  return message === null ? null : new TextDecoder().decode(message);
}

hostTest("receiveMessage() returns null when nothing was sent", () => {
  using channel = new Channel();
  assertEquals(receiveMessage(libc, channel.receiver, buffer), null);
});

hostTest(
  "receiveMessage() returns messages in order and one at a time when several were sent",
  () => {
    using channel = new Channel();
    for (const message of ["one", "two, longer", "3"]) {
      sendMessage(libc, channel.sender, new TextEncoder().encode(message));
    }
    const received = Array.from(
      { length: 4 },
      () => text(receiveMessage(libc, channel.receiver, buffer)),
    );
    assertEquals(received, ["one", "two, longer", "3", null]);
  },
);

hostTest("sendMessage() carries the longest message whole", () => {
  using channel = new Channel();
  const message = new Uint8Array(MAX_MESSAGE_SIZE).map((_, i) => (i * 31) & 0xff);
  sendMessage(libc, channel.sender, message);
  assertEquals(receiveMessage(libc, channel.receiver, buffer), message);
});

hostTest("receiveMessage() returns an empty message when the other end is closed", () => {
  using channel = new Channel();
  sendMessage(libc, channel.sender, new TextEncoder().encode("last"));
  channel.close(channel.sender);
  assertEquals(text(receiveMessage(libc, channel.receiver, buffer)), "last");
  assertEquals(receiveMessage(libc, channel.receiver, buffer)?.length, 0);
});

hostTest("sendMessage() throws EPIPE, and the process lives, when the other end is closed", () => {
  using channel = new Channel();
  channel.close(channel.receiver);
  const error = assertThrows(
    () => sendMessage(libc, channel.sender, new Uint8Array(1)),
    SystemCallError,
  );
  assertEquals(error.code, "EPIPE");
});

hostTest("sendMessage() throws EAGAIN rather than waiting when the channel is full", () => {
  using channel = new Channel();
  let sent = 0;
  const error = assertThrows(() => {
    for (; sent < 10_000; sent++) sendMessage(libc, channel.sender, new Uint8Array(1024));
  }, SystemCallError);
  assertEquals(error.errno, EAGAIN);
  // One longest message fits at the least.
  assert(sent >= MAX_MESSAGE_SIZE / 1024, `${sent} messages`);
  let received = 0;
  while (receiveMessage(libc, channel.receiver, buffer) !== null) received++;
  assertEquals(received, sent);
});

hostTest("receiveMessage() throws when the descriptor is none", () => {
  const error = assertThrows(() => receiveMessage(libc, -1, buffer), SystemCallError);
  assertEquals(error.code, "EBADF");
});
