/** Tests of which peers the console's page lists, and in which order. */
import { PeerTrack } from "../../../../lib/console/page/state/live_model.ts";
import { standingOf } from "../../../../lib/console/page/screens/peers/peer_look.tsx";
import {
  type Filter,
  listed,
  NameOrder,
  type Order,
} from "../../../../lib/console/page/screens/peers/peer_order.ts";
import { assertEquals } from "../../../support/assert.ts";
import { livePeer } from "../../../support/console/live_peer.ts";

const QUOTA = { bytes: 100, period: "month", used: 100, resetsAt: null, rate: null };

const PEERS = [
  livePeer({ name: "peer10", publicKey: "k10", presence: "up", isUp: true, sent: 5 }),
  livePeer({
    name: "peer9",
    publicKey: "k9",
    allowedIps: ["10.1.0.9/32"],
    groups: ["staff"],
    presence: "down",
    latestHandshake: "2026-11-29T12:00:00Z",
    sent: 7,
  }),
  livePeer({ name: "Anna", publicKey: "ka", endpoint: "203.0.113.7:99", admission: "disabled" }),
  livePeer({ publicKey: "zzzz", presence: "silent", quota: QUOTA }),
].map((state) => new PeerTrack(state));

const BY_NAME: Order = { by: "name", isDescending: false };

const NAMES = new NameOrder();

function keys(search: string, filter: Filter = "all", order: Order = BY_NAME): string[] {
  return listed(NAMES.of(PEERS), { search, filter, order }).map(({ track }) =>
    track.state.publicKey
  );
}

Deno.test("names are in the order that people expect of numbers in them", () => {
  assertEquals(keys(""), ["ka", "k9", "k10", "zzzz"]);
  assertEquals(keys("", "all", { by: "name", isDescending: true }), ["zzzz", "k10", "k9", "ka"]);
});

Deno.test("other orders put equals in the order of their names", () => {
  assertEquals(keys("", "all", { by: "transferred", isDescending: true }), [
    "k9",
    "k10",
    "ka",
    "zzzz",
  ]);
  assertEquals(keys("", "all", { by: "handshake", isDescending: true })[0], "k9");
  assertEquals(keys("", "all", { by: "status", isDescending: false })[0], "k10");
  PEERS[3]!.state = { ...PEERS[3]!.state, sent: 10 };
  for (const peer of PEERS) peer.sample(1);
  assertEquals(keys("", "all", { by: "rate", isDescending: true })[0], "zzzz");
});

Deno.test("a search finds those with all of its words in name, address, endpoint, group or key", () => {
  assertEquals(keys("PEER"), ["k9", "k10"]);
  assertEquals(keys("staff 10.1"), ["k9"]);
  assertEquals(keys("203.0.113.7"), ["ka"]);
  assertEquals(keys("staff anna"), []);
  assertEquals(keys("zzz"), ["zzzz"]);
});

Deno.test("another name, or another peer, changes the order of names", () => {
  const names = new NameOrder();
  const tracks = ["b", "c"].map((name) => new PeerTrack(livePeer({ name, publicKey: name })));
  const read = () => names.of(tracks).map(({ state }) => state.name);
  assertEquals(read(), ["b", "c"]);
  tracks[1]!.state = { ...tracks[1]!.state, name: "a" };
  assertEquals(read(), ["a", "b"]);
  tracks.push(new PeerTrack(livePeer({ name: "aa", publicKey: "aa" })));
  assertEquals(read(), ["a", "aa", "b"]);
  tracks.shift();
  assertEquals(read(), ["a", "aa"]);
});

Deno.test("filters go by how a peer stands", () => {
  assertEquals(keys("", "online"), ["k10"]);
  assertEquals(keys("", "offline"), ["k9"]);
  assertEquals(keys("", "blocked"), ["ka", "zzzz"]);
});

Deno.test("what keeps a peer out counts more than whether it is there", () => {
  const up = { presence: "up", admission: "admitted", quota: null } as const;
  assertEquals(standingOf(up), "online");
  assertEquals(standingOf({ ...up, admission: "expired" }), "expired");
  assertEquals(standingOf({ ...up, quota: QUOTA }), "used-up");
  assertEquals(standingOf({ ...up, quota: { ...QUOTA, rate: 1_000 } }), "online");
});
