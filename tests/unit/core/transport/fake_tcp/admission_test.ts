/** Tests of who loses a connection where there are too many (lib/core/transport/fake_tcp/README.md: "Tables"). */
import {
  MAX_SESSIONS_OF_CLIENT,
  MAX_UNPROVEN_OF_ADDRESS,
  MAX_UNPROVEN_SESSIONS,
} from "../../../../../lib/core/transport/fake_tcp/constants.ts";
import type { Session } from "../../../../../lib/core/transport/fake_tcp/session.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import {
  build,
  familyTest,
  findSession,
  RST,
  segment6,
  SERVER_ADDRESS,
  SERVER_PORT,
  SYN,
  tupleOf,
  World,
} from "../../../../support/fake_tcp/world.ts";

const ISN = 3_000;
const FLOODER = 0x0a000001;

function listening() {
  const { server, clock } = new World();
  /** Opens a connection, and sends something by it. Returns it, or null where it did not last. */
  const open = (source: number, sourcePort: number, isAuthentic = false): Session | null => {
    const ends = { source, sourcePort };
    server.receive(build({ ...ends, flags: SYN, seq: ISN }));
    const answer = server.drained().find(({ flags }) => (flags & SYN) !== 0);
    server.authenticates = isAuthentic;
    server.receive(
      build({ ...ends, seq: ISN + 1, ack: answer!.seq + 1, payload: new Uint8Array(10) }),
    );
    return find(source, sourcePort);
  };
  const find = (source: number, sourcePort: number) =>
    findSession(
      server.transport,
      tupleOf({
        ...{
          remote: source,
          remotePort: sourcePort,
          local: SERVER_ADDRESS,
          localPort: SERVER_PORT,
        },
      }),
    );
  return { server, clock, open, find };
}

familyTest(
  "one address that opens connection after connection loses its own oldest, which is told",
  () => {
    const { server, open, find } = listening();
    const others = Array.from({ length: 20 }, (_, i) => open(0x0b000000 + i, 5));
    for (let i = 0; i < 3 * MAX_UNPROVEN_OF_ADDRESS; i++) {
      assert(open(FLOODER, 1_000 + i) !== null);
      if (i < MAX_UNPROVEN_OF_ADDRESS) server.drain();
      else {
        const resets = server.drained().filter(({ flags }) => (flags & RST) !== 0);
        assertEquals(resets.map(({ destinationPort }) => destinationPort), [
          1_000 + i - MAX_UNPROVEN_OF_ADDRESS,
        ]);
      }
    }
    assertEquals(server.transport.sessions.size, 20 + MAX_UNPROVEN_OF_ADDRESS);
    assert(others.every((session, i) => find(0x0b000000 + i, 5) === session));
    // New clients get in, as ever.
    assert(open(0x0c000001, 5, true)!.isProven);
    assertEquals(server.dropped, { fake_tcp_sessions_full: 2 * MAX_UNPROVEN_OF_ADDRESS });
  },
);

familyTest(
  "100 clients behind the flooder's own address are served: what authenticates is nobody else's to take",
  () => {
    const { server, open, find } = listening();
    const clients: Session[] = [];
    for (let i = 0; i < 2 * MAX_UNPROVEN_OF_ADDRESS; i++) {
      open(FLOODER, 10_000 + i);
      if (i % 20 === 0) clients.push(open(FLOODER, 1_000 + i, true)!);
      server.drain();
    }
    assert(clients.length > 100);
    for (const session of clients) {
      assert(session.isProven);
      assertEquals(find(FLOODER, session.remotePort), session);
    }
  },
);

familyTest(
  "a flood from more addresses than there is room for evicts no proven connection, and admits a client that proves itself",
  () => {
    const { server, open, find } = listening();
    const proven = open(0x0c000001, 5, true);
    for (let i = 0; i < 2 * MAX_UNPROVEN_SESSIONS; i++) {
      open(0x0d000000 + i, 5);
      if (i % 1_000 === 0) assert(open(0x0e000000 + i, 5, true)!.isProven);
      server.drain();
    }
    assertEquals(find(0x0c000001, 5), proven);
    assertEquals(server.transport.sessions.size, MAX_UNPROVEN_SESSIONS + 1 + 17);
  },
);

familyTest(
  "a client that proves itself by connection after connection keeps its last ones, and takes no other's",
  () => {
    const { server, open, find } = listening();
    const other = open(0x0c000001, 5, true);
    const client = {};
    server.clientOf = () => client;
    for (let i = 0; i < 50; i++) open(FLOODER, 1_000 + i, true);
    assertEquals(server.transport.sessions.size, 1 + MAX_SESSIONS_OF_CLIENT);
    assertEquals(find(0x0c000001, 5), other);
    assert(find(FLOODER, 1_049) !== null);
  },
);

Deno.test("a /64 of IPv6 is one party, whichever of its addresses it writes from", () => {
  const { server } = listening();
  server.authenticates = false;
  const open = (source: string) => {
    server.receive(segment6({ source, flags: SYN, seq: ISN }));
    const ack = server.drained().find(({ flags }) => (flags & SYN) !== 0)!.seq + 1;
    server.receive(segment6({ source, seq: ISN + 1, ack, payload: new Uint8Array(10) }));
    server.drain();
  };
  for (let i = 1; i <= 2 * MAX_UNPROVEN_OF_ADDRESS; i++) open(`2001:db8:0:7::${i.toString(16)}`);
  assertEquals(server.transport.sessions.size, MAX_UNPROVEN_OF_ADDRESS);
  open("2001:db8:0:8::1");
  assertEquals(server.transport.sessions.size, MAX_UNPROVEN_OF_ADDRESS + 1);
});

familyTest("places of connections that end are free again", () => {
  const { server, open, clock } = listening();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < MAX_UNPROVEN_OF_ADDRESS; i++) open(FLOODER, 1_000 + i, i % 2 === 0);
    server.drain();
    clock.advance(400_000);
    server.poll();
    server.drain();
    assertEquals(server.transport.sessions.size, 0);
  }
  assertEquals(server.dropped, {});
});
