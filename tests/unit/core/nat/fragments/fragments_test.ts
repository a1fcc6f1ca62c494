/** Tests of fragments on their way through the NAT: order, ids, bounds of memory and time. */
import { FRAGMENT_TIMEOUT } from "../../../../../lib/core/nat/constants.ts";
import { DropReason } from "../../../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals, assertNotEquals } from "../../../../support/assert.ts";
import {
  buildTcp,
  buildUdp,
  type Bytes,
  fragment,
  type UdpFields,
} from "../../../../support/packets/packet_builder.ts";
import {
  assertSilent,
  CLIENT,
  CLIENT_2,
  EXTERNAL,
  only,
  read,
  reassemble,
  REMOTE,
  World,
} from "../../../../support/nat/world.ts";

const PAYLOAD = Uint8Array.from({ length: 4000 }, (_, i) => i * 7);

function parts(fields: UdpFields = {}, mtu = 1420): Bytes[] {
  return fragment(
    buildUdp({ source: CLIENT, destination: REMOTE, payload: PAYLOAD, ...fields }),
    mtu,
  );
}

Deno.test("fragments of two clients' packets with one id leave with different ids", () => {
  const world = new World();
  const sent = [CLIENT, CLIENT_2].map((source) => parts({ source, identification: 5 }));
  const ids = new Map<string, Set<number>>();
  const whole: Bytes[][] = [[], []];
  for (let i = 0; i < sent[0].length; i++) {
    for (const client of [0, 1]) {
      const packet = only(world.outbound(sent[client][i]), "outside");
      whole[client].push(packet);
      const seen = ids.get(`${client}`) ?? new Set();
      ids.set(`${client}`, seen.add(read(packet).identification));
    }
  }
  assertEquals([...ids.values()].map((seen) => seen.size), [1, 1]);
  assertNotEquals([...ids.get("0")!], [...ids.get("1")!]);
  for (const fragments of whole) {
    assertEquals(read(reassemble(fragments)).transport.slice(8), PAYLOAD);
  }
});

Deno.test("fragments that are too long for the next link are divided once more, each in its place", () => {
  const world = new World({ externalMtu: 700, innerMtu: 1420 });
  const sent = parts().reverse().flatMap((part) => world.outbound(part).outside);
  assert(sent.every((packet) => packet.length <= 700));
  assertEquals(read(reassemble(sent)).transport.slice(8), PAYLOAD);
});

Deno.test("fragments with DF that are too long are dropped; only the first is answered", () => {
  const world = new World({ externalMtu: 700 });
  const marked = parts({ dontFragment: true }).map((part) => {
    part[6] |= 0x40;
    part[10] -= 0x40;
    return part;
  });
  const error = read(only(world.outbound(marked[0]), "inside"));
  assertEquals([error.type, error.code], [3, 4]);
  assertSilent(world.outbound(marked[1]));
});

Deno.test("a fragmented TCP segment passes", () => {
  const world = new World();
  const segment = buildTcp({ source: CLIENT, destination: REMOTE, payload: PAYLOAD });
  const sent = fragment(segment, 1000).flatMap((part) => world.outbound(part).outside);
  const whole = read(reassemble(sent));
  assertEquals([whole.source, whole.transport.slice(20)], [EXTERNAL, PAYLOAD]);
});

Deno.test("fragments are hairpinned, in order and out of order", () => {
  for (const backwards of [false, true]) {
    const world = new World();
    const out = world.outbound(buildUdp({ source: CLIENT, destination: REMOTE, sourcePort: 9 }));
    const destinationPort = read(only(out, "outside")).sourcePort;
    const list = parts({ source: CLIENT_2, destination: EXTERNAL, destinationPort });
    if (backwards) list.reverse();
    assert(list.every((part) => world.takeExternal(part)));
    const sent = list.map((part) => world.outbound(part));
    assertEquals(sent.flatMap(({ outside }) => outside), []);
    const whole = read(reassemble(sent.flatMap(({ inside }) => inside)));
    assertEquals(
      [whole.source, whole.destination, whole.destinationPort],
      [EXTERNAL, CLIENT, 9],
    );
    assertEquals(whole.transport.slice(8), PAYLOAD);
  }
});

Deno.test("fragments whose first does not come are forgotten after a while", () => {
  for (const [late, count] of [[false, 3], [true, 1]] as const) {
    const world = new World();
    const [first, second, third] = parts();
    assertSilent(world.outbound(second));
    assertSilent(world.outbound(third));
    world.advance(late ? FRAGMENT_TIMEOUT : FRAGMENT_TIMEOUT - 1);
    assertEquals(world.outbound(first).outside.length, count);
  }
});

Deno.test("a packet of a client's whose first fragment never comes is counted, once; one from outside may be the host's", () => {
  const world = new World();
  const [, second, third] = parts();
  world.outbound(second);
  world.outbound(third);
  world.inbound(parts({ source: REMOTE, destination: EXTERNAL })[1]);
  world.advance(FRAGMENT_TIMEOUT - 1);
  assertEquals(world.dropped(DropReason.natFragment), 0);
  world.advance(2_000);
  assertEquals(world.dropped(DropReason.natFragment), 1);
  // One that comes again too late, before anybody has looked.
  world.outbound(second);
  world.clock.advance(FRAGMENT_TIMEOUT);
  world.outbound(second);
  assertEquals(world.dropped(DropReason.natFragment), 2);
});

Deno.test("fragments behind their first are dropped when they come too late", () => {
  const world = new World();
  const [first, second] = parts();
  only(world.outbound(first), "outside");
  world.advance(FRAGMENT_TIMEOUT - 1);
  only(world.outbound(second), "outside");
  world.advance(1);
  assertSilent(world.outbound(second));
});

Deno.test("fragments whose first was refused do not pass", () => {
  const world = new World({ clientQuota: 0 });
  const [first, second, third] = parts();
  assertSilent(world.outbound(second));
  only(world.outbound(first), "inside");
  assertSilent(world.outbound(third));
});

Deno.test("at most 64 fragments of one packet wait", () => {
  const world = new World();
  const list = parts({}, 60);
  assert(list.length > 80);
  for (const part of list.slice(1)) assertSilent(world.outbound(part));
  assertEquals(world.dropped(DropReason.natFragment), list.length - 1 - 64);
  assertEquals(world.outbound(list[0]).outside.length, 65);
});

/** An inner address of a client of its own. */
function inner(client: number): string {
  return `10.66.${client >> 8}.${client & 255}`;
}

Deno.test("a mebibyte of fragments waits at most, and the oldest are evicted", () => {
  const world = new World();
  const later = (client: number) => parts({ source: inner(client) })[1];
  const size = later(0).length;
  for (let client = 0; client < 1000; client++) assertSilent(world.outbound(later(client)));
  const room = Math.floor(1024 * 1024 / size);
  assertEquals(world.dropped(DropReason.natFragment), 1000 - room);
  const sent = (client: number) =>
    world.outbound(parts({ source: inner(client) })[0]).outside.length;
  assertEquals([sent(999 - room), sent(1000 - room), sent(999)], [1, 2, 2]);
});

Deno.test("one sender has an eighth of the room for fragments that wait at most, and loses its own oldest", () => {
  const world = new World();
  const later = (identification: number) => parts({ identification })[1];
  const room = Math.floor(1024 * 1024 / 8 / later(0).length);
  for (let i = 0; i < 1000; i++) assertSilent(world.outbound(later(i)));
  assertEquals(world.dropped(DropReason.natFragment), 1000 - room);
  const sent = (identification: number) =>
    world.outbound(parts({ identification })[0]).outside.length;
  assertEquals([sent(999 - room), sent(1000 - room), sent(999)], [1, 2, 2]);
});

Deno.test("fragments of a client pass in whatever order, however many others send whose first never comes", () => {
  const world = new World();
  const [first, second, third] = parts({ source: CLIENT_2 });
  const flood = () => {
    for (let client = 0; client < 5; client++) {
      for (let identification = 0; identification < 1500; identification++) {
        world.outbound(parts({ source: inner(0x5000 + client), identification }, 400)[1]);
      }
    }
  };
  assertSilent(world.outbound(third));
  flood();
  assertEquals(world.outbound(first).outside.length, 2);
  flood();
  only(world.outbound(second), "outside");
});

Deno.test("fragments of a client pass behind their first, however many packets others begin and do not end", () => {
  const world = new World();
  const [first, second] = parts({ source: CLIENT_2 });
  only(world.outbound(first), "outside");
  for (let identification = 0; identification < 5000; identification++) {
    world.outbound(parts({ identification })[0]);
  }
  only(world.outbound(second), "outside");
});

Deno.test("fragments from outside reach a client, whatever one sender sends to others or to nobody", () => {
  const world = new World();
  const portOf = (source: string) =>
    read(only(world.outbound(buildUdp({ source, destination: REMOTE })), "outside")).sourcePort;
  const [port, other] = [portOf(CLIENT_2), portOf(CLIENT)];
  const whole = { destination: EXTERNAL, destinationPort: port };
  const [first, second, third] = parts({ ...whole, source: REMOTE });
  const flood = () => {
    for (let identification = 0; identification < 5000; identification++) {
      const begun = parts({
        ...whole,
        source: "192.0.2.9",
        destinationPort: other,
        identification,
      });
      world.inbound(begun[0]);
      world.inbound(parts({ ...whole, source: "192.0.2.10", identification })[1]);
    }
  };
  assertSilent(world.inbound(third));
  flood();
  assertEquals(world.inbound(first).inside.length, 2);
  flood();
  only(world.inbound(second), "inside");
});

Deno.test("fragments from outside that wait outlast a flood from forged addresses that is shorter than the room for it", () => {
  const world = new World();
  const out = only(world.outbound(buildUdp({ source: CLIENT, destination: REMOTE })), "outside");
  const whole = { destination: EXTERNAL, destinationPort: read(out).sourcePort };
  const [first, second, third] = parts({ ...whole, source: REMOTE });
  assertSilent(world.inbound(third));
  assertSilent(world.inbound(second));
  for (let i = 0; i < 700; i++) {
    assertSilent(world.inbound(parts({ ...whole, source: `192.0.${i >> 8}.${i & 255}` })[1]));
  }
  assertEquals(world.inbound(first).inside.length, 3);
});

Deno.test("a fragment longer than any link takes does not wait", () => {
  const world = new World();
  const [first, second] = parts({}, 2000);
  assertSilent(world.outbound(second));
  assertEquals(world.dropped(DropReason.natFragment), 1);
  assertEquals(world.outbound(first).outside.length, 2);
});

Deno.test("a thousand fragmented packets are under way at most, and the oldest are evicted", () => {
  const world = new World();
  const sent = Array.from({ length: 1100 }, (_, identification) => parts({ identification }));
  for (const [first] of sent) only(world.outbound(first), "outside");
  const passes = (identification: number) => world.outbound(sent[identification][1]).outside.length;
  assertEquals([passes(0), passes(75), passes(76), passes(1099)], [0, 0, 1, 1]);
});

Deno.test("the time to live of later fragments is counted down, and its end is silent", () => {
  const world = new World();
  const out = only(world.outbound(buildUdp({ source: CLIENT, destination: REMOTE })), "outside");
  const part = (index: number, timeToLive: number) =>
    parts({
      source: REMOTE,
      destination: EXTERNAL,
      destinationPort: read(out).sourcePort,
      timeToLive,
    })[index];
  assertEquals(read(only(world.inbound(part(0, 9)), "inside")).timeToLive, 8);
  assertEquals(read(only(world.inbound(part(1, 2)), "inside")).timeToLive, 1);
  assertSilent(world.inbound(part(1, 1)));
  assertEquals(world.dropped(DropReason.ttlExceeded), 1);
});

Deno.test("fragments take no memory that a queue still names", () => {
  const world = new World();
  const [nat] = world.nat.all;
  // Nothing is drained: what has no room is dropped, and what is queued stays whole.
  for (let i = 0; i < 40; i++) {
    for (const part of parts({ identification: i, sourcePort: i + 1 }, 300).reverse()) {
      world.memory.bytes.set(part, 10);
      nat.outbound(10, world.clock.now);
    }
  }
  assert(world.dropped(DropReason.sendQueueFull) > 0);
  const { outside } = nat;
  const seen = new Set(outside.offsets.subarray(0, outside.length));
  // All but the first fragments, which lie where they were offered.
  assertEquals(seen.size, 513);
  outside.clear();
  const whole = parts({ identification: 99 }).reverse().flatMap((part) =>
    world.outbound(part).outside
  );
  assertEquals(read(reassemble(whole)).transport.slice(8), PAYLOAD);
});
