/** Tests of lib/dataplane/workers/shared_external.ts, with workers that number their sockets as the kernel does. */
import {
  type ExternalFollower,
  RETRY_PAUSE,
  SharedExternal,
} from "../../../../lib/dataplane/workers/shared_external.ts";
import type { ExternalLink } from "../../../../lib/core/nat/external_link.ts";
import type { HostAddress } from "../../../../lib/core/wire/host_address.ts";
import { assertEquals } from "../../../support/assert.ts";
import { FakeTimers } from "../../../support/time/fake_timers.ts";

type Link = ExternalLink<HostAddress>;
const WAN = { name: "wan0", link: 2, address: 0x0a000001, mtu: 1500 } as Link;
const LTE = { name: "lte0", link: 3, address: 0x0a000101, mtu: 1400 } as Link;

/** Groups of sockets, each with its workers in the order in which they joined. */
function groups() {
  const all = new Map<number, number[]>();
  let last = 0;
  return {
    join(worker: number, group: number | null): number {
      this.leave(worker);
      const joined = group ?? ++last;
      all.set(joined, [...all.get(joined) ?? [], worker]);
      return joined;
    },
    leave(worker: number): void {
      for (const [group, members] of all) {
        const left = members.filter((each) => each !== worker);
        if (left.length === 0) all.delete(group);
        else all.set(group, left);
      }
    },
    get members(): number[][] {
      return [...all.values()];
    },
  };
}

/** Workers of which each opens an interface, unless `fails` says that it cannot now. */
function workersOf(count: number, fails: (worker: number, external: Link) => boolean) {
  const kernel = groups();
  const open: (Link | null)[] = Array.from({ length: count }, () => null);
  const joined: (number | null)[] = Array.from({ length: count }, () => null);
  const workers = open.map((_, worker): ExternalFollower => ({
    setExternal(external, group) {
      if (external !== open[worker]) {
        open[worker] = null;
        if (external !== null && !fails(worker, external)) {
          joined[worker] = kernel.join(worker, group);
          open[worker] = external;
        }
      }
      const isOpen = open[worker] !== null;
      return Promise.resolve({ group: isOpen ? joined[worker]! : group, isOpen });
    },
  }));
  return { workers, kernel, open };
}

for (const failing of [0, 1, 2]) {
  Deno.test(`all workers share what comes in their order, though number ${failing} cannot open the interface at first`, async () => {
    using timers = new FakeTimers();
    let failures = 2;
    const { workers, kernel, open } = workersOf(
      3,
      (worker, external) => external === LTE && worker === failing && failures-- > 0,
    );
    using shared = new SharedExternal(workers);
    await shared.set(WAN);
    assertEquals(kernel.members, [[0, 1, 2]]);
    await shared.set(LTE);
    assertEquals(open, [null, null, null]);
    await timers.advance(RETRY_PAUSE);
    assertEquals(open, [null, null, null]);
    await timers.advance(RETRY_PAUSE);
    assertEquals(open, [LTE, LTE, LTE]);
    assertEquals(kernel.members, [[0, 1, 2]]);
    assertEquals(timers.size, 0);
  });
}

Deno.test("an interface that is no longer the one outside is not tried again", async () => {
  using timers = new FakeTimers();
  const { workers, open } = workersOf(2, (worker, external) => external === LTE && worker === 1);
  using shared = new SharedExternal(workers);
  const first = shared.set(LTE);
  const second = shared.set(WAN);
  await Promise.all([first, second]);
  assertEquals(timers.size, 0);
  await shared.set(LTE);
  await shared.set(null);
  await timers.advance(10 * RETRY_PAUSE);
  assertEquals(open, [null, null]);
});

Deno.test("nothing is tried after the end, nor where a worker has ended", async () => {
  using timers = new FakeTimers();
  const { workers } = workersOf(2, () => true);
  const shared = new SharedExternal(workers);
  const done = shared.set(WAN);
  shared[Symbol.dispose]();
  await done;
  assertEquals(timers.size, 0);
  let asked = 0;
  using dead = new SharedExternal([{
    setExternal: () => Promise.reject(new Error(`ended ${++asked}`)),
  }]);
  assertEquals(await dead.set(WAN).catch(({ message }) => message), "ended 1");
  await timers.advance(10 * RETRY_PAUSE);
  assertEquals(asked, 1);
});
