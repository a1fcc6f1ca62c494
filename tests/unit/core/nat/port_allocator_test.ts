/**
 * Tests of the allocation of external ports, to whom they belong while they rest, and what part of them one client may
 * hold.
 */
import { PORT_REST_TIME } from "../../../../lib/core/nat/constants.ts";
import { PortAllocator } from "../../../../lib/core/nat/port_allocator.ts";
import { Client, type Share } from "../../../../lib/core/nat/records.ts";
import {
  isSharedPort,
  sharedPortAt,
  sharedPortCount,
} from "../../../../lib/core/nat/shared_ports.ts";
import { SlicePorts } from "../../../../lib/core/nat/slices/port_slice.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";

function allocator(first: number, last: number, seed = 1): PortAllocator {
  const random = new Random(seed);
  return new PortAllocator({ first, last }, () => random.uint32());
}

function share(): Share {
  return new Client(null).udp;
}

/** The ports of a range that are not shared. */
function ownPorts(first: number, last: number): number[] {
  const range = { first, last };
  return Array.from({ length: last - first + 1 }, (_, i) => first + i)
    .filter((port) => !isSharedPort(range, port));
}

Deno.test("a quarter of every range is shared, of both parities", () => {
  for (const [first, last] of [[20_000, 29_999], [512, 65_535], [1, 6], [1, 7], [3, 25], [9, 9]]) {
    const range = { first, last };
    const shared = Array.from(
      { length: sharedPortCount(range) },
      (_, i) => sharedPortAt(new SlicePorts(range), i),
    );
    const expected = Array.from({ length: last - first + 1 }, (_, i) => first + i)
      .filter((port) => isSharedPort(range, port));
    assertEquals(shared, expected);
    assertEquals(ownPorts(first, last).length + shared.length, last - first + 1);
  }
  assertEquals(sharedPortCount({ first: 20_000, last: 29_999 }), 2500);
});

Deno.test("allocate() gives each port once but for the shared ones, and -1 when none is left", () => {
  const ports = allocator(1000, 1099);
  const expected = ownPorts(1000, 1099);
  const taken = expected.map((_, i) => ports.allocate(i * 7, 0));
  assertEquals(taken.sort(), expected);
  assertEquals(ports.allocate(5, 0), -1);
});

Deno.test("allocate() prefers the class over the parity over any port", () => {
  const ports = allocator(1018, 1031);
  const low = Array.from({ length: 12 }, () => ports.allocate(22, 0));
  const kinds = low.map((port) => (port < 1024 ? 2 : 0) + 1 - port % 2);
  assertEquals(kinds, [3, 3, 3, 2, 2, 2, 1, 1, 1, 0, 0, 0]);
});

Deno.test("release() lets a port rest, and it is given to others again behind that", () => {
  const ports = allocator(5000, 5001);
  const [client, other] = [share(), share()];
  const port = ports.allocate(40_000, 0);
  ports.release(port, client, 1000);
  assertEquals([client.resting, client.held], [1, 1]);
  assertEquals(ports.allocate(40_000, 1000 + PORT_REST_TIME - 1), port ^ 1);
  assertEquals(ports.reuse(other), -1);
  ports.wake(1000 + PORT_REST_TIME);
  assertEquals([client.resting, client.held], [0, 0]);
  assertEquals(ports.reuse(client), -1);
  assertEquals(ports.allocate(40_000, 1000 + PORT_REST_TIME), port);
});

Deno.test("a port rests only while others are free: then the oldest is given, whosever it was", () => {
  const ports = allocator(5000, 5003);
  const client = share();
  const taken = [2, 4, 6, 8].map((wanted) => ports.allocate(wanted, 0));
  taken.forEach((port, i) => ports.release(port, client, i));
  assertEquals(taken.map(() => ports.allocate(2, 10)), taken);
  assertEquals([client.resting, ports.allocate(2, 10)], [0, -1]);
});

Deno.test("who gave a port back may have it again at once, the oldest first", () => {
  const ports = allocator(5000, 5099);
  const [client, other] = [share(), share()];
  const [a, b, c] = [1, 2, 3].map((wanted) => ports.allocate(wanted, 0));
  ports.release(a, client, 0);
  ports.release(b, other, 0);
  ports.release(c, client, 0);
  assertEquals([client, other, client, client].map((each) => ports.reuse(each)), [a, b, c, -1]);
});

Deno.test("a client is within its share while it holds no more than is left for others, rest included", () => {
  for (const rests of [false, true]) {
    const ports = allocator(1000, 1999);
    const counts = Array.from({ length: 6 }, () => {
      const client = share();
      while (ports.isWithinShare(client)) {
        const port = ports.allocate(client.ports, 0);
        if (rests && client.held % 2 === 0) ports.release(port, client, 0);
        else client.ports++;
      }
      return client.held;
    });
    // Of 750, a half, and each time a half of what is left; a port at rest is left for others, but not for whom it
    // belongs to.
    assertEquals(counts, rests ? [376, 282, 211, 159, 119, 90] : [376, 188, 94, 47, 23, 12]);
  }
});

Deno.test("take() takes a free port of the range once, and has nothing against others", () => {
  const ports = allocator(5000, 5003);
  assert(ports.take(5002));
  assert(!ports.take(5002));
  assert(ports.take(80));
  assertEquals([1, 2, 3].map((wanted) => ports.allocate(wanted, 0)).sort(), [5000, 5001, 5003]);
  assertEquals(ports.allocate(2, 0), -1);
  assert(!ports.take(5000));
  ports.release(80, share(), 0);
  assertEquals(ports.allocate(2, PORT_REST_TIME), -1);
});

Deno.test("allocate() draws every free port with like odds", () => {
  const counts = new Map<number, number>();
  for (let seed = 0; seed < 4000; seed++) {
    const port = allocator(2000, 2025, seed).allocate(40_000, 0);
    counts.set(port, (counts.get(port) ?? 0) + 1);
  }
  assertEquals(counts.size, 10);
  for (const count of counts.values()) assert(count > 320 && count < 480, `${count}`);
});

Deno.test("ports go round and round against a plain model", () => {
  const random = new Random(3);
  const ports = allocator(1000, 1063, 4);
  const all = ownPorts(1000, 1063);
  const clients = [share(), share(), share()];
  const resting = new Map<number, { until: number; owner: Share }>();
  const taken = new Set<number>();
  let now = 0;
  for (let round = 0; round < 20_000; round++) {
    now += random.below(4000);
    const client = random.pick(clients);
    if (random.chance(0.5) && taken.size > 0) {
      const port = random.pick([...taken]);
      taken.delete(port);
      resting.set(port, { until: now + PORT_REST_TIME, owner: client });
      ports.release(port, client, now);
      continue;
    }
    if (random.chance(0.2)) {
      const [oldest] = [...resting].find(([, { owner }]) => owner === client) ?? [-1];
      assertEquals(ports.reuse(client), oldest);
      resting.delete(oldest);
      if (oldest >= 0) taken.add(oldest);
      continue;
    }
    for (const [port, { until }] of resting) if (until <= now) resting.delete(port);
    const free = all.filter((port) => !taken.has(port) && !resting.has(port));
    const [oldest] = resting.keys();
    const port = ports.allocate(random.below(65_536), now);
    if (free.length > 0) assert(free.includes(port), `port ${port} was not free`);
    else assertEquals(port, oldest ?? -1);
    resting.delete(port);
    if (port >= 0) taken.add(port);
    for (const each of clients) {
      const count = [...resting.values()].filter(({ owner }) => owner === each).length;
      assertEquals(each.resting, count);
    }
  }
});

Deno.test("claim() takes a port of those that are given out, also one at rest, and once", () => {
  const ports = allocator(20_000, 20_031);
  const owner = share();
  const drawn = ports.allocate(5, 0);
  assertEquals(ports.claim(drawn), false);
  ports.release(drawn, owner, 0);
  assertEquals([owner.resting, ports.claim(drawn), owner.resting], [1, true, 0]);
  for (const port of [19_999, 20_006, 20_032]) assertEquals(ports.claim(port), false);
  const others = ownPorts(20_000, 20_031).filter((port) => port !== drawn);
  for (const port of others) assertEquals([ports.claim(port), ports.claim(port)], [true, false]);
  assertEquals(ports.allocate(5, 0), -1);
});
