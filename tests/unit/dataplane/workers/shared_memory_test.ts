/** Tests of lib/dataplane/workers/shared_memory.ts. */
import { MAX_WORKERS } from "../../../../lib/dataplane/filters/steering.ts";
import { ringBetweenSize } from "../../../../lib/dataplane/workers/shared_memory.ts";
import { assert } from "../../../support/assert.ts";

/** Bytes of a whole packet in a ring. */
const PACKET = 1440;
const SUPER_PACKET = 65_536;

Deno.test("rings between few workers have room for what arrives in the milliseconds in which one of them has no time", () => {
  // 15 ms at 1 Gbit/s, from one other or from four together.
  assert(ringBetweenSize(2) > 1300 * PACKET);
  assert(4 * ringBetweenSize(5) > 1300 * PACKET);
});

Deno.test("rings between many workers have room for super-packets, half a ring of strangers' too, and are not too large together", () => {
  for (let workers = 2; workers <= MAX_WORKERS; workers++) {
    const size = ringBetweenSize(workers);
    assert(size >= 4 * SUPER_PACKET && (size & (size - 1)) === 0, `${workers}: ${size}`);
    assert(workers * (workers - 1) * size <= 1 << 26, `${workers}: ${size}`);
  }
});
