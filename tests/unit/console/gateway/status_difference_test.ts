/** Tests the difference of two statuses: applied to the first, it makes the second. */
import fc from "fast-check";
import { differenceOf } from "../../../../lib/console/gateway/status_difference.ts";
import type { Status } from "../../../../lib/control/status.ts";
import { assertEquals } from "../../../support/assert.ts";
import { FakeGateway, keyOf } from "../../../support/console/fake_gateway.ts";
import { SEED } from "../../../run/seed.ts";

const EXAMPLE = await new FakeGateway().ask("status", {});
const [PEER] = EXAMPLE.peers;

const peers = fc.uniqueArray(
  fc.record({
    publicKey: fc.integer({ min: 1, max: 5 }).map(keyOf),
    received: fc.integer({ min: 0, max: 2 }),
    endpoint: fc.option(fc.constantFrom("192.0.2.1:1", "192.0.2.2:2")),
    groups: fc.array(fc.constantFrom("a", "b"), { maxLength: 2 }),
  }),
  { selector: ({ publicKey }) => publicKey },
).map((some) => some.map((each) => ({ ...PEER!, ...each })));

const statuses: fc.Arbitrary<Status> = fc.record({
  peers,
  state: fc.constantFrom("up", "degraded"),
  missing: fc.array(fc.constantFrom("a route", "a rule"), { maxLength: 2 }),
}).map((some) => ({ ...EXAMPLE, ...some }));

/** As a page does it. */
function applied(before: Status, difference: NonNullable<ReturnType<typeof differenceOf>>): Status {
  const { time, status = {}, peers = {}, added = [], removed = [] } = difference;
  const kept = before.peers.filter(({ publicKey }) => !removed.includes(publicKey))
    .map((peer) => ({ ...peer, ...peers[peer.publicKey] }));
  return { ...before, ...status, time, peers: [...kept, ...added] };
}

function sorted(status: Status): Status {
  const peers = [...status.peers].sort((a, b) => a.publicKey < b.publicKey ? -1 : 1);
  return { ...status, peers };
}

Deno.test("the difference, applied to the earlier status, makes the later one", () => {
  fc.assert(
    fc.property(statuses, statuses, (before, after) => {
      const difference = differenceOf(before, after);
      const found = difference === null ? before : applied(before, difference);
      assertEquals(sorted(found), sorted({ ...after, time: found.time }));
    }),
    { seed: SEED, numRuns: 500 },
  );
});

Deno.test("where nothing has changed but the time, there is none", () => {
  assertEquals(differenceOf(EXAMPLE, structuredClone({ ...EXAMPLE, time: "later" })), null);
});

Deno.test("what has not changed is left out", () => {
  const after = structuredClone(EXAMPLE) as Status & { time: string };
  const changed = {
    ...after,
    peers: after.peers.map((peer, i) => i === 1 ? { ...peer, sent: 9 } : peer),
  };
  assertEquals(differenceOf(EXAMPLE, changed), {
    time: EXAMPLE.time,
    peers: { [keyOf(2)]: { sent: 9 } },
  });
});
