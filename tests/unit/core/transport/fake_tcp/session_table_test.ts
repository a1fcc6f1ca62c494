/** Tests of the table of connections, whichever others are made and removed. */
import { addressPair } from "../../../../../lib/core/transport/fake_tcp/four_tuple.ts";
import { Session, SessionState } from "../../../../../lib/core/transport/fake_tcp/session.ts";
import { SessionTable } from "../../../../../lib/core/transport/fake_tcp/session_table.ts";
import { assert, assertEquals, assertStrictEquals } from "../../../../support/assert.ts";
import { findSession } from "../../../../support/fake_tcp/segments.ts";
import { Random } from "../../../../support/random.ts";

Deno.test("connections are found by all of the four-tuple", () => {
  const table = new SessionTable(42);
  const random = new Random(1);
  const all = new Map<string, Session>();
  // More than there are buckets, so that many share one.
  for (let round = 0; round < 30_000; round++) {
    const [local, remote] = random.pick(
      [
        [random.pick([1, -2]), random.pick([0x0a000001, -1_062_731_519, 7])],
        // That only the last word differs matters, and that only the first does.
        ["2001:db8::1", random.pick(["2001:db8::2", "2001:db9::2", "2001:db8::3"])],
      ] as const,
    );
    const tuple = {
      addresses: addressPair(remote, local),
      localPort: random.pick([443, 444]),
      remotePort: random.below(2_000),
    };
    const key = JSON.stringify({ ...tuple, addresses: [...tuple.addresses] });
    const known = all.get(key) ?? null;
    assertStrictEquals(findSession(table, tuple), known);
    assertStrictEquals(table.ofTuple(tuple), known);
    if (known === null) {
      const session = new Session(tuple, 0, { isClient: false, maxPayload: 1460 });
      table.add(session);
      all.set(key, session);
    } else if (random.chance(0.5)) {
      assertEquals([table.remove(known), table.remove(known)], [true, false]);
      assertEquals(known.state, SessionState.closed);
      all.delete(key);
    }
  }
  assert(all.size > 5_000);
  assertEquals(table.size, all.size);
  assert(all.values().every((session) => table.sessions.has(session)));
  for (const session of all.values()) assertStrictEquals(findSession(table, session), session);
});
