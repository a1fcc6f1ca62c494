/**
 * Tests of `lib/core/wireguard/path/path_mtu.ts`: what routers say about a path by ICMP, and how much of it is
 * believed.
 */
import { MIN_MTU, PathMtuSearch } from "../../../../../lib/core/wireguard/path/path_mtu.ts";
import { PeerSession } from "../../../../../lib/core/wireguard/session/peer_session.ts";
import { PathClaim } from "../../../../../lib/core/wireguard/path/path_claim.ts";
import type { Peer } from "../../../../../lib/core/wireguard/peer.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import { connectedPair } from "../../../../support/packets/tunnel_pair.ts";
import { stubPeer, stubSession } from "../../../../support/wireguard/peer_stub.ts";
import { claimAbout, look, MAX_MTU } from "../../../../support/wireguard/path_mtu_world.ts";

const NARROW = { mtu: 1454, tells: false, known: 1500, claims: true };

/** A peer with a session and an endpoint, to whom a probe has gone at 0 ms. */
function probed(search: PathMtuSearch): Peer {
  const peer = stubPeer();
  peer.endpoint.set({ address: 0xc633_6402, port: 40_000 });
  peer.current = new PeerSession({ ...stubSession(peer, 1), remoteIndex: 7 });
  search.start(peer, 0);
  assertEquals(search.next(0), peer);
  assertEquals(search.looked(peer, 1500, 0), [1420]);
  return peer;
}

Deno.test("a router's claim about a probe says which length to ask the peer for next", () => {
  const pair = connectedPair();
  const lengths = look(pair, NARROW);
  assertEquals(lengths.slice(0, 3), [1420, 1420, 1394]);
  assertEquals(pair.toGateway.mtu, 1394);
  // Nothing below what the peer has proven is asked for; what is above, a forger may have hidden.
  assert(lengths.slice(3).every((length) => length > 1394));
});

Deno.test("a router's claim counts at once for a peer that answers no probes, and until the next session", () => {
  const pair = connectedPair();
  const path = { ...NARROW, isStock: true };
  look(pair, path);
  assertEquals(pair.toGateway.mtu, 1394);
  look(pair, path);
  assertEquals(pair.toGateway.mtu, 1394);
  path.mtu = 1500;
  look(pair, path);
  assertEquals(pair.toGateway.mtu, 1420);
});

Deno.test("of several routers on a path the narrowest counts, whichever order they speak in", () => {
  for (const order of [[1454, 1280], [1280, 1454]]) {
    const search = new PathMtuSearch(MAX_MTU);
    const peer = probed(search);
    for (const mtu of order) search.claimed(claimAbout(peer, mtu), 10);
    assertEquals(search.next(10), peer);
    assertEquals(search.looked(peer, 1500, 10), [1420, 1220]);
    assertEquals(peer.mtu, 1220);
  }
});

Deno.test("a false claim of who sees the probes is put right by the peer's answers", () => {
  const pair = connectedPair();
  const path = { mtu: 1500, tells: false, known: 1500, lie: 700 };
  look(pair, path);
  assertEquals(pair.toGateway.mtu, 1420);
  // A peer that is known to answer is asked before anything counts.
  const search = new PathMtuSearch(MAX_MTU);
  search.start(pair.toGateway, 0);
  search.looked(pair.toGateway, 1500, 0);
  search.claimed(claimAbout(pair.toGateway, 700), 10);
  assertEquals(search.looked(pair.toGateway, 1500, 10), [1420, 640]);
  assertEquals(pair.toGateway.mtu, 1420);
  pair.toGateway.provenMtu = 640;
  search.looked(pair.toGateway, 1500, 60);
  assertEquals(pair.toGateway.mtu, 640);
});

Deno.test("no claim has more weight than what the peer has proven", () => {
  const search = new PathMtuSearch(MAX_MTU);
  const peer = probed(search);
  peer.provenMtu = 1390;
  search.claimed(claimAbout(peer, 1280), 10);
  assertEquals(search.next(10), null);
  for (const at of [50, 400, 2_000]) search.looked(peer, 1500, at);
  assertEquals(peer.mtu, 1390);
});

Deno.test("a claim counts under the index of the session that was probed alone, for its endpoint, in its time", () => {
  const search = new PathMtuSearch(MAX_MTU);
  const peer = probed(search);
  const claim = claimAbout(peer, 1280);
  const forged = [{ remoteIndex: 0 }, { remoteIndex: 8 }, { address: 1 }, { port: 1 }];
  for (const change of forged) {
    search.claimed(Object.assign(new PathClaim(), claim, change), 10);
  }
  assertEquals(search.next(10), null);
  // A new session has another index, and the old one's no longer counts.
  search.start(peer, 20);
  search.claimed(claim, 20);
  assertEquals(search.looked(peer, 1500, 20), [1420]);
  peer.current = new PeerSession({ ...peer.current!, remoteIndex: 9 });
  search.looked(peer, 1500, 70);
  search.claimed(claim, 80);
  assertEquals(search.next(80), null);
  assertEquals(peer.mtu, 1420);
  search.claimed(claimAbout(peer, 1280), 80);
  assertEquals(search.next(80), peer);
  // Nobody asks any more: nothing that comes now is about a probe under way.
  search.forget(peer);
  search.claimed(claimAbout(peer, 1280), 90);
  assertEquals([search.next(90), search.pollAt()], [null, Infinity]);
});

Deno.test("a claim lowers the MTU no further than 576", () => {
  const search = new PathMtuSearch(MAX_MTU);
  const peer = probed(search);
  search.claimed(claimAbout(peer, 68), 10);
  search.looked(peer, 1500, 10);
  assertEquals(peer.mtu, MIN_MTU);
});
