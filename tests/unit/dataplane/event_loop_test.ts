/** Tests of `lib/dataplane/event_loop.ts`. */
import { Arena } from "../../../ffi/arena.ts";
import { openLibc } from "../../../ffi/libc.ts";
import {
  createWakeChannel,
  receiveMessage,
  sendMessage,
} from "../../../ffi/sockets/wake_channel.ts";
import { EventLoop } from "../../../lib/dataplane/event_loop.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { hostTest, whereAllowed } from "../../support/permissions.ts";

const libc = whereAllowed(openLibc);

/** A loop and descriptors to watch; all of it is closed when disposed of. */
class Fixture implements Disposable {
  readonly loop = new EventLoop(libc, new Arena(4096));
  readonly #fds: number[] = [];

  /** Returns a descriptor that is ready from now on. */
  ready(): number {
    const { sender, receiver } = createWakeChannel(libc);
    this.#fds.push(sender, receiver);
    sendMessage(libc, sender, new Uint8Array(1));
    return receiver;
  }

  [Symbol.dispose](): void {
    this.loop[Symbol.dispose]();
    for (const fd of this.#fds) libc.symbols.close(fd);
  }
}

hostTest(
  "what has its turn last is handed on behind all that is ready with it, turn by turn",
  () => {
    using fixture = new Fixture();
    const { loop } = fixture;
    const order: string[] = [];
    loop.add(fixture.ready(), () => void order.push("other"));
    loop.addLast(fixture.ready(), () => void order.push("last"));
    loop.add(fixture.ready(), () => void order.push("other"));
    // Level-triggered: all stay ready, and the kernel reports them in another order each time.
    let turns = 0;
    const poll = () => {
      order.push("poll");
      if (++turns === 5) loop.stop();
    };
    loop.run({ pollAt: () => Infinity, poll });
    const turn = ["other", "other", "last", "poll"];
    assertEquals(order, Array.from({ length: 5 }, () => turn).flat());
  },
);

hostTest("the number of a removed descriptor that had its turn last is like any other's", () => {
  using fixture = new Fixture();
  const { loop } = fixture;
  const [first, second] = [fixture.ready(), fixture.ready()];
  const order: number[] = [];
  loop.addLast(first, () => {});
  loop.remove(first);
  loop.add(first, () => void order.push(first));
  loop.add(second, () => void order.push(second));
  loop.run({ pollAt: () => Infinity, poll: () => loop.stop() });
  assertEquals(order, [first, second]);
});

hostTest("what has its turn last gets none in a turn that ends the loop", () => {
  using fixture = new Fixture();
  const { loop } = fixture;
  const order: string[] = [];
  loop.addLast(fixture.ready(), () => void order.push("last"));
  loop.add(fixture.ready(), () => {
    order.push("stop");
    loop.stop();
  });
  loop.run({ pollAt: () => Infinity, poll: () => void order.push("poll") });
  assertEquals(order, ["stop", "poll"]);
});

hostTest("a turn comes when it is due though nothing is ready, and is told the time", () => {
  using fixture = new Fixture();
  const { loop } = fixture;
  const due = loop.now() + 20;
  const times: number[] = [];
  const poll = (now: number) => {
    times.push(now);
    if (now >= due) loop.stop();
  };
  loop.run({ pollAt: () => due, poll });
  assert(times.at(-1)! >= due);
  assertEquals(times, times.toSorted((a, b) => a - b));
});

hostTest("a descriptor is handed on for as long as there is something to read", () => {
  using fixture = new Fixture();
  const { loop } = fixture;
  const fd = fixture.ready();
  let calls = 0;
  loop.add(fd, () => {
    calls++;
    if (calls === 2) receiveMessage(libc, fd, new Uint8Array(16));
  });
  let turns = 0;
  const poll = () => {
    if (++turns === 5) loop.stop();
  };
  loop.run({ pollAt: () => 0, poll });
  assertEquals(calls, 2);
});
