/** Tests of what the console's page knows of a running gateway. */
import { LiveModel, PEER_HISTORY } from "../../../../lib/console/page/state/live_model.ts";
import type { GatewayStatus, LivePeerState } from "../../../../lib/console/page/state/shapes.ts";
import { assertEquals } from "../../../support/assert.ts";
import { livePeer } from "../../../support/console/live_peer.ts";

const START = Date.parse("2026-11-29T12:00:00Z");

function at(ms: number): string {
  return new Date(START + ms).toISOString();
}

function whole(ms: number, peers: readonly LivePeerState[], since = at(-1_000)): GatewayStatus {
  return {
    interface: "vpn0",
    state: "up",
    missing: [],
    time: at(ms),
    since,
    publicKey: "",
    listenPort: 51820,
    addresses: [],
    aead: "",
    nat: { mappings: 0, sessions: 0 },
    drops: {},
    store: null,
    peers,
  };
}

Deno.test("rates come of the differences between two moments of the gateway's clock", () => {
  const model = new LiveModel();
  model.take(whole(0, [livePeer({ publicKey: "a" }), livePeer({ publicKey: "b" })]));
  model.update({ time: at(2_000), peers: { a: { received: 3_000, sent: 9_000 } } });
  assertEquals([model.receivedRate, model.sentRate], [1_500, 4_500]);
  assertEquals(model.peers.get("a")!.rate, 6_000);
  assertEquals(model.peers.get("b")!.rate, 0);
  model.update({ time: at(3_000), peers: { b: { sent: 500 } } });
  assertEquals([model.receivedRate, model.sentRate], [0, 500]);
  assertEquals(model.peers.get("a")!.history, [6_000, 0]);
  assertEquals(model.times, [START / 1000 + 2, START / 1000 + 3]);
});

Deno.test("differences change what they name, and nothing else", () => {
  const model = new LiveModel();
  model.take(whole(0, [livePeer({ publicKey: "a", name: "anna" })]));
  model.update({
    time: at(1_000),
    status: { state: "degraded", missing: ["the route"] },
    peers: { a: { isUp: true, presence: "up" }, gone: { isUp: true } },
    added: [livePeer({ publicKey: "c" })],
  });
  assertEquals(model.status?.state, "degraded");
  assertEquals(model.status?.listenPort, 51820);
  assertEquals(model.peers.get("a")!.state.name, "anna");
  assertEquals(model.peers.get("a")!.state.isUp, true);
  assertEquals([...model.peers.keys()], ["a", "c"]);
  model.update({ time: at(2_000), removed: ["a"] });
  assertEquals([...model.peers.keys()], ["c"]);
});

Deno.test("a gateway that has started again begins its counters again, and no rate is made of that", () => {
  const model = new LiveModel();
  model.take(whole(0, [livePeer({ publicKey: "a", sent: 5_000 })]));
  model.update({ time: at(1_000), peers: { a: { sent: 6_000 } } });
  model.take(whole(9_000, [livePeer({ publicKey: "a", sent: 100 })], at(8_000)));
  model.update({ time: at(10_000), peers: { a: { sent: 300 } } });
  assertEquals(model.peers.get("a")!.sentRate, 200);
});

Deno.test("after a gap, the whole state counts from the last moment that is known", () => {
  const model = new LiveModel();
  model.take(whole(0, [livePeer({ publicKey: "a" })]));
  model.take(whole(10_000, [livePeer({ publicKey: "a", sent: 5_000 })]));
  assertEquals(model.sentRate, 500);
});

Deno.test("what is kept of a peer and of all is bounded", () => {
  const model = new LiveModel();
  model.take(whole(0, [livePeer({ publicKey: "a" })]));
  for (let second = 1; second <= 400; second++) model.update({ time: at(second * 1_000) });
  assertEquals(model.peers.get("a")!.history.length, PEER_HISTORY);
  assertEquals(
    new Set([model.times, model.received, model.sent].map(({ length }) => length)).size,
    1,
  );
  assertEquals(model.times.length < 400, true);
});

Deno.test("what a change has answered is shown at once, until the gateway tells of it or of another", () => {
  const model = new LiveModel();
  model.take(whole(0, [livePeer({ publicKey: "a", name: "anna", admission: "admitted" })]));
  const admission = () => model.peers.get("a")!.state.admission;
  const answer = {
    publicKey: "a",
    name: "anna",
    admission: "disabled",
    expires: null,
    groups: [],
  } as const;
  model.learn([answer, { ...answer, publicKey: "gone" }]);
  assertEquals(admission(), "disabled");
  // One that was on its way when the change was made.
  model.update({ time: at(1_000), peers: { a: { received: 5 } } });
  assertEquals([admission(), model.peers.get("a")!.state.received], ["disabled", 5]);
  model.update({ time: at(2_000), peers: { a: { admission: "disabled" } } });
  model.update({ time: at(3_000), peers: { a: { received: 6 } } });
  assertEquals(admission(), "disabled");
  // Somebody else has taken it back in the same second: nothing is told, as nothing is another.
  model.learn([{ ...answer, admission: "admitted" }]);
  for (let second = 4; second < 6; second++) model.update({ time: at(second * 1_000) });
  assertEquals(admission(), "disabled");
});
