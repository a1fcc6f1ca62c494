/** Tests of the table of connections, whichever others are made and removed. */
import {
  type FourTuple,
  Session,
  SessionState,
} from "../../../../../lib/core/transport/fake_tcp/session.ts";
import { SessionTable } from "../../../../../lib/core/transport/fake_tcp/session_table.ts";
import { assert, assertEquals, assertStrictEquals } from "../../../../support/assert.ts";
import { Random } from "../../../../support/random.ts";

function find(table: SessionTable, tuple: FourTuple): Session | null {
  const { remoteAddress, remotePort, localAddress, localPort } = tuple;
  return table.find(remoteAddress, remotePort, localAddress, localPort);
}

Deno.test("connections are found by all of the four-tuple", () => {
  const table = new SessionTable(42);
  const random = new Random(1);
  const all = new Map<string, Session>();
  // More than there are buckets, so that many share one.
  for (let round = 0; round < 30_000; round++) {
    const tuple = {
      localAddress: random.pick([1, -2]),
      localPort: random.pick([443, 444]),
      remoteAddress: random.pick([0x0a000001, -1_062_731_519, 7]),
      remotePort: random.below(2_000),
    };
    const key = JSON.stringify(tuple);
    const known = all.get(key) ?? null;
    assertStrictEquals(find(table, tuple), known);
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
  for (const session of all.values()) assertStrictEquals(find(table, session), session);
});
