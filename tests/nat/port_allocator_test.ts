/** Tests of the allocation of external ports. */
import { PORT_REST_TIME } from "../../lib/nat/constants.ts";
import { PortAllocator } from "../../lib/nat/port_allocator.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { Random } from "../support/random.ts";

function allocator(first: number, last: number, seed = 1): PortAllocator {
  const random = new Random(seed);
  return new PortAllocator({ first, last }, () => random.uint32());
}

Deno.test("allocate() gives each port once, and -1 when none is left", () => {
  const ports = allocator(1000, 1099);
  const taken = Array.from({ length: 100 }, (_, i) => ports.allocate(i * 7, 0));
  assertEquals([...taken].sort(), Array.from({ length: 100 }, (_, i) => 1000 + i));
  assertEquals(ports.allocate(5, 0), -1);
});

Deno.test("allocate() prefers the class over the parity over any port", () => {
  const ports = allocator(1020, 1027);
  const low = Array.from({ length: 8 }, () => ports.allocate(22, 0));
  assert(low.slice(0, 2).every((port) => port < 1024 && port % 2 === 0), `${low}`);
  assert(low.slice(2, 4).every((port) => port < 1024 && port % 2 === 1), `${low}`);
  assert(low.slice(4, 6).every((port) => port >= 1024 && port % 2 === 0), `${low}`);
  assert(low.slice(6, 8).every((port) => port >= 1024 && port % 2 === 1), `${low}`);
});

Deno.test("release() lets a port rest, and then be given out again", () => {
  const ports = allocator(5000, 5001);
  const port = ports.allocate(40_000, 0);
  ports.release(port, 1000);
  assertEquals(ports.allocate(40_000, 1000 + PORT_REST_TIME - 1), port ^ 1);
  assertEquals(ports.allocate(40_000, 1000 + PORT_REST_TIME - 1), -1);
  assertEquals(ports.allocate(40_000, 1000 + PORT_REST_TIME), port);
});

Deno.test("take() takes a free port of the range once, and has nothing against others", () => {
  const ports = allocator(5000, 5003);
  assert(ports.take(5002));
  assert(!ports.take(5002));
  assert(ports.take(80));
  assertEquals([1, 2, 3].map((wanted) => ports.allocate(wanted, 0)).sort(), [5000, 5001, 5003]);
  assertEquals(ports.allocate(2, 0), -1);
  assert(!ports.take(5000));
  ports.release(80, 0);
  assertEquals(ports.allocate(2, PORT_REST_TIME), -1);
});

Deno.test("allocate() draws every free port with like odds", () => {
  const counts = new Map<number, number>();
  for (let seed = 0; seed < 4000; seed++) {
    const port = allocator(2000, 2019, seed).allocate(40_000, 0);
    counts.set(port, (counts.get(port) ?? 0) + 1);
  }
  assertEquals(counts.size, 10);
  for (const count of counts.values()) assert(count > 320 && count < 480, `${count}`);
});

Deno.test("ports go round and round against a plain model", () => {
  const random = new Random(3);
  const ports = allocator(1000, 1063, 4);
  const restsUntil = new Map<number, number>();
  const taken = new Set<number>();
  let now = 0;
  for (let round = 0; round < 20_000; round++) {
    now += random.below(4000);
    const free = Array.from({ length: 64 }, (_, i) => 1000 + i)
      .filter((port) => !taken.has(port) && (restsUntil.get(port) ?? 0) <= now);
    if (random.chance(0.5) && taken.size > 0) {
      const port = random.pick([...taken]);
      taken.delete(port);
      restsUntil.set(port, now + PORT_REST_TIME);
      ports.release(port, now);
      continue;
    }
    const port = ports.allocate(random.below(65_536), now);
    assertEquals(port >= 0, free.length > 0);
    assert(port < 0 || free.includes(port), `port ${port} was not free`);
    if (port >= 0) taken.add(port);
  }
});
