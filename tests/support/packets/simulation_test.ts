/** Tests of the simulated world: what it says it does to datagrams, it does, and the same for the same seed. */
import { createMemory } from "../../../lib/core/wire/memory.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import { createFastAead } from "./fast_aead.ts";
import { FakeClock } from "../time/fake_clock.ts";
import { KeyLedger } from "./key_ledger.ts";
import { type Datagram, type LinkConditions, MemoryLink, PERFECT_LINK } from "./memory_link.ts";
import { Random } from "../random.ts";
import { Schedule } from "../time/schedule.ts";
import { Simulation } from "./simulation.ts";

const ROUGH: LinkConditions = {
  loss: 0.1,
  duplication: 0.05,
  reordering: 0.2,
  holdUp: 100,
  latency: 10,
};

/** The numbers that come out of a link, one sent each ms. */
function arrivals(seed: number, conditions: LinkConditions, count: number): number[] {
  const link = new MemoryLink(new Random(seed), conditions);
  const numbers: number[] = [];
  for (let now = 0; now < count + 1000; now++) {
    if (now < count) link.send(datagram(now), now);
    for (let it = link.receive(now); it !== undefined; it = link.receive(now)) {
      numbers.push(new DataView(it.bytes.buffer).getUint32(0));
    }
  }
  return numbers;
}

function datagram(number: number): Datagram {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, number);
  return { bytes, sourceAddress: 1, sourcePort: 1, destinationAddress: 2, destinationPort: 2 };
}

Deno.test("Schedule gives items by time, and those of one time in order", () => {
  const schedule = new Schedule<number>();
  const random = new Random(1);
  const times = Array.from({ length: 1000 }, () => random.below(100));
  times.forEach((at, i) => schedule.add(at, i));
  const taken: number[] = [];
  for (let now = 0; now < 100; now++) {
    for (let it = schedule.take(now); it !== undefined; it = schedule.take(now)) {
      assertEquals(times[it], now);
      taken.push(it);
    }
    assert(schedule.nextAt > now);
  }
  const expected = times.map((at, i) => ({ at, i })).sort((a, b) => a.at - b.at || a.i - b.i);
  assertEquals(taken, expected.map(({ i }) => i));
});

Deno.test("MemoryLink delivers all in order when it is perfect", () => {
  assertEquals(arrivals(1, PERFECT_LINK, 100), Array.from({ length: 100 }, (_, i) => i));
});

Deno.test("MemoryLink loses, repeats and reorders as often as it is told", () => {
  const numbers = arrivals(1, ROUGH, 10_000);
  const kinds = new Set(numbers).size;
  assert(Math.abs(kinds - 9_000) < 200, `${kinds} arrived`);
  assert(Math.abs(numbers.length - kinds - 450) < 100, `${numbers.length - kinds} arrived twice`);
  const overtaken = numbers.filter((number, i) => number < (numbers[i - 1] ?? 0)).length;
  assert(overtaken > 1000, `${overtaken} were overtaken`);
});

Deno.test("MemoryLink does the same for the same seed, and something else for another", () => {
  assertEquals(arrivals(7, ROUGH, 500), arrivals(7, ROUGH, 500));
  assert(`${arrivals(7, ROUGH, 500)}` !== `${arrivals(8, ROUGH, 500)}`);
});

Deno.test("MemoryLink loses everything while it is down", () => {
  const link = new MemoryLink(new Random(1));
  link.isDown = true;
  link.send(datagram(1), 0);
  assertEquals([link.nextAt, link.lost], [Infinity, 1]);
});

Deno.test("Simulation jumps from event to event and stops at the end", () => {
  const simulation = new Simulation();
  const start = simulation.now;
  const times: number[] = [];
  for (const ms of [500, 100, 100, 3000]) {
    simulation.after(ms, () => times.push(simulation.now - start));
  }
  simulation.run(1000);
  assertEquals(times, [100, 100, 500]);
  assertEquals(simulation.now, start + 1000);
});

Deno.test("Simulation stops when time no longer passes", () => {
  const simulation = new Simulation();
  // A poll time that stays in the past, which `poll()` never moves.
  const device = simulation.addDevice({
    name: "stuck",
    address: "192.0.2.1",
    tunnelAddress: "10.0.0.1/24",
  });
  device.device.pollAt = () => simulation.now;
  assertThrows(() => simulation.run(10), Error, "Cannot go on");
});

Deno.test("the fast cipher opens what it sealed, and nothing that was changed", () => {
  const memory = createMemory(256);
  const aead = createFastAead(memory);
  const [key, other] = [1, 2].map((byte) => aead.key(new Uint8Array(32).fill(byte)));
  const plain = new Random(1).bytes(50);
  memory.bytes.set(plain);
  key!.seal(100, 0, 50, 5, 6);
  const sealed = memory.bytes.slice(100, 166);
  assert(sealed.subarray(0, 50).toHex() !== plain.toHex());
  const opens = (low: number, high: number, by = key!) => by.open(0, 100, 50, low, high);
  assertEquals([opens(4, 6), opens(5, 7), opens(5, 6, other)], [false, false, false]);
  for (let at = 0; at < sealed.length; at++) {
    memory.bytes.set(sealed, 100);
    memory.bytes[100 + at]! ^= 0x80;
    assertEquals(opens(5, 6), false, `byte ${at}`);
  }
  memory.bytes.set(sealed, 100);
  assert(opens(5, 6));
  assertEquals(memory.bytes.slice(0, 50), plain);
  key!.destroy();
  assertEquals([opens(5, 6), key!.seal(0, 0, 0, 0, 0)], [false, false]);
});

Deno.test("the key ledger stops a nonce that comes twice, at whichever end, and a key of 180 s", () => {
  const memory = createMemory(256);
  const clock = new FakeClock();
  const ledger = new KeyLedger(clock);
  const [here, there] = ["here", "there"].map((owner) =>
    ledger.wrap(createFastAead(memory), owner)
  );
  const secret = new Uint8Array(32).fill(1);
  const [one, other] = [here!.key(secret), there!.key(secret)];
  one.seal(0, 0, 0, 1, 0);
  one.seal(0, 0, 0, 2, 0);
  other.seal(0, 0, 0, 0, 1);
  assertThrows(() => one.seal(0, 0, 0, 1, 0), Error, "here uses nonce 0:1 twice");
  assertThrows(() => other.seal(0, 0, 0, 2, 0), Error, "there uses nonce 0:2 twice");
  clock.advance(179_999);
  one.seal(0, 0, 0, 3, 0);
  clock.advance(1);
  assertThrows(() => one.seal(0, 0, 0, 4, 0), Error, "here seals under a key of 180000 ms");
  other.destroy();
  assertThrows(() => other.seal(0, 0, 0, 5, 0), Error, "there seals under a destroyed key");
  assertEquals([ledger.live("here"), ledger.live("there"), ledger.live("nobody")], [1, 0, 0]);
});
