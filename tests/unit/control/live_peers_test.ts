/** Shows what changes make of the peers of a running tunnel. */
import { changedPeers, type LivePeer, LivePeers } from "../../../lib/control/live_peers.ts";
import { atOnce } from "../../../lib/process/pace.ts";
import { encodeKey } from "../../../lib/core/config/values/key_text.ts";
import { formatCidr, parseCidr } from "../../../lib/core/wire/ipv4_text.ts";
import { parseConfig } from "../../../lib/core/config/parse_config.ts";
import { MAX_PEERS } from "../../../lib/core/limits/max_peers.ts";
import type { PeerChange } from "../../../lib/core/peers/peer_change.ts";
import { RequestError } from "../../../lib/control/protocol.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { sampleKeys } from "../../support/config/sample_keys.ts";

const key = (number: number) => new Uint8Array(32).fill(number);

function peer(number: number, ...networks: string[]): LivePeer {
  return {
    publicKey: key(number),
    presharedKey: null,
    allowedIps: networks.map((text) => parseCidr(text)!),
    endpoint: null,
    persistentKeepalive: 0,
    name: null,
    rateLimit: null,
  };
}

const PEERS = new Map([peer(1, "10.0.0.1/32", "10.1.0.0/16"), peer(2, "10.0.0.2/32")]
  .map((each) => [encodeKey(each.publicKey), each]));

function networks(peers: ReadonlyMap<string, LivePeer>): Record<string, string[]> {
  return Object.fromEntries(
    [...peers.values()].map(({ publicKey, allowedIps }) => [
      publicKey[0],
      allowedIps.map(formatCidr),
    ]),
  );
}

Deno.test("changedPeers() adds, replaces and removes, in order", () => {
  const changed = atOnce(changedPeers(PEERS, [
    { kind: "put", peer: peer(3, "10.0.0.3/32") },
    { kind: "put", peer: peer(1, "10.0.0.9/32") },
    { kind: "remove", publicKey: key(2) },
    { kind: "remove", publicKey: key(7) },
  ]));
  assertEquals(networks(changed), { 1: ["10.0.0.9/32"], 3: ["10.0.0.3/32"] });
  assertEquals(networks(PEERS), { 1: ["10.0.0.1/32", "10.1.0.0/16"], 2: ["10.0.0.2/32"] });
});

Deno.test("changedPeers() gives a network to whom it was given last, and no wider or narrower one", () => {
  const changed = atOnce(changedPeers(PEERS, [
    { kind: "put", peer: peer(3, "10.1.0.0/16", "10.0.0.0/24") },
  ]));
  assertEquals(networks(changed), {
    1: ["10.0.0.1/32"],
    2: ["10.0.0.2/32"],
    3: ["10.1.0.0/16", "10.0.0.0/24"],
  });
});

/** A peer that counts how often its networks are looked at. */
function counted(index: number, reads: { count: number }): LivePeer {
  const publicKey = new Uint8Array(32);
  new DataView(publicKey.buffer).setUint32(0, index);
  const allowedIps = [{ address: 0x0a00_0000 + index, prefixLength: 32 }];
  return Object.defineProperty({ ...peer(0), publicKey }, "allowedIps", {
    enumerable: true,
    get() {
      reads.count++;
      return allowedIps;
    },
  });
}

Deno.test("changedPeers() reads each peer's networks a few times, however many peers and changes", () => {
  const reads = { count: 0 };
  const all = Array.from({ length: 6_000 }, (_, index) => counted(index, reads));
  const before = new Map(all.map((each) => [encodeKey(each.publicKey), each]));
  const changes = all.map((each) => ({ kind: "put", peer: each }) as const);
  const changed = atOnce(changedPeers(before, changes));
  assertEquals(changed.size, 6_000);
  assert(reads.count <= 3 * 6_000, `${reads.count} reads`);
});

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
      endpoint6: null,
      line: 0,
    })),
  };
  const live = new LivePeers({
    role: "client",
    config,
    dataPlane: { changePeers: (changes) => Promise.resolve(void told.push(...changes)) },
    network: { addRoutes() {}, removeRoutes() {} },
    settings: null!,
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
