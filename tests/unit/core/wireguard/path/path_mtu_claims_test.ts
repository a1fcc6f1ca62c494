/**
 * Tests of `lib/core/wireguard/path/path_mtu.ts`: what routers say about a path by ICMP, and how much of it is
 * believed.
 */
import { MIN_MTU, PathMtuSearch } from "../../../../../lib/core/wireguard/path/path_mtu.ts";
import { PeerSession } from "../../../../../lib/core/wireguard/session/peer_session.ts";
import { PathClaim } from "../../../../../lib/core/wireguard/path/path_claim.ts";
import type { Peer } from "../../../../../lib/core/wireguard/peer.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import { buildUdp6 } from "../../../../support/packets/packet_builder6.ts";
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
  // What it pads to 16 bytes must fit as well.
  assertEquals(pair.toGateway.mtu, 1392);
  look(pair, path);
  assertEquals(pair.toGateway.mtu, 1392);
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
    assertEquals(peer.mtu, 1216);
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

/** The same for a path over IPv6, about a message of the peer's session, or of another index. */
function claimAbout6(
  { current }: Peer,
  mtu: number,
  remoteIndex = current!.remoteIndex,
): PathClaim {
  const payload = new Uint8Array(1_460);
  new DataView(payload.buffer).setUint32(0, 4, true);
  new DataView(payload.buffer).setUint32(4, remoteIndex, true);
  const ends = { source: "2001:db8::1", destination: "2001:db8::2" };
  const quoted = buildUdp6({ ...ends, sourcePort: 51_820, destinationPort: 40_000, payload });
  const bytes = Uint8Array.of(2, 0, 0, 0, 0, 0, mtu >> 8, mtu & 0xff, ...quoted);
  const claim = new PathClaim();
  assert(claim.readIpv6(new DataView(bytes.buffer), bytes.length, 51_820));
  return claim;
}

/** A path over IPv6 of 1,500 bytes, looked at to the end, to a peer that answers probes or does not. */
function known6(search: PathMtuSearch, answers: boolean): Peer {
  const peer = stubPeer();
  peer.endpoint.set({ address: "2001:db8::2", port: 40_000 });
  peer.current = new PeerSession({ ...stubSession(peer, 1), remoteIndex: 7 });
  search.start(peer, 0);
  for (const at of [0, 50, 400, 2_000]) {
    search.looked(peer, 1_480, at);
    if (answers) peer.provenMtu = MAX_MTU;
  }
  assertEquals([search.next(2_000), peer.mtu], [null, MAX_MTU]);
  return peer;
}

Deno.test("over IPv6, a claim about data of the session has a path looked at that was known", () => {
  for (const answers of [true, false]) {
    const search = new PathMtuSearch(MAX_MTU);
    const peer = known6(search, answers);
    // Who does not see our datagrams does not know the index; and what is longer than we send says nothing.
    search.claimed(claimAbout6(peer, 1280, 8), 3_000);
    search.claimed(claimAbout6(peer, 1500), 3_000);
    assertEquals(search.next(3_000), null);
    search.claimed(claimAbout6(peer, 1280), 3_000);
    assertEquals(search.next(3_000), peer);
    assertEquals(search.looked(peer, 1_480, 3_000), [MAX_MTU, 1200]);
    // A peer that answers is asked first; of any other it counts at once, as all that is longer is lost.
    assertEquals(peer.mtu, answers ? MAX_MTU : 1200);
    if (answers) peer.provenMtu = 1200;
    search.looked(peer, 1_480, 3_050);
    assertEquals(peer.mtu, 1200);
    for (const at of [3_400, 5_000]) search.looked(peer, 1_480, at);
    assertEquals([search.next(6_000), peer.mtu], [null, 1200]);
  }
});

Deno.test("a claim about data of a session that is over, or of a peer that is removed, is none", () => {
  const search = new PathMtuSearch(MAX_MTU);
  const peer = known6(search, true);
  const claim = claimAbout6(peer, 1280);
  peer.current = new PeerSession({ ...peer.current!, remoteIndex: 9 });
  search.claimed(claim, 3_000);
  assertEquals(search.next(3_000), null);
  peer.current = new PeerSession({ ...peer.current, remoteIndex: 7 });
  search.forget(peer);
  search.claimed(claim, 3_000);
  assertEquals(search.next(3_000), null);
});

Deno.test("a claim lowers the MTU no further than 576", () => {
  const search = new PathMtuSearch(MAX_MTU);
  const peer = probed(search);
  search.claimed(claimAbout(peer, 68), 10);
  search.looked(peer, 1500, 10);
  assertEquals(peer.mtu, MIN_MTU);
});
