/** Tests of the NAT's capacity: what one client does, by whatever means, shuts out neither the others nor itself. */
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { type Ends, Load } from "../../support/nat/load.ts";
import {
  address,
  CLIENT,
  CLIENT_2,
  FIN,
  REMOTE,
  RST,
  SYN,
  World,
} from "../../support/nat/world.ts";
import { ACK } from "../../support/nat/world.ts";

/** The gateway's default range, 10,000 ports. */
const PORTS = { first: 20_000, last: 29_999 };
const A = address(CLIENT);
const B = address(CLIENT_2);
const SERVER = address(REMOTE);
const KINDS = ["tcp", "udp", "icmp"] as const;

function ends(client: number, clientPort: number, remotePort = 5000, remote = SERVER): Ends {
  return { client, clientPort, remote, remotePort };
}

function stage(options = {}): { world: World; load: Load } {
  const world = new World({ ports: PORTS, ...options });
  return { world, load: new Load(world) };
}

/** Flows of B's in every protocol, to where A's go: all must leave, and their answers come. */
function assertServed(world: World, message: string): void {
  const load = new Load(world);
  for (const kind of KINDS) {
    for (let i = 0; i < 50; i++) {
      const flow = ends(B, 10_000 + i);
      const port = load.out(kind, flow, SYN);
      assert(port >= 0 && load.in(kind, flow, port), `${message}: B's ${kind} flow ${i}`);
    }
  }
}

for (const kind of KINDS) {
  Deno.test(`a client that says goodbye over and over leaves the others their ports, ${kind}`, () => {
    const { world, load } = stage();
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 4200; i++) load.out(kind, ends(A, 1024 + i, 5000, SERVER + i), SYN);
      world.nat.releaseClient(A | 0, world.clock.now);
      world.advance(100);
      assertServed(world, `round ${round}`);
      world.nat.releaseClient(B | 0, world.clock.now);
    }
    // It is not shut out itself either.
    assertEquals(load.refused, 0);
  });

  Deno.test(`a client that is removed and added again leaves the others their ports, ${kind}`, () => {
    let generation = 0;
    const clientOf = (inner: number) => inner === (A | 0) ? `a${generation}` : inner;
    const { world, load } = stage({ clientOf });
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 4200; i++) load.out(kind, ends(A, 1024 + i, 5000, SERVER + i), SYN);
      world.nat.releaseClient(`a${generation++}`, world.clock.now);
      world.advance(100);
      assertServed(world, `round ${round}`);
      world.nat.releaseClient(B | 0, world.clock.now);
    }
    assertEquals(load.refused, 0);
  });

  Deno.test(`a client that goes through all inner ports and destinations leaves the others their ports, ${kind}`, () => {
    const { world, load } = stage();
    for (let i = 0; i < 60_000; i++) {
      load.out(kind, ends(A, 1 + i, 1 + i % 7000, SERVER + i % 3), SYN);
      if (i % 1000 === 0) world.advance(500);
    }
    assertServed(world, "port cycling");
  });

  Deno.test(`several clients that take all that they can leave something for one more, ${kind}`, () => {
    const { world } = stage();
    const load = new Load(world);
    for (let client = 0; client < 6; client++) {
      for (let i = 0; i < 9000; i++) {
        load.out(kind, ends(0x0a430000 + client, 1024 + i, 5000, SERVER + i), SYN);
      }
    }
    assertServed(world, "greedy neighbours");
  });
}

Deno.test("a client that holds all established connections that it can leaves the others theirs", () => {
  const { world, load } = stage();
  const kept = load.open(ends(B, 9999, 443));
  let refused = 0;
  for (let i = 0; i < 70_000; i++) {
    // One address of its own after the other: a network behind a peer.
    if (load.open(ends(A, 1 + i % 65_535, 443, SERVER + i % 2000)) < 0) refused++;
  }
  assert(refused > 0, "nothing was refused");
  assertServed(world, "established connections");
  assert(load.in("tcp", ends(B, 9999, 443), kept));
});

Deno.test("a client that hairpins over and over leaves the others their ports", () => {
  const { world, load } = stage();
  const own = load.out("udp", ends(A, 1));
  for (let i = 0; i < 20_000; i++) {
    load.out("udp", ends(A, 2 + i, own, address("203.0.113.1")));
    if (i % 1000 === 0) world.advance(100);
  }
  assertServed(world, "hairpins");
});

Deno.test("2,000 new TCP connections a second of one client pass for a minute, and the other client's flows stay", () => {
  for (const remotes of [1, 500]) {
    const { world, load } = stage();
    const kept = load.open(ends(B, 9999, 443));
    const datagram = load.out("udp", ends(B, 9999));
    for (let i = 0; i < 120_000; i++) {
      // The client's kernel goes through its ephemeral ports.
      const flow = ends(A, 32_768 + i % 28_232, 443, SERVER + i % remotes);
      assert(load.connection(flow), `connection ${i} to one of ${remotes}`);
      if (i % 20 === 0) world.advance(10);
      if (i % 30_000 === 0) assertServed(world, `connection ${i}`);
    }
    assertEquals([load.refused, load.lost], [0, 0]);
    assertEquals(load.out("udp", ends(B, 9999)), datagram);
    assertEquals(load.out("tcp", ends(B, 9999, 443)), kept);
    assertEquals(world.drops.total, 0);
  }
});

Deno.test("2,000 TCP connections a second that nobody answers end each other, and none that is in use", () => {
  const { world, load } = stage();
  const kept = Array.from({ length: 50 }, (_, i) => load.open(ends(A, 1000 + i, 443)));
  for (let i = 0; i < 60_000; i++) {
    assert(load.out("tcp", ends(A, 2000 + i % 60_000, 80, SERVER + i), SYN) >= 0, `SYN ${i}`);
    if (i % 20 === 0) world.advance(10);
  }
  for (const [i, port] of kept.entries()) assert(load.in("tcp", ends(A, 1000 + i, 443), port));
  assertServed(world, "unanswered");
});

Deno.test("2,000 DNS questions a second of one client are answered for a minute, and the other client's flows stay", () => {
  const { world, load } = stage();
  const kept = load.out("udp", ends(B, 9999));
  const game = load.out("udp", ends(A, 500));
  const waiting: [Ends, number][] = [];
  for (let i = 0; i < 120_000; i++) {
    const question = ends(A, 1024 + i % 64_000, 53, SERVER + i % 2);
    const port = load.out("udp", question);
    assert(port >= 0, `question ${i}`);
    waiting.push([question, port]);
    // Answers come 100 ms later.
    if (waiting.length > 200) assert(load.in("udp", ...waiting.shift()!), `answer ${i}`);
    if (i % 20 === 0) world.advance(10);
    if (i % 30_000 === 0) assertServed(world, `question ${i}`);
    // The client's own calls and games go on too, and others begin with ports of their own.
    if (i % 2000 === 0) assertEquals(load.out("udp", ends(A, 500)), game);
  }
  const call = load.out("udp", ends(A, 501));
  assertEquals(load.out("udp", ends(A, 501, 5000, SERVER + 1)), call);
  assertEquals(load.out("udp", ends(B, 9999)), kept);
  assertEquals([load.refused, load.lost], [0, 0]);
});

for (const clients of [1, 15]) {
  for (const kind of ["tcp", "udp"] as const) {
    Deno.test(`10,000 ports carry 60,000 flows at a time to different destinations, ${kind}, clients: ${clients}`, () => {
      const { world, load } = stage();
      const flows: [Ends, number][] = [];
      for (let i = 0; i < 60_000; i++) {
        const flow = ends(A + i % clients, 1024 + Math.floor(i / clients), 5000, SERVER + i);
        flows.push([flow, kind === "tcp" ? load.open(flow) : load.out("udp", flow)]);
        if (i % 1000 === 0) world.advance(100);
      }
      assertEquals(load.refused, 0);
      for (const [flow, port] of flows) {
        assert(load.in(kind, flow, port));
        assertEquals(load.out(kind, flow), port);
      }
      assertEquals(world.nat.mappingCount, 60_000);
      assertEquals(world.drops.total, 0);
      world.advance(8_000_000);
      assertEquals([world.nat.mappingCount, world.nat.sessionCount], [0, 0]);
      assertEquals(world.nat.pollAt(), Infinity);
    });
  }
}

Deno.test("what is refused is said to be its client's", () => {
  const refused: unknown[] = [];
  const { load, world } = stage({ clientQuota: 1, onRefusal: (who: unknown) => refused.push(who) });
  for (let i = 0; i < 20; i++) load.open(ends(A, 40_000, 100 + i));
  assertEquals(refused, [A | 0, A | 0, A | 0, A | 0]);
  assertEquals(world.dropped(DropReason.natQuota), 4);
});

Deno.test("a connection that ends by RST or FIN, and its port, are its client's again at once", () => {
  for (const end of [[RST], [FIN | ACK]]) {
    const { world, load } = stage({ clientQuota: 2, ports: { first: 30_000, last: 30_005 } });
    for (let i = 0; i < 1000; i++) {
      const flow = ends(A, 1024 + i);
      const port = load.open(flow);
      assert(port >= 0, `connection ${i}`);
      for (const flags of end) load.out("tcp", flow, flags);
      if (end[0] !== RST) load.in("tcp", flow, port, FIN | ACK);
    }
    assertEquals(world.drops.total, 0);
  }
});

Deno.test("a connection for which the last one of its own port had to end is answered", () => {
  // One port, and 16 sessions of each protocol.
  const { world, load } = stage({ clientQuota: 1 });
  load.out("tcp", ends(A, 1024), SYN);
  world.advance(2_000);
  for (let i = 1; i < 16; i++) load.out("tcp", ends(A, 1024 + i, 5000, SERVER + i), SYN);
  world.advance(2_000);
  const flow = ends(A, 1024, 5000, SERVER + 99);
  const port = load.out("tcp", flow, SYN);
  assert(port >= 0 && load.in("tcp", flow, port));
  assertEquals(load.refused, 0);
});
