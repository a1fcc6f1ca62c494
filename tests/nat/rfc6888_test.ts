/** Tests of the parts of RFC 6888, requirements for NATs of many subscribers, that apply, each named by its number. */
import { PORT_REST_TIME, SESSIONS_PER_MAPPING, UDP_TIMEOUT } from "../../lib/nat/constants.ts";
import { DropReason } from "../../lib/wire/drop_reason.ts";
import { assert, assertEquals, assertNotEquals } from "../support/assert.ts";
import { buildTcp, buildUdp } from "../support/packet_builder.ts";
import { connect } from "./connection.ts";
import {
  ACK,
  CLIENT,
  CLIENT_2,
  only,
  read,
  REMOTE,
  REMOTE_2,
  SECOND,
  type Sent,
  SYN,
  World,
} from "./world.ts";

function send(world: World, sourcePort: number, source = CLIENT): Sent {
  return world.outbound(buildUdp({ source, destination: REMOTE, sourcePort }));
}

Deno.test("RFC 6888 REQ-4: a client holds so many ports and no more, and others are not affected", () => {
  const world = new World({ clientQuota: 10 });
  for (let port = 1; port <= 10; port++) only(send(world, port), "outside");
  for (let port = 11; port <= 20; port++) only(send(world, port), "inside");
  assertEquals([world.nat.mappingCount, world.dropped(DropReason.natQuota)], [10, 10]);
  only(send(world, 11, CLIENT_2), "outside");
  world.advance(UDP_TIMEOUT);
  only(send(world, 11), "outside");
});

Deno.test("RFC 6888 REQ-4: addresses of one client count together", () => {
  const world = new World({ clientQuota: 2, clientOf: (address) => address >>> 8 });
  only(send(world, 1, CLIENT), "outside");
  only(send(world, 1, CLIENT_2), "outside");
  only(send(world, 2, CLIENT), "inside");
});

Deno.test("RFC 6888 REQ-5: a client's sessions are limited too, and take no ports once they are", () => {
  const world = new World({ clientQuota: 5 });
  const segment = (source: string, sourcePort: number, destinationPort: number) =>
    world.outbound(
      buildTcp({ source, destination: REMOTE, sourcePort, destinationPort, flags: SYN }),
    );
  for (let port = 1; port <= 5 * SESSIONS_PER_MAPPING; port++) {
    only(segment(CLIENT, 40_000, port), "outside");
  }
  for (let port = 1; port <= 20; port++) {
    assertEquals(read(only(segment(CLIENT, 40_000, 1000 + port), "inside")).code, 13);
    world.advance(SECOND);
    segment(CLIENT, 41_000 + port, 1);
  }
  assertEquals(world.nat.mappingCount, 1);
  only(segment(CLIENT_2, 40_000, 1), "outside");
  // What was there goes on.
  only(segment(CLIENT, 40_000, 1), "outside");
});

Deno.test("RFC 6888 REQ-5: permissions to answer are sessions", () => {
  const world = new World({ clientQuota: 5, filtering: "address" });
  for (let last = 1; last <= 40; last++) {
    const destination = `198.51.100.${last}`;
    const { outside } = world.outbound(buildUdp({ source: CLIENT, destination }));
    assertEquals(outside.length, last <= 5 * SESSIONS_PER_MAPPING ? 1 : 0);
  }
  assertEquals(world.nat.sessionCount, 5 * SESSIONS_PER_MAPPING);
});

Deno.test("RFC 6888 REQ-8: a released port rests for two minutes", () => {
  const world = new World({ ports: { first: 30_000, last: 30_000 } });
  assertEquals(PORT_REST_TIME, 120 * SECOND);
  only(send(world, 40_000), "outside");
  world.advance(UDP_TIMEOUT);
  only(send(world, 40_000), "inside");
  world.advance(PORT_REST_TIME - 1);
  only(send(world, 40_000), "inside");
  world.advance(1);
  only(send(world, 40_000), "outside");
});

Deno.test("RFC 6888 REQ-11: what is refused makes nothing that exists give way", () => {
  const world = new World({ ports: { first: 30_000, last: 30_001 } });
  const port = read(only(send(world, 40_000), "outside")).sourcePort;
  const connection = connect(world);
  only(send(world, 40_001), "outside");
  for (let i = 0; i < 100; i++) {
    assertEquals(send(world, 50_000 + i).outside, []);
    world.advance(SECOND);
  }
  assertEquals(world.dropped(DropReason.natPortsExhausted), 100);
  assertEquals(read(only(send(world, 40_000), "outside")).sourcePort, port);
  only(connection.in(ACK), "inside");
});

Deno.test("RFC 6888 REQ-13: every port of the range is used before one is refused", () => {
  const world = new World({ ports: { first: 1000, last: 1999 } });
  for (let port = 0; port < 1000; port++) {
    only(
      world.outbound(buildUdp({ source: CLIENT, destination: REMOTE_2, sourcePort: port })),
      "outside",
    );
  }
  only(send(world, 5000), "inside");
});

Deno.test("RFC 6888 REQ-15: who knows some ports cannot tell the next", () => {
  const next = (seed: number) => {
    const world = new World({ seed });
    return Array.from(
      { length: 4 },
      (_, i) => read(only(send(world, 40_000 + 2 * i), "outside")).sourcePort,
    );
  };
  const [first, second] = [next(1), next(2)];
  assertNotEquals(first, second);
  assert(first.some((port, i) => i > 0 && Math.abs(port - first[i - 1]) > 100));
});
