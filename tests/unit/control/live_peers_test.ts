/** Shows what changes make of the peers of a running tunnel. */
import { NO_SURROUNDINGS } from "../../../lib/core/access/access_items.ts";
import { LiveAccess } from "../../../lib/control/live_access.ts";
import { type LivePeer, LivePeers } from "../../../lib/control/live_peers.ts";
import { formatCidr } from "../../../lib/core/wire/ipv4_text.ts";
import { encodeKey } from "../../../lib/core/config/values/key_text.ts";
import { parseConfig } from "../../../lib/core/config/parse_config.ts";
import { MAX_PEERS } from "../../../lib/core/limits/max_peers.ts";
import type { PeerChange } from "../../../lib/core/peers/peer_change.ts";
import { RequestError } from "../../../lib/control/protocol.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { peerKey as key, samplePeer as peer } from "../../support/control/sample_peer.ts";
import { FakeTimers } from "../../support/time/fake_timers.ts";
import { sampleKeys } from "../../support/config/sample_keys.ts";

/** A peer of many. */
function numbered(index: number): LivePeer {
  const publicKey = new Uint8Array(32);
  new DataView(publicKey.buffer).setUint32(0, index + 1);
  return { ...peer(0), publicKey };
}

/** A client's live peers before a data plane that notes what it is told. */
function livePeers(count: number): { live: LivePeers; told: PeerChange[] } {
  const told: PeerChange[] = [];
  const config = {
    ...parseConfig(`[Interface]\nPrivateKey = ${sampleKeys(1).privateKey}`, "t.conf"),
    peers: Array.from({ length: count }, (_, i) => ({
      ...numbered(i),
      allowedIps6: [],
      otherEndpoints: [],
      zonedEndpoint: null,
      line: 0,
    })),
  };
  const live = new LivePeers({
    role: "client",
    config,
    dataPlane: {
      changeAccess: () => Promise.resolve(),
      changePeers: (changes) => Promise.resolve(void told.push(...changes)),
    },
    network: { addRoutes() {}, removeRoutes() {} },
    settings: null!,
    now: () => 0,
    startedAt: 0,
  });
  return { live, told };
}

Deno.test("change() refuses one peer more than there can be, with nothing changed, and takes it in another's place", async () => {
  const { live, told } = livePeers(MAX_PEERS);
  const put = { kind: "put", peer: numbered(MAX_PEERS) } as const;
  await assertRejects(
    () => live.change([put]),
    RequestError,
    "Cannot add the peer: there would be 8193 peers, and 8192 at most: remove one first",
  );
  assertEquals([live.peers.size, told.length], [MAX_PEERS, 0]);
  await live.change([put, { kind: "remove", publicKey: numbered(0).publicKey }]);
  assertEquals(live.peers.size, MAX_PEERS);
  // The data plane has a place for it by then.
  assertEquals(told.map(({ kind }) => kind), ["remove", "put"]);
});

const HOUR = 3_600_000;
const START = 1_800_000_000_000;

/** A gateway's live peers on a wall clock of the test's own, which notes what is told of them, and to whom. */
function gateway(peers: readonly LivePeer[]) {
  const state = { wall: START, told: [] as string[], routes: new Set<string>() };
  const nameOf = ({ publicKey }: { readonly publicKey: Uint8Array }) => `${publicKey[0]}`;
  const config = {
    ...parseConfig(`[Interface]\nPrivateKey = ${sampleKeys(1).privateKey}`, "t.conf"),
    peers: peers.map((each) => ({
      ...each,
      allowedIps6: [],
      otherEndpoints: [],
      zonedEndpoint: null,
      line: 0,
    })),
  };
  const live = new LivePeers({
    role: "server",
    config,
    dataPlane: {
      changeAccess: () => Promise.resolve(),
      changePeers: (changes) => {
        for (const change of changes) {
          state.told.push(
            change.kind === "remove"
              ? `remove ${nameOf(change)}`
              : `put ${nameOf(change.peer)} ${change.peer.allowedIps.map(formatCidr).join(" ")}` +
                (change.peer.endpoint ? ` at ${change.peer.endpoint.port}` : ""),
          );
        }
        return Promise.resolve();
      },
    },
    network: {
      addRoutes: (_, { networks }) =>
        networks.forEach((each) => state.routes.add(formatCidr(each))),
      removeRoutes: (_, { networks }) =>
        networks.forEach((each) => state.routes.delete(formatCidr(each))),
    },
    settings: null!,
    now: () => state.wall,
    startedAt: START,
  });
  const told = () => state.told.splice(0);
  const admissions = () =>
    [...live.peers].map(([key, each]) => `${nameOf(each)} ${live.admissionOf(key, each)}`);
  return { live, state, told, admissions };
}

Deno.test("a peer that expires is taken out of the data plane and the routes at that moment, and is known still", async () => {
  using timers = new FakeTimers();
  const { live, state, told, admissions } = gateway([
    { ...peer(1, "10.0.0.1/32"), expires: START + 500 },
    peer(2, "10.0.0.2/32"),
  ]);
  using _live = live;
  state.routes.add("10.0.0.1/32").add("10.0.0.2/32");
  state.wall += 499;
  await timers.advance(499);
  assertEquals([told(), admissions()], [[], ["1 admitted", "2 admitted"]]);
  state.wall += 1;
  await timers.advance(1);
  assertEquals([told(), admissions()], [["remove 1"], ["1 expired", "2 admitted"]]);
  assertEquals([...state.routes], ["10.0.0.2/32"]);
});

Deno.test("a peer that goes by another key keeps its place, and one without access loses both", async () => {
  using _timers = new FakeTimers();
  const endpoint = { host: "192.0.2.1", address: 0xc0000201, port: 7 };
  const nextKey = { publicKey: key(3), presharedKey: null, since: null };
  const { live, told, admissions } = gateway([
    { ...peer(1, "10.0.0.1/32"), endpoint, nextKey },
    peer(2, "10.0.0.2/32"),
  ]);
  using _live = live;
  await assertRejects(
    () => live.change([{ kind: "put", peer: peer(3, "10.0.0.3/32") }]),
    RequestError,
    "another peer is to have",
  );
  const replaces = encodeKey(key(1));
  await live.change([{ kind: "put", peer: peer(3, "10.0.0.1/32"), replaces }]);
  assertEquals([told(), admissions()], [["put 3 10.0.0.1/32"], ["2 admitted", "3 admitted"]]);
  assertEquals(live.peers.get(encodeKey(key(3)))?.endpoint, endpoint);
  const disabled = { ...peer(4, "10.0.0.1/32"), isEnabled: false };
  await live.change([{ kind: "put", peer: disabled, replaces: encodeKey(key(3)) }]);
  assertEquals(told(), ["remove 3", "remove 4"]);
});

Deno.test("the clock set forward ends access, set back it gives it back with endpoint and networks", async () => {
  using timers = new FakeTimers();
  const endpoint = { host: "192.0.2.1", address: 0xc0000201, port: 7 };
  const { live, state, told, admissions } = gateway([
    { ...peer(1, "10.0.0.1/32"), endpoint, expires: START + HOUR },
  ]);
  using _live = live;
  state.wall += 2 * HOUR;
  await timers.advance(1_000);
  assertEquals([told(), admissions()], [["remove 1"], ["1 expired"]]);
  state.wall -= 2 * HOUR;
  await timers.advance(1_000);
  assertEquals([told(), admissions()], [["put 1 10.0.0.1/32 at 7"], ["1 admitted"]]);
  assertEquals([...state.routes], ["10.0.0.1/32"]);
});

Deno.test("what has expired between the start of the data plane and that of its changes is taken out at once", async () => {
  using timers = new FakeTimers();
  const { live, state, told } = gateway([{ ...peer(1), expires: START + 5 }]);
  using _live = live;
  state.wall += 5;
  await timers.advance(5);
  assertEquals(told(), ["remove 1"]);
});

Deno.test("a peer is disabled and enabled at once, and nothing is told of one that is added disabled but its removal", async () => {
  const { live, told, admissions } = gateway([peer(1, "10.0.0.1/32")]);
  using _live = live;
  const put = (each: LivePeer) => live.change([{ kind: "put", peer: each }]);
  await put({ ...peer(1, "10.0.0.1/32"), isEnabled: false });
  assertEquals([told(), admissions()], [["remove 1"], ["1 disabled"]]);
  await put(peer(1, "10.0.0.1/32"));
  assertEquals([told(), admissions()], [["put 1 10.0.0.1/32"], ["1 admitted"]]);
  await put({ ...peer(2, "10.0.0.2/32"), isEnabled: false });
  assertEquals([told(), admissions()], [["remove 2"], ["1 admitted", "2 disabled"]]);
});

Deno.test("a network that is given to a disabled peer leads nowhere, as after a start from the same file", async () => {
  const { live, told } = gateway([peer(1, "10.0.0.1/32", "10.1.0.0/16")]);
  using _live = live;
  await live.change([{ kind: "put", peer: { ...peer(2, "10.1.0.0/16"), isEnabled: false } }]);
  assertEquals(told(), ["remove 2", "put 1 10.0.0.1/32"]);
});

Deno.test("a change that finds another peer expired takes that one out as well", async () => {
  const { live, state, told, admissions } = gateway([
    { ...peer(1), expires: START + 5 },
    peer(2),
  ]);
  using _live = live;
  state.wall += 10;
  await live.change([{ kind: "put", peer: peer(2, "10.0.0.2/32") }]);
  assertEquals([told(), admissions()], [["remove 1", "put 2 10.0.0.2/32"], [
    "1 expired",
    "2 admitted",
  ]]);
});

Deno.test("rules are told before the peers that they are about, and taken away after these", async () => {
  const told: string[] = [];
  const config = parseConfig(`[Interface]\nPrivateKey = ${sampleKeys(1).privateKey}`, "t.conf");
  const access = new LiveAccess({
    groups: [],
    surroundings: NO_SURROUNDINGS,
    peers: new Map(),
  });
  const live = new LivePeers({
    role: "server",
    config,
    access,
    dataPlane: {
      changeAccess: (items) => Promise.resolve(void told.push(...items.map(({ kind }) => kind))),
      changePeers: (changes) =>
        Promise.resolve(
          void told.push(...changes.map((change) =>
            change.kind === "put" ? `put ${change.peer.accessId}` : "remove"
          )),
        ),
    },
    network: { addRoutes() {}, removeRoutes() {} },
    settings: null!,
    now: () => START,
    startedAt: START,
  });
  const peer = { ...numbered(1), deny: [{ target: { kind: "lan" }, services: [] }] } as const;
  const takeTold = () => told.splice(0);
  await live.change([{ kind: "put", peer }]);
  assertEquals(takeTold(), ["list", "peer", "put 1"]);
  await live.change([{ kind: "put", peer: { ...peer, rateLimit: 1000 } }]);
  assertEquals(takeTold(), ["put 1"]);
  await live.change([{ kind: "put", peer: { ...peer, isEnabled: false } }]);
  assertEquals(takeTold(), ["remove", "no-peer", "no-list"]);
  await live.change([{ kind: "put", peer: { ...numbered(1), groups: ["g"] } }], {
    groups: [{ name: "g", allow: [], deny: peer.deny, line: 1 }],
  });
  assertEquals(takeTold(), ["list", "peer", "put 1"]);
  await live.change([], { groups: [{ name: "g", allow: peer.deny, deny: [], line: 1 }] });
  assertEquals(takeTold(), ["list"]);
  assertEquals(access.follow(NO_SURROUNDINGS), false);
  assertEquals(access.follow({ ...NO_SURROUNDINGS, lan: [[0, 0, 0xffff, 0, 128]] }), true);
  await live.followAccess();
  assertEquals(takeTold(), ["surroundings"]);
});
