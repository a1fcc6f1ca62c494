/** Tests of the queue of what is due: in order, each once, and nothing else is looked at. */
import { DueQueue } from "../../../../lib/core/limits/due_queue.ts";
import { Session } from "../../../../lib/core/transport/fake_tcp/session.ts";
import { assert, assertEquals, assertStrictEquals } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";
import { build, CLIENT_ADDRESS, SYN, World } from "../../../support/fake_tcp/world.ts";

const TUPLE = { addresses: Int32Array.of(3, 1), localPort: 2, remotePort: 4 };
const newSession = () => new Session(TUPLE, 0, { isClient: false, maxPayload: 1460 });

Deno.test("connections are taken when they are due, the first one first, however they were armed and removed", () => {
  const random = new Random(4);
  const queue = new DueQueue<Session>();
  const sessions = Array.from({ length: 500 }, newSession);
  const expected = new Map<Session, number>();
  for (let round = 0; round < 20_000; round++) {
    const session = random.pick(sessions);
    if (random.chance(0.3)) {
      queue.remove(session);
      expected.delete(session);
    } else {
      const at = random.below(10_000);
      queue.arm(session, at);
      expected.set(session, Math.min(at, expected.get(session) ?? Infinity));
    }
    assertEquals(queue.at, expected.size === 0 ? Infinity : Math.min(...expected.values()));
  }
  assertStrictEquals(queue.take(queue.at - 1), null);
  let last = -1;
  for (let taken = queue.take(5_000); taken !== null; taken = queue.take(5_000)) {
    const at = expected.get(taken)!;
    assert(at >= last && at <= 5_000);
    last = at;
    expected.delete(taken);
  }
  assert([...expected.values()].every((at) => at > 5_000));
  assertEquals(queue.at, Math.min(...expected.values()));
});

Deno.test("poll() visits the connections that have something due, and no other", () => {
  const { server, clock } = new World();
  server.authenticates = false;
  const open = (source: number) => {
    server.receive(build({ source, flags: SYN, seq: 0 }));
    const [answer] = server.drained();
    server.receive(build({ source, seq: 1, ack: answer!.seq + 1 }));
    server.drain();
  };
  for (let i = 0; i < 1_000; i++) open(0x0a000000 + i);
  server.poll();
  // All of them are looked at by this.
  let looks = 0;
  for (const session of server.transport.sessions) {
    Object.defineProperty(session, "hintAt", { get: () => (looks++, Infinity) });
  }
  clock.advance(100);
  open(CLIENT_ADDRESS);
  const session = [...server.transport.sessions].at(-1)!;
  for (let i = 0; i < 100; i++) {
    server.send(10, session);
    clock.advance(100);
    server.poll();
    server.drain();
  }
  assertEquals(looks, 0);
});
