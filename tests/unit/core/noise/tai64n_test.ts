/** Tests of TAI64N timestamps. */
import { compareTai64n, encodeTai64n } from "../../../../lib/core/noise/tai64n.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";

const NOW = 1_763_700_000_000;

Deno.test("encodeTai64n() gives the labels of known instants", () => {
  assertEquals(encodeTai64n(0).toHex(), "400000000000000a" + "00000000");
  assertEquals(encodeTai64n(1000).toHex(), "400000000000000b" + "00000000");
  // 2001-09-09 01:46:40 UTC: 1,000,000,000 = 0x3b9aca00.
  assertEquals(encodeTai64n(1e12).toHex(), "400000003b9aca0a" + "00000000");
  // Half a second is 500,000,000 ns = 0x1dcd6500, of which the low 24 bits go.
  assertEquals(encodeTai64n(500).toHex(), "400000000000000a" + "1d000000");
  assertEquals(encodeTai64n(999.999).toHex(), "400000000000000a" + "3b000000");
});

Deno.test("encodeTai64n() carries into the upper seconds when they pass 2^32", () => {
  assertEquals(encodeTai64n((2 ** 32 - 11) * 1000).toHex(), "40000000ffffffff" + "00000000");
  assertEquals(encodeTai64n((2 ** 32 - 10) * 1000).toHex(), "4000000100000000" + "00000000");
});

Deno.test("encodeTai64n() shows no more than 60 different instants in a second", () => {
  const seen = new Set<string>();
  for (let time = 0; time < 1000; time += 0.125) {
    const timestamp = encodeTai64n(NOW + time);
    assertEquals([...timestamp.subarray(9)], [0, 0, 0]);
    seen.add(timestamp.toHex());
  }
  assertEquals(seen.size, 60);
});

Deno.test("encodeTai64n() never falls when time rises", () => {
  const random = new Random(1);
  let time = 0;
  let last = encodeTai64n(time);
  for (let round = 0; round < 20_000; round++) {
    const step = random.chance(0.01) ? random.float() * 1e11 : random.float() * 40;
    time += step;
    const next = encodeTai64n(time);
    const order = compareTai64n(next, last);
    assert(order >= 0, `seed 1, round ${round}`);
    // 2^24 ns are 16.8 ms; the last step of a second is shorter.
    if (step > 16.8) assert(order > 0, `seed 1, round ${round}`);
    last = next;
  }
});

Deno.test("compareTai64n() orders by the bytes from first to last", () => {
  const early = encodeTai64n(NOW);
  for (let at = 0; at < 12; at++) {
    const late = early.slice();
    late[at]! += 1;
    late.fill(0, at + 1);
    assert(compareTai64n(early, late) < 0, `byte ${at}`);
    assert(compareTai64n(late, early) > 0, `byte ${at}`);
  }
  assertEquals(compareTai64n(early, early.slice()), 0);
  assert(compareTai64n(new Uint8Array(12), early) < 0);
});
