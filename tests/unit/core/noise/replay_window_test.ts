/** Tests of the replay window against a slow, obvious one. */
import {
  REJECT_AFTER_MESSAGES_HIGH,
  REJECT_AFTER_MESSAGES_LOW,
  REPLAY_RING_SIZE,
  REPLAY_WINDOW_SIZE,
  ReplayWindow,
} from "../../../../lib/core/noise/replay_window.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { heapGrowth } from "../../../support/heap_growth.ts";
import { Random } from "../../../support/random.ts";

const REJECT_AFTER_MESSAGES = 2n ** 64n - 2n ** 13n - 1n;

/** Every counter ever taken, and what RFC 6479 says of a new one. */
class ObviousWindow {
  readonly #taken = new Set<bigint>();
  #greatest = 0n;

  check(counter: bigint): boolean {
    return counter < REJECT_AFTER_MESSAGES &&
      this.#greatest - counter <= BigInt(REPLAY_WINDOW_SIZE) && !this.#taken.has(counter);
  }

  commit(counter: bigint): boolean {
    if (!this.check(counter)) return false;
    this.#taken.add(counter);
    if (counter > this.#greatest) this.#greatest = counter;
    return true;
  }
}

function low(counter: bigint): number {
  return Number(counter & 0xffffffffn);
}

function high(counter: bigint): number {
  return Number(counter >> 32n);
}

function commit(window: ReplayWindow, counter: bigint): boolean {
  return window.commit(low(counter), high(counter));
}

function check(window: ReplayWindow, counter: bigint): boolean {
  return window.check(low(counter), high(counter));
}

Deno.test("REJECT_AFTER_MESSAGES is 2^64 - 2^13 - 1 in halves", () => {
  assertEquals(REJECT_AFTER_MESSAGES_LOW, low(REJECT_AFTER_MESSAGES));
  assertEquals(REJECT_AFTER_MESSAGES_HIGH, high(REJECT_AFTER_MESSAGES));
});

Deno.test("commit() takes each counter once when they come in order, and from 0", () => {
  const window = new ReplayWindow();
  for (let counter = 0; counter < 3 * REPLAY_RING_SIZE; counter++) {
    assert(window.check(counter, 0));
    assert(window.commit(counter, 0));
    assert(!window.check(counter, 0));
    assert(!window.commit(counter, 0));
  }
});

Deno.test("commit() takes exactly what is within the window when a later counter came first", () => {
  for (const greatest of [10_000n, 2n ** 32n + 5n, 2n ** 32n + 8160n, 2n ** 53n + 1n, 2n ** 63n]) {
    const window = new ReplayWindow();
    assert(commit(window, greatest));
    for (let behind = BigInt(REPLAY_RING_SIZE) + 100n; behind > 0n; behind--) {
      const isWithin = behind <= REPLAY_WINDOW_SIZE;
      assertEquals(check(window, greatest - behind), isWithin, `${behind} behind ${greatest}`);
      assertEquals(commit(window, greatest - behind), isWithin, `${behind} behind ${greatest}`);
      assertEquals(commit(window, greatest - behind), false, `${behind} behind ${greatest}`);
    }
  }
});

Deno.test("commit() remembers all it took when the window moves by any step", () => {
  for (const step of [1n, 31n, 32n, 33n, 8128n, 8159n, 8160n, 8161n, 8192n, 2n ** 32n, 2n ** 40n]) {
    for (const start of [0n, 17n, 2n ** 32n - 9000n, 2n ** 32n - 1n, 2n ** 62n]) {
      const window = new ReplayWindow();
      const obvious = new ObviousWindow();
      for (let counter = start; counter < start + 9000n; counter += 3n) {
        commit(window, counter);
        obvious.commit(counter);
      }
      const moved = start + 9000n + step;
      assertEquals(commit(window, moved), obvious.commit(moved));
      for (let counter = moved; counter > moved - 8300n && counter >= 0n; counter--) {
        assertEquals(check(window, counter), obvious.check(counter), `${counter}, step ${step}`);
      }
    }
  }
});

Deno.test("check() changes nothing when a forged packet claims a counter far ahead", () => {
  const window = new ReplayWindow();
  window.commit(5, 0);
  assert(window.check(0, 0x80000000));
  assert(window.check(6, 0));
  assert(window.check(4, 0));
  assert(!window.check(5, 0));
});

Deno.test("check() and commit() refuse when the counter is REJECT_AFTER_MESSAGES or more", () => {
  const window = new ReplayWindow();
  for (const above of [0n, 1n, 2n, 0x1fffn, 0x2000n]) {
    assertEquals(check(window, REJECT_AFTER_MESSAGES + above), false);
    assertEquals(commit(window, REJECT_AFTER_MESSAGES + above), false);
  }
  assert(commit(window, 0n));
  assert(commit(window, REJECT_AFTER_MESSAGES - 1n));
  assert(!commit(window, REJECT_AFTER_MESSAGES - 1n));
  assert(!commit(window, REJECT_AFTER_MESSAGES));
  assert(commit(window, REJECT_AFTER_MESSAGES - 8161n));
  assert(!commit(window, REJECT_AFTER_MESSAGES - 8162n));
});

Deno.test("check() and commit() agree with the obvious window when counters wander", () => {
  const bases = [0n, 2n ** 31n, 2n ** 32n, 3n * 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 9000n];
  const random = new Random(1);
  let taken = 0;
  let refused = 0;
  for (let run = 0; run < 60; run++) {
    const window = new ReplayWindow();
    const obvious = new ObviousWindow();
    let greatest = random.pick(bases) - BigInt(random.below(12_000));
    if (greatest < 0n) greatest = 0n;
    for (let round = 0; round < 2000; round++) {
      const kind = random.below(20);
      let counter = greatest;
      if (kind < 9) counter += BigInt(random.below(4));
      else if (kind < 12) counter -= BigInt(random.below(64));
      else if (kind < 16) counter -= BigInt(random.below(8400));
      else if (kind < 18) counter += BigInt(random.between(8100, 8300));
      else if (kind < 19) counter -= BigInt(random.between(8150, 8200));
      else if (round % 50 === 0) counter += BigInt(random.uint32()) * 3n;
      if (counter < 0n || counter >= 2n ** 64n) continue;
      const message = `seed 1, run ${run}, round ${round}, counter ${counter}`;
      assertEquals(check(window, counter), obvious.check(counter), message);
      // One in ten fails to authenticate and is never committed.
      if (random.chance(0.1)) continue;
      const expected = obvious.commit(counter);
      assertEquals(commit(window, counter), expected, message);
      if (expected) taken++;
      else refused++;
      if (expected && counter > greatest) greatest = counter;
    }
  }
  assert(taken > 20_000 && refused > 20_000, `${taken} taken, ${refused} refused`);
});

Deno.test("check() and commit() allocate nothing when counters are in the upper halves", () => {
  const window = new ReplayWindow();
  // In an array, since a captured number above 2^31 would itself be put on the heap.
  const counter = Uint32Array.of(0xffff0000, 7);
  let asked = 0;
  let taken = 0;
  const calls = 50_000;
  const grown = heapGrowth(calls, () => {
    asked++;
    counter[0]! += 3;
    if (counter[0]! < 3) counter[1]! += 1;
    if (window.check(counter[0]!, counter[1]!) && window.commit(counter[0]!, counter[1]!)) taken++;
  });
  assertEquals(taken, asked);
  assertEquals(counter[1], 8);
  assert(grown < calls, `${grown} bytes in ${calls} calls`);
});

Deno.test("windows side by side know nothing of each other", () => {
  const random = new Random(9);
  const pairs = Array.from(
    { length: 40 },
    () => ({ window: new ReplayWindow(), obvious: new ObviousWindow(), last: 0n }),
  );
  for (let i = 0; i < 40_000; i++) {
    const pair = random.pick(pairs);
    const step = random.chance(0.02) ? 2 * REPLAY_RING_SIZE : 300;
    const counter = pair.last + BigInt(random.between(-step, step));
    if (counter < 0n) continue;
    pair.last = counter;
    assertEquals(check(pair.window, counter), pair.obvious.check(counter));
    assertEquals(commit(pair.window, counter), pair.obvious.commit(counter));
  }
});
