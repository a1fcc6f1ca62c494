/** Shows what changes make of the peers of a running tunnel. */
import { changedPeers } from "../../../lib/control/changed_peers.ts";
import type { LivePeer } from "../../../lib/control/live_peers.ts";
import { atOnce } from "../../../lib/core/config/at_once.ts";
import { encodeKey } from "../../../lib/core/config/values/key_text.ts";
import { formatCidr } from "../../../lib/core/wire/ipv4_text.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { peerKey as key, samplePeer as peer } from "../../support/control/sample_peer.ts";

const PEERS = new Map([peer(1, "10.0.0.1/32", "10.1.0.0/16"), peer(2, "10.0.0.2/32")]
  .map((each) => [encodeKey(each.publicKey), each]));

function networks(peers: ReadonlyMap<string, LivePeer>): Record<string, string[]> {
  return Object.fromEntries(
    [...peers.values()].map(({ publicKey, allowedIps, allowedIps6 }) => [
      publicKey[0],
      [...allowedIps.map(formatCidr), ...allowedIps6],
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

Deno.test("changedPeers() gives networks of IPv6 to whom they were given last, as those of IPv4", () => {
  const before = new Map(
    [peer(1, "10.0.0.1/32", "fd00:1::/64"), peer(2, "fd00::2/128")]
      .map((each) => [encodeKey(each.publicKey), each]),
  );
  const changed = atOnce(changedPeers(before, [
    { kind: "put", peer: peer(3, "fd00:1::/64", "fd00::3/128") },
    { kind: "put", peer: peer(2, "fd00::9/128", "10.0.0.1/32") },
  ]));
  assertEquals(networks(changed), {
    1: [],
    2: ["10.0.0.1/32", "fd00::9/128"],
    3: ["fd00:1::/64", "fd00::3/128"],
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

Deno.test("changedPeers() puts a peer in the place of the one that it was by another key", () => {
  const endpoint = { host: "192.0.2.9", address: 0xc0000209, port: 9 };
  const before = new Map([peer(1, "10.0.0.1/32"), { ...peer(2, "10.0.0.2/32"), endpoint }]
    .map((each) => [encodeKey(each.publicKey), each]));
  const changed = atOnce(changedPeers(before, [
    { kind: "put", peer: peer(3, "10.0.0.2/32"), replaces: encodeKey(key(2)) },
  ]));
  assertEquals(networks(changed), { 1: ["10.0.0.1/32"], 3: ["10.0.0.2/32"] });
  assertEquals(changed.get(encodeKey(key(3)))?.endpoint, endpoint);
});
