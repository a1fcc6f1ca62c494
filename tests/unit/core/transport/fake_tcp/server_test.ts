/**
 * Tests of the server's half of the handshake (lib/core/transport/fake_tcp/README.md, "Server"), and of what strangers
 * get.
 */
import {
  RESETS_OF_ADDRESS,
  RESETS_OF_CONNECTION,
} from "../../../../../lib/core/transport/fake_tcp/constants.ts";
import { assert, assertEquals, assertNotEquals } from "../../../../support/assert.ts";
import {
  ACK,
  build,
  CLIENT_ADDRESS,
  End,
  familyTest,
  FIN,
  headersSize,
  MTU,
  read,
  RST,
  type Segment,
  SERVER_PORT,
  SYN,
  World,
} from "../../../../support/fake_tcp/world.ts";

const ISN = 3_000;
/** The option that says what size of segments is taken. */
const optionOf = (size: number) => [2, 4, size >> 8, size & 255];
const OPTIONS = Uint8Array.of(2, 4, 5, 180, 1, 3, 3, 14);

function listening() {
  const { server, clock } = new World();
  const syn = (fields: Partial<Segment> = {}) => {
    server.receive(build({ flags: SYN, seq: ISN, options: OPTIONS, ...fields }));
    return server.drained();
  };
  /** A segment of the connection that this opens or has opened. */
  const send = (fields: Partial<Segment>) => {
    const length = server.receive(build(fields));
    return { length, answers: server.drained() };
  };
  return { server, clock, syn, send };
}

/** A server with one connection. `ack` is what the client acknowledges, `send` makes more of its segments. */
function accepted(fields: Partial<Segment> = {}) {
  const { server, clock, syn, send } = listening();
  const [answer] = syn(fields);
  const ack = answer!.seq + 1;
  send({ seq: ISN + 1, ack });
  assertEquals(server.events, ["established"]);
  const more = (other: Partial<Segment>) => send({ seq: ISN + 1, ack, ...other });
  return { server, clock, syn, answer: answer!, ack, send: more };
}

familyTest(
  "a SYN is answered with SYN/ACK of 28 bytes: ack = ISN + 1, MSS, NOP, window scale 14",
  () => {
    const [answer, ...others] = listening().syn();
    assertEquals(others, []);
    assertEquals([answer!.flags, answer!.ack, answer!.window], [SYN | ACK, ISN + 1, 65_535]);
    assertEquals([...answer!.options], [...optionOf(MTU - headersSize()), 1, 3, 3, 14]);
    assertEquals([answer!.destination, answer!.sourcePort], [CLIENT_ADDRESS, SERVER_PORT]);
  },
);

familyTest("a SYN without window scale is answered without it (RFC 7323 section 1.3)", () => {
  const [answer] = listening().syn({ options: OPTIONS.slice(0, 4) });
  assertEquals([...answer!.options], optionOf(MTU - headersSize()));
});

familyTest(
  "a SYN with the ISN already seen gets the identical SYN/ACK: before, and while the connection is open",
  () => {
    const { syn, clock, send } = listening();
    const [first] = syn();
    clock.advance(10_000);
    assertEquals(syn(), [first!]);
    send({ seq: ISN + 1, ack: first!.seq + 1 });
    assertEquals(syn(), [first!]);
  },
);

familyTest("the SYN's ack field is ignored", () => {
  const { syn } = listening();
  assertEquals(syn({ ack: 99 }), syn());
});

familyTest("data in a SYN is ignored", () => {
  const { syn } = listening();
  const [answer] = syn({ payload: new Uint8Array(100) });
  assertEquals(answer!.ack, ISN + 1);
});

familyTest("a SYN that also ends, or to another port, is not answered", () => {
  const { syn } = listening();
  for (const flags of [SYN | FIN, SYN | RST]) assertEquals(syn({ flags }), []);
  assertEquals(syn({ destinationPort: 444 }), []);
});

familyTest(
  "the SYN/ACK's sequence number is another one for each address and port, and for each server",
  () => {
    const { syn } = listening();
    const seqs = new Set<number>();
    for (let port = 1; port <= 100; port++) seqs.add(syn({ sourcePort: port })[0]!.seq);
    for (let host = 1; host <= 100; host++) seqs.add(syn({ source: 0x0a000000 + host })[0]!.seq);
    assertEquals(seqs.size, 200);
    const other = new World({ seed: 9 }).server;
    other.receive(build({ flags: SYN, seq: ISN, options: OPTIONS }));
    assertNotEquals(other.drained()[0]!.seq, syn()[0]!.seq);
  },
);

familyTest("ack = ISN + 1 opens the connection, with an immediate pure ACK", () => {
  const { server, syn, send } = listening();
  const [{ seq }] = syn() as [Segment];
  const { answers } = send({ seq: ISN + 1, ack: seq + 1 });
  assertEquals(answers.length, 1);
  assertEquals([answers[0]!.flags, answers[0]!.seq, answers[0]!.ack], [ACK, seq + 1, ISN + 1]);
  assertEquals(server.events, ["established"]);
});

familyTest(
  "ack = ISN + 1 with data opens the connection, gives the data, and the ACK covers it",
  () => {
    const { server, syn, send } = listening();
    const [{ seq }] = syn() as [Segment];
    const payload = new TextEncoder().encode("first");
    const { length, answers } = send({ seq: ISN + 1, ack: seq + 1, payload });
    assertEquals(length, 5);
    assertEquals(server.received, ["first"]);
    assertEquals(answers.map(({ flags, ack }) => [flags, ack]), [[ACK, ISN + 6]]);
  },
);

familyTest("any other ack opens nothing, and is answered with RST, seq = its ack", () => {
  const { server, syn, send } = listening();
  const [{ seq }] = syn() as [Segment];
  for (const ack of [seq, seq + 2, seq + 33, (seq ^ 0x80000000) >>> 0, 0]) {
    const { answers } = send({ seq: ISN + 1, ack, payload: new Uint8Array(10) });
    assertEquals(answers.map((each) => [each.flags, each.seq, each.ack]), [[RST, ack, 0]]);
  }
  assertEquals(server.events, []);
  assertEquals(server.dropped, { fake_tcp_no_session: 5 });
});

familyTest(
  "a non-SYN for an unknown four-tuple: no RST in answer to RST, none to what acknowledges nothing",
  () => {
    const { send } = listening();
    for (const flags of [RST, RST | ACK, 0, FIN]) assertEquals(send({ flags }).answers, []);
    assertEquals(send({ flags: FIN | ACK, ack: 5 }).answers.map(({ flags }) => flags), [RST]);
  },
);

familyTest("RST is limited by the second for each address: who floods uses up his own", () => {
  const { clock, send } = listening();
  const flood = (source: number) => {
    let resets = 0;
    for (let i = 0; i < 1_000; i++) {
      resets += send({ source, sourcePort: i, ack: 77 }).answers.length;
    }
    return resets;
  };
  for (let round = 0; round < 3; round++) {
    assertEquals(flood(0x0a000001), RESETS_OF_ADDRESS);
    assertEquals(flood(0x0a000001), 0);
    assertEquals(flood(0x0a000002), RESETS_OF_ADDRESS);
    clock.advance(1_000);
  }
});

familyTest(
  "RST is limited for each connection: one busy client behind a NAT leaves the others theirs",
  () => {
    const { send } = listening();
    let resets = 0;
    for (let i = 0; i < 1_000; i++) resets += send({ sourcePort: 5, ack: 77 }).answers.length;
    assertEquals(resets, RESETS_OF_CONNECTION);
    for (let port = 6; port < 16; port++) {
      assertEquals(send({ sourcePort: port, ack: 77 }).answers.length, 1);
    }
  },
);

familyTest(
  "a flood from 10,000 forged addresses a second takes no RST from a client, but by chance",
  () => {
    const { clock, send } = listening();
    let told = 0;
    for (let second = 0; second < 20; second++) {
      for (let i = 0; i < 10_000; i++) send({ source: 0x0d000000 + i, ack: 77 });
      told += send({ source: 0x0a000001, ack: 77 }).answers.length;
      clock.advance(1_000);
    }
    assert(told >= 18, `told ${told} times of 20`);
  },
);

familyTest(
  "a new ISN on a live four-tuple: a challenge ACK, one a second; the connection stays",
  () => {
    const { server, clock, syn, ack, send } = accepted();
    const challenge = [[ACK, ack, ISN + 1]];
    const read = (segments: Segment[]) => segments.map((each) => [each.flags, each.seq, each.ack]);
    assertEquals(read(syn({ seq: 9_999 })), challenge);
    assertEquals(syn({ seq: 9_999 }), []);
    clock.advance(999);
    assertEquals(syn({ seq: 9_999 }), []);
    clock.advance(1);
    assertEquals(read(syn({ seq: 9_999 })), challenge);
    assertEquals(send({ payload: new Uint8Array(10) }).length, 10);
    assertEquals(server.events, ["established"]);
  },
);

familyTest(
  "after 6 s of silence a new ISN replaces the connection, once its client has gone on",
  () => {
    const { server, clock, syn, ack, send } = accepted();
    clock.advance(5_999);
    assertEquals(syn({ seq: 9_999 }).map(({ flags }) => flags), [ACK]);
    clock.advance(1);
    // It may be idle, and is asked first: by an old number, which it would answer.
    const [question] = syn({ seq: 9_999 });
    assertEquals([question!.flags, question!.seq, question!.ack], [ACK, ack - 1, ISN + 1]);
    clock.advance(999);
    assertEquals(syn({ seq: 9_999 }), []);
    clock.advance(1);
    const [answer] = syn({ seq: 9_999 });
    assertEquals([answer!.flags, answer!.ack], [SYN | ACK, 10_000]);
    assertEquals(server.events, ["established"]);
    const { answers } = send({ seq: 10_000, ack });
    assertEquals(answers.map((each) => [each.flags, each.ack]), [[ACK, 10_000]]);
    assertEquals(server.events, ["established", "lost: replaced", "established"]);
    assertEquals(server.transport.sessions.size, 1);
  },
);

familyTest("a forged SYN takes nothing from a connection that was silent, should it go on", () => {
  const { server, clock, syn, ack, send } = accepted();
  clock.advance(10_000);
  const payload = new Uint8Array(10);
  syn({ seq: 9_999 });
  clock.advance(1_000);
  assertEquals(syn({ seq: 9_999 }).map(({ flags }) => flags), [SYN | ACK]);
  for (const guess of [ack + 1, ack - 1, ack + 0x80000000]) {
    syn({ seq: 9_999 });
    send({ seq: 10_000, ack: guess, payload });
  }
  assertEquals(send({ payload }).length, 10);
  assertEquals(server.events, ["established"]);
  assertEquals(server.transport.sessions.size, 1);
});

familyTest("scaling is on only if the SYN carried it, as received", () => {
  for (
    const [options, isScaled] of [[OPTIONS, true], [OPTIONS.slice(0, 4), false], [
      Uint8Array.of(2, 4, 5, 180, 1, 3, 3, 7),
      false,
    ]] as const
  ) {
    assertEquals(accepted({ options }).server.session.isScaled, isScaled);
  }
});

familyTest(
  "payloads are bounded by the path MTU and by the MSS received, to a few bytes",
  () => {
    for (
      const [mss, maxPayload] of [[1460, 1460], [9000, 1460], [1452, 1452], [1459, 1452], [
        1300,
        1280,
      ], [
        200,
        536,
      ]] as const
    ) {
      // Of IPv6 a path takes 20 bytes less.
      const less = headersSize() - 40;
      const options = Uint8Array.from(optionOf(mss - less));
      assertEquals(accepted({ options }).server.session.maxPayload, maxPayload - less);
    }
  },
);

familyTest(
  "10,000 SYNs from forged addresses take no memory, and nothing from the connections there are",
  () => {
    const { server, syn, send } = accepted();
    let answers = 0;
    for (let i = 0; i < 10_000; i++) answers += syn({ source: 0x0a000000 + i, seq: i }).length;
    assertEquals(answers, 10_000);
    assertEquals(server.transport.sessions.size, 1);
    assertEquals(send({ payload: new Uint8Array(10) }).length, 10);
    // Meanwhile, others get in.
    const [{ seq }] = syn({ sourcePort: 5 }) as [Segment];
    send({ sourcePort: 5, seq: ISN + 1, ack: seq + 1 });
    assertEquals(server.transport.sessions.size, 2);
  },
);

familyTest("100 clients behind one address are told apart by their ports", () => {
  const { server, syn, send } = listening();
  for (let port = 1; port <= 100; port++) {
    const [{ seq }] = syn({ sourcePort: port, seq: port * 1_000_003 }) as [Segment];
    const payload = new TextEncoder().encode(`from ${port}`);
    send({ sourcePort: port, seq: port * 1_000_003 + 1, ack: seq + 1, payload });
    assertEquals(server.receivedFrom!.remotePort, port);
  }
  assertEquals(server.transport.sessions.size, 100);
  assertEquals(server.received, Array.from({ length: 100 }, (_, i) => `from ${i + 1}`));
  const { answers } = send({ sourcePort: 7, seq: 7 * 1_000_003 + 7, ack: 1 });
  assertEquals(answers.length, 1);
});

Deno.test("a segment from a broadcast or multicast address, or from none, is dropped", () => {
  const { server, syn } = listening();
  for (const source of [0xffffffff | 0, 0xe0000001 | 0, 0x00000001]) {
    assertEquals(syn({ source }), []);
  }
  assertEquals(server.dropped, { bad_source: 3 });
});

familyTest(
  "a client that restarted on the same port connects within its SYN's first repetitions",
  () => {
    const world = new World({ client: { clientPorts: { first: 40_000, last: 40_000 } } });
    world.open();
    world.client.send("before");
    world.run(300);
    // It forgets everything, as after a crash.
    const client = new End(world.clock, { seed: 77, clientPorts: { first: 40_000, last: 40_000 } });
    client.connect();
    let opened = Infinity;
    for (let ms = 0; ms < 3_000 && opened === Infinity; ms += 10) {
      world.clock.advance(10);
      client.poll();
      world.server.poll();
      for (const packet of client.drain()) world.server.receive(packet);
      for (const packet of world.server.drain()) {
        if (read(packet).destinationPort === 40_000) client.receive(packet);
      }
      if (client.events.includes("established")) opened = ms;
    }
    assert(opened <= 2_010, `after ${opened} ms`);
  },
);
