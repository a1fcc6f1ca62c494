/**
 * Tests of open connections of fake TCP (lib/core/transport/fake_tcp/README.md, "Arithmetic" and the sections after
 * it): RST, FIN, silence, keepalives, `close()`.
 */
import { assert, assertEquals } from "../../../../support/assert.ts";
import { ACK, familyTest, FIN, findSession, PSH, RST } from "../../../../support/fake_tcp/world.ts";
import { opened } from "../../../../support/fake_tcp/opened.ts";

familyTest("RST or FIN, and no authenticated data for 1 s: the connection is over", () => {
  for (const flags of [RST, RST | ACK, FIN | ACK, FIN | PSH | ACK]) {
    const { client, receive, advance, session } = opened();
    receive({ flags });
    advance(500);
    receive({ flags });
    advance(499);
    assertEquals(client.events, ["established"]);
    advance(1);
    assertEquals(client.events, ["established", "lost: reset"]);
    assertEquals(client.send("no more", session), false);
    assertEquals(client.dropped, { fake_tcp_no_session: 1 });
  }
});

familyTest("RST or FIN, and authenticated data within 1 s: nothing happens", () => {
  const { client, receive, advance } = opened();
  receive({ flags: RST });
  advance(999);
  receive({ size: 10 });
  advance(5_000);
  assertEquals(client.events, ["established"]);
});

familyTest("data that does not authenticate does not help against RST", () => {
  const { client, receive, advance } = opened();
  client.authenticates = false;
  receive({ flags: RST });
  advance(500);
  receive({ size: 10 });
  advance(500);
  assertEquals(client.events, ["established", "lost: reset"]);
});

familyTest("close() sends one RST|ACK at snd_nxt; what comes then is answered with RST", () => {
  const { client, session, receive, sent } = opened();
  receive({ size: 100 });
  client.send(50);
  sent();
  client.transport.close(session);
  assertEquals(sent(), [{ flags: RST | ACK, seq: 50, ack: 100, size: 0 }]);
  client.transport.close(session);
  assertEquals(sent(), []);
  assertEquals(client.events, ["established"]);
  assertEquals(receive({ size: 100 }), 0);
  assertEquals(sent().map(({ flags }) => flags), [RST]);
});

familyTest("closeAll() closes what is open, and forgets what is not yet", () => {
  const { client, session } = opened();
  client.connect();
  client.drain();
  client.transport.closeAll();
  assertEquals(client.drained().map(({ flags }) => flags), [RST | ACK]);
  assertEquals(client.transport.sessions.size, 0);
  assertEquals(findSession(client.transport, session), null);
});

familyTest(
  "after 20 s without anything sent, a keepalive is asked for; not by a connection that is not proven",
  () => {
    for (const isProven of [true, false]) {
      const { client, receive, advance, sent } = opened();
      client.authenticates = isProven;
      receive({ size: 1 });
      advance(200);
      sent();
      advance(19_999);
      assertEquals(client.events, ["established"]);
      advance(1);
      const asked = isProven ? ["keepalive"] : [];
      assertEquals(client.events, ["established", ...asked]);
      // Once for each 20 s, whether or not it had an effect.
      advance(5_000);
      assertEquals(client.events.length, 1 + asked.length);
    }
  },
);

familyTest("a keepalive that is sent puts off the next one by 20 s", () => {
  const { client, receive, advance } = opened();
  receive({ size: 1 });
  for (let i = 0; i < 5; i++) {
    advance(15_000);
    client.send(32);
  }
  advance(19_999);
  assertEquals(client.events, ["established"]);
  advance(1);
  assertEquals(client.events, ["established", "keepalive"]);
});

familyTest(
  "a connection that nothing authenticated came by is forgotten after 30 s, another after 300 s of silence",
  () => {
    for (const [isProven, time] of [[false, 30_000], [true, 300_000]] as const) {
      const { client, receive, advance, clock, session } = opened();
      client.authenticates = isProven;
      receive({ size: 1 });
      const start = isProven ? clock.now : session.establishedAt;
      advance(start + time - 1 - clock.now);
      assert(!client.events.includes("lost: silent"));
      advance(1);
      assertEquals(client.events.at(-1), "lost: silent");
    }
  },
);
