/** Tests of peer events: few, each once, and those that a person wants to know. */
import { PeerEvents } from "../../../lib/control/peer_events.ts";
import type { LivePeer } from "../../../lib/control/live_peers.ts";
import { assertEquals } from "../../support/assert.ts";

const KEY = new Uint8Array(32).fill(1);

function stage() {
  const told: string[] = [];
  let time = 0;
  const events = new PeerEvents({
    record: (kind, peer, detail) => {
      told.push([kind, peer?.name, detail].filter((part) => typeof part === "string").join(" "));
    },
    now: () => time,
  });
  return {
    events,
    told,
    pass: (ms: number) => void (time += ms),
    report(event: Parameters<PeerEvents["report"]>[0]["event"], port = 7) {
      events.report({
        kind: "peer",
        event,
        publicKey: KEY,
        name: "laptop",
        endpoint: { address: 0xc0000201, port },
        otherPlace: null,
      });
    },
  };
}

const peers = (...given: Partial<LivePeer>[]) =>
  new Map(given.map((peer, i) => [
    new Uint8Array(32).fill(i + 1).toBase64(),
    {
      publicKey: new Uint8Array(32).fill(i + 1),
      isEnabled: true,
      nextKey: null,
      ...peer,
    } as LivePeer,
  ]));

Deno.test("a peer connects once, however often it renews its session, and again after it was gone", () => {
  const { report, told } = stage();
  report("handshake-completed");
  report("handshake-completed");
  report("up");
  report("down");
  report("released", 0);
  report("keys-zeroed", 0);
  report("handshake-completed", 8);
  assertEquals(told, [
    "connected laptop 192.0.2.1:7",
    "disconnected laptop",
    "connected laptop 192.0.2.1:8",
  ]);
});

Deno.test("of a peer that moves all the time, one move a minute is an event", () => {
  const { report, told, pass } = stage();
  report("endpoint-changed", 1);
  report("handshake-completed", 1);
  for (let i = 0; i < 180; i++) {
    pass(1_000);
    report("endpoint-changed", 100 + i);
  }
  assertEquals(told.length, 4);
  assertEquals(told[1], "endpoint-changed laptop 192.0.2.1:159");
});

Deno.test("of a peer that connects all the time, one connection a minute is an event, and none that lasts is missing", () => {
  const { report, told, pass } = stage();
  for (let second = 0; second < 590; second++) {
    report("handshake-completed", second);
    pass(500);
    report("released", 0);
    pass(500);
  }
  const count = (kind: string) => told.filter((line) => line.startsWith(`${kind} `)).length;
  assertEquals([count("connected"), count("disconnected")], [19, 19]);
  assertEquals(told.slice(20, 23), [
    "connections-left-out laptop 50 before the next, in quick succession",
    "connected laptop 192.0.2.1:60",
    "disconnected laptop",
  ]);
  const before = told.length;
  report("handshake-completed", 1_000);
  report("endpoint-changed", 1_001);
  assertEquals(told.slice(before), []);
  // The session is renewed.
  pass(120_000);
  report("handshake-completed", 1_001);
  assertEquals(told.slice(before).map((line) => line.split(" ")[0]), [
    "connections-left-out",
    "connected",
  ]);
  report("released", 0);
  assertEquals(told.at(-1), "disconnected laptop");
});

Deno.test("a quota that is used up is an event, connected or not", () => {
  const { report, told } = stage();
  report("quota-reached");
  assertEquals(told, ["quota-reached laptop"]);
});

Deno.test("who is added, changed and removed is told, and of very many how many more", () => {
  const { events, told } = stage();
  const none = { peers: peers(), admitted: peers() };
  const one = peers({ name: "laptop" });
  const [peer] = one.values();
  const there = { peers: one, admitted: one };
  events.changed({ by: "", changes: [{ kind: "put", peer: peer! }], before: none, after: there });
  events.changed({
    by: "ann",
    changes: [{ kind: "put", peer: peer! }],
    before: there,
    after: there,
  });
  const removal = { kind: "remove", publicKey: KEY } as const;
  events.changed({ by: "", changes: [removal, removal], before: there, after: none });
  events.changed({ by: "", changes: [removal], before: none, after: none });
  const many = Array.from({ length: 150 }, () => ({ kind: "put", peer: peer! }) as const);
  events.changed({ by: "root (wg)", changes: many, before: there, after: there });
  assertEquals(told.slice(0, 5), [
    "configuration-changed laptop added",
    "configuration-changed laptop changed by ann",
    "configuration-changed laptop removed",
    "configuration-changed laptop removed",
    "configuration-changed laptop changed by root (wg)",
  ]);
  assertEquals([told.length, told.at(-1)], [
    105,
    "configuration-changed 50 more peers by root (wg)",
  ]);
});

Deno.test("who loses access is told why, and that the session has ended; and who has it again", () => {
  const { events, report, told } = stage();
  report("handshake-completed");
  const all = peers({ name: "laptop" }, { name: "phone" });
  const disabled = peers({ name: "laptop" }, { name: "phone", isEnabled: false });
  const before = { peers: all, admitted: all };
  const after = { peers: disabled, admitted: new Map() };
  events.changed({ by: "", changes: [], before, after });
  events.changed({ by: "", changes: [], before: after, after: before });
  assertEquals(told.slice(1), [
    "disconnected laptop",
    "expired laptop",
    "disabled phone",
    "enabled laptop",
    "enabled phone",
  ]);
});

Deno.test("a key that takes the place of a peer's is one event, and it has not been away", () => {
  const { events, report, told } = stage();
  report("handshake-completed");
  const nextKey = { publicKey: new Uint8Array(32).fill(2), presharedKey: null, since: null };
  const [before] = peers({ name: "laptop", nextKey }).values();
  const after = { ...before!, publicKey: nextKey.publicKey, nextKey: null };
  const of = (peer: LivePeer) => new Map([[peer.publicKey.toBase64(), peer]]);
  const replaces = KEY.toBase64();
  events.changed({
    changes: [{ kind: "put", peer: after, replaces }],
    by: "its next key",
    before: { peers: of(before!), admitted: of(before!) },
    after: { peers: of(after), admitted: of(after) },
  });
  assertEquals(told, ["connected laptop 192.0.2.1:7", `key-replaced laptop of ${replaces}`]);
});
