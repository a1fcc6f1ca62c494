/** Tests of lib/core/wire/drop_reason.ts. */
import {
  DROP_REASON_NAMES,
  DropCounters,
  DropReason,
} from "../../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals, assertMatch } from "../../../support/assert.ts";

Deno.test("DropReason numbers its reasons without a gap, so that they index the counters", () => {
  assertEquals(Object.values<number>(DropReason), DROP_REASON_NAMES.map((_, index) => index));
});

Deno.test("DROP_REASON_NAMES has a short name in snake case at the number of each reason", () => {
  assertEquals(new Set(DROP_REASON_NAMES).size, DROP_REASON_NAMES.length);
  for (const name of DROP_REASON_NAMES) {
    assertMatch(name, /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/);
    assert(name.length <= 26, name);
  }
  assertEquals(DROP_REASON_NAMES[DropReason.none], "none");
  assertEquals(DROP_REASON_NAMES[DropReason.badMac1], "bad_mac1");
  assertEquals(
    DROP_REASON_NAMES[DropReason.sourceEqualsDestination],
    "source_equals_destination",
  );
});

Deno.test("DropCounters counts each reason, never a good packet, and all together", () => {
  const drops = new DropCounters();
  drops.add(DropReason.none, 100);
  drops.add(DropReason.badTag, 200);
  drops.add(DropReason.badTag, 300);
  drops.add(DropReason.sealError);
  assertEquals(drops.counts[DropReason.none], 0);
  assertEquals(drops.counts[DropReason.badTag], 2);
  assertEquals(drops.counts[DropReason.sealError], 1);
  assertEquals(drops.total, 3);
});

Deno.test("DropCounters keeps the length of the last packet dropped for each reason", () => {
  const drops = new DropCounters();
  drops.add(DropReason.none, 100);
  drops.add(DropReason.badTag, 200);
  drops.add(DropReason.badTag, 65_535);
  drops.add(DropReason.ipv6, 40);
  assertEquals(drops.lastLengths[DropReason.none], 0);
  assertEquals(drops.lastLengths[DropReason.badTag], 65_535);
  assertEquals(drops.lastLengths[DropReason.ipv6], 40);
});

Deno.test("DropCounters goes on counting beyond 2^32", () => {
  const drops = new DropCounters();
  drops.counts[DropReason.ipv6] = 2 ** 32 - 1;
  drops.total = 2 ** 32 - 1;
  drops.add(DropReason.ipv6);
  drops.add(DropReason.ipv6);
  assertEquals(drops.counts[DropReason.ipv6], 2 ** 32 + 1);
  assertEquals(drops.total, 2 ** 32 + 1);
});
