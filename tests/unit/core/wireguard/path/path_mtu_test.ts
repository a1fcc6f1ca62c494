/** Tests of lib/core/wireguard/path/path_mtu.ts: what is learnt of paths, and when, and how two devices find out what gets through. */
import {
  innerMtu,
  MIN_MTU,
  PATH_OVERHEAD,
  PathMtuSearch,
} from "../../../../../lib/core/wireguard/path/path_mtu.ts";
import { Session } from "../../../../../lib/core/wireguard/session/session.ts";
import { PathClaim } from "../../../../../lib/core/wireguard/path/path_claim.ts";
import type { Peer } from "../../../../../lib/core/wireguard/peer.ts";
import { DropReason } from "../../../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import { FakeClock } from "../../../../support/time/fake_clock.ts";
import type { Bytes } from "../../../../support/packets/packet_builder.ts";
import {
  connectedPair,
  deliver,
  receivedTexts,
  sentBy,
  TRANSPORT,
  type TunnelPair,
  upward,
} from "../../../../support/packets/tunnel_pair.ts";
import { stubPeer, stubSession } from "../../../../support/wireguard/peer_stub.ts";

const MAX_MTU = 1420;

/** A path as the kernel and the network make one. */
interface Path {
  /** What the narrowest link takes. */
  mtu: number;
  /** Whether a router tells, when DF keeps a packet from going on. */
  readonly tells: boolean;
  /** What the kernel knows: the first link, or what it was told. */
  known: number;
  /** Whether a router says itself, by ICMP, what it takes; and then something else than the truth. */
  readonly claims?: boolean;
  readonly lie?: number;
  /** Whether the path is in use already, and is only to be looked at again. */
  readonly isInUse?: boolean;
  /** Whether the peer is of another kind: nothing answers. */
  readonly isStock?: boolean;
}

/** What a router that has seen a probe to this peer says of it. */
function claimAbout({ endpoint, current }: Peer, mtu: number): PathClaim {
  const { address, port } = endpoint;
  return Object.assign(new PathClaim(), {
    mtu,
    address,
    port,
    remoteIndex: current?.remoteIndex ?? 0,
  });
}

/** Looks at the client's path to the gateway, as the data plane does, until the search ends. Returns the probes' lengths. */
function look({ client, gateway, toGateway, simulation }: TunnelPair, path: Path): number[] {
  const search = new PathMtuSearch(MAX_MTU);
  const lengths: number[] = [];
  if (path.isInUse) search.confirm(toGateway, simulation.now);
  else search.start(toGateway, simulation.now);
  while (search.pollAt() < Infinity) {
    simulation.run(Math.max(0, search.pollAt() - simulation.now));
    for (
      let peer = search.next(simulation.now);
      peer !== null;
      peer = search.next(simulation.now)
    ) {
      for (const length of search.looked(peer, path.known, simulation.now)) {
        lengths.push(length);
        if (length + PATH_OVERHEAD > path.known) continue;
        if (length + PATH_OVERHEAD > path.mtu) {
          if (path.tells) path.known = path.mtu;
          if (path.claims) search.claimed(claimAbout(peer, path.mtu), simulation.now);
          continue;
        }
        if (path.lie) search.claimed(claimAbout(peer, path.lie), simulation.now);
        if (path.isStock) continue;
        assert(client.device.sendProbe(peer, length, simulation.now));
        client.poll();
      }
    }
  }
  assertEquals(gateway.tun.written, []);
  return lengths;
}

Deno.test("innerMtu() leaves room for the headers of IPv4, UDP and WireGuard, within bounds", () => {
  for (
    const [path, inner] of [[1500, 1440], [1280, 1220], [636, 576], [635, 576], [68, 576]] as const
  ) {
    assertEquals(innerMtu(path, 9000), inner, `${path}`);
  }
  assertEquals(innerMtu(1500, 1420), 1420);
  assertEquals(innerMtu(1480, 1420), 1420);
  assertEquals(innerMtu(1479, 1420), 1419);
});

Deno.test("on a path that takes everything, one probe is answered, and that is all", () => {
  const pair = connectedPair();
  assertEquals(look(pair, { mtu: 1500, tells: true, known: 1500 }), [1420]);
  assertEquals(pair.toGateway.mtu, 1420);
  assertEquals(pair.gateway.drops.total, 0);
  // Nothing that a timer waits on: no keepalive follows on the probe or on its answer.
  pair.sent.length = 0;
  pair.simulation.run(20_000);
  assertEquals(pair.sent, []);
});

Deno.test("a first link that becomes narrow counts at once, and what is behind it is probed in turn", () => {
  const pair = connectedPair();
  assertEquals(look(pair, { mtu: 1280, tells: true, known: 1500 }), [1420, 1220]);
  assertEquals(pair.toGateway.mtu, 1220);
  assertEquals(pair.toClient.mtu, 1420);
});

Deno.test("a path whose first link is narrow is known at once", () => {
  const pair = connectedPair();
  assertEquals(look(pair, { mtu: 1300, tells: true, known: 1300 }), [1240]);
  assertEquals(pair.toGateway.mtu, 1240);
});

Deno.test("a path in use is found to take less, or more, without another session", () => {
  const pair = connectedPair();
  look(pair, { mtu: 1500, tells: false, known: 1500 });
  // Nothing has changed: that costs one probe.
  assertEquals(look(pair, { mtu: 1500, tells: false, known: 1500, isInUse: true }), [1420]);
  look(pair, { mtu: 1300, tells: false, known: 1500, isInUse: true });
  assertEquals(pair.toGateway.mtu, 1220);
  look(pair, { mtu: 1300, tells: false, claims: true, known: 1500, isInUse: true });
  assertEquals(pair.toGateway.mtu, 1240);
  // What a narrow path takes is confirmed with no more than the greatest length beside it.
  const again = look(pair, { mtu: 1300, tells: false, known: 1500, isInUse: true });
  assertEquals([...new Set(again)], [1420, 1240]);
  assertEquals(pair.toGateway.mtu, 1240);
  look(pair, { mtu: 1500, tells: false, known: 1500, isInUse: true });
  assertEquals(pair.toGateway.mtu, 1420);
});

Deno.test("a path in use to a peer that answers no probes is sent none", () => {
  const pair = connectedPair();
  look(pair, { mtu: 1500, tells: false, known: 1500, isStock: true });
  assertEquals(
    look(pair, { mtu: 1300, tells: false, known: 1500, isStock: true, isInUse: true }),
    [],
  );
  assertEquals(pair.toGateway.mtu, 1420);
});

Deno.test("nobody is believed but the peer: its answers show what gets through", () => {
  const pair = connectedPair();
  const path = { mtu: 1280, tells: false, known: 1500 };
  assertEquals(look(pair, path), [1420, 1420, 1400, 1390, 1340, 1220, 576, 1420, 1400, 1390, 1340]);
  assertEquals(pair.toGateway.mtu, 1220);
  // The next session does not go back to what failed, and finds out when the path has grown.
  look(pair, path);
  assertEquals(pair.toGateway.mtu, 1220);
  path.mtu = 1500;
  assertEquals(look(pair, path), [1420]);
  assertEquals(pair.toGateway.mtu, 1420);
});

Deno.test("a path that grows again after the kernel has forgotten is used in full again", () => {
  const pair = connectedPair();
  const path = { mtu: 1280, tells: true, known: 1500 };
  look(pair, path);
  path.known = path.mtu = 1500;
  look(pair, path);
  assertEquals(pair.toGateway.mtu, 1420);
});

Deno.test("a path that is still narrow after the kernel has forgotten stays narrow all the while", () => {
  const search = new PathMtuSearch(MAX_MTU);
  const peer = stubPeer();
  peer.mtu = 1220;
  search.start(peer, 0);
  assertEquals(search.next(0), peer);
  assertEquals(search.looked(peer, 1500, 0), [1420]);
  assertEquals(peer.mtu, 1220);
  search.next(50);
  search.looked(peer, 1280, 50);
  assertEquals(peer.mtu, 1220);
});

Deno.test("a WireGuard that answers no probe is none the worse for it", () => {
  const clock = new FakeClock();
  const search = new PathMtuSearch(MAX_MTU);
  const peer = stubPeer();
  search.start(peer, clock.now);
  const begin = clock.now;
  const looks: number[] = [];
  while (search.pollAt() < Infinity) {
    clock.advanceTo(search.pollAt());
    const due = search.next(clock.now);
    if (due === null) continue;
    looks.push(clock.now - begin);
    search.looked(due, 1500, clock.now);
  }
  assertEquals(looks, [0, 50, 400, 2_000]);
  assertEquals(peer.mtu, MAX_MTU);
});

Deno.test("a peer without a route keeps its MTU", () => {
  const search = new PathMtuSearch(MAX_MTU);
  const peer = stubPeer();
  peer.mtu = 1300;
  search.start(peer, 0);
  search.next(0);
  search.looked(peer, null, 0);
  assertEquals(peer.mtu, 1300);
});

Deno.test("what claims that a path is narrower than any lowers the MTU no further than 576", () => {
  const pair = connectedPair();
  look(pair, { mtu: 1500, tells: true, known: 552 });
  assertEquals(pair.toGateway.mtu, MIN_MTU);
});

Deno.test("a peer that roams is looked at anew, and several at a time", () => {
  const search = new PathMtuSearch(MAX_MTU);
  const [one, other] = [stubPeer(), stubPeer()];
  one.provenMtu = 1420;
  search.start(one, 0);
  assertEquals(one.provenMtu, 0);
  search.start(other, 0);
  const due = new Set();
  for (let peer = search.next(0); peer !== null; peer = search.next(0)) {
    due.add(peer);
    search.looked(peer, 1500, 0);
  }
  assertEquals(due, new Set([one, other]));
  assertEquals(search.pollAt(), 50);
  // What was looked at is not due before its time, and who is not looked at is not asked about.
  assertEquals(search.next(49), null);
  assertEquals(search.looked(stubPeer(), 1280, 49), []);
});

Deno.test("a probe is sealed at the length asked for; its answer is short, once for each probe", () => {
  const pair = connectedPair();
  const { client, gateway, toGateway, simulation } = pair;
  client.device.sendProbe(toGateway, 1220, simulation.now);
  client.poll();
  simulation.run(20);
  const [probe] = sentBy(pair, client, TRANSPORT);
  assertEquals(probe!.bytes.length + 28, 1280);
  assertEquals(sentBy(pair, gateway, TRANSPORT).map(({ bytes }) => bytes.length), [16 + 32]);
  assertEquals(toGateway.provenMtu, 1220);
  // A replayed probe is no probe.
  deliver(gateway, probe!.bytes as Bytes);
  assertEquals(gateway.dropped(DropReason.replayed), 1);
  assertEquals(sentBy(pair, gateway, TRANSPORT).length, 1);
});

Deno.test("no probe is sent without a session", () => {
  const { client, toGateway, simulation } = connectedPair();
  simulation.run(200_000);
  assertEquals(client.device.sendProbe(toGateway, 1420, simulation.now), false);
});

Deno.test("packets are padded within the MTU of their peer's path, whatever the device's", () => {
  const pair = connectedPair();
  const { client, toGateway, simulation } = pair;
  toGateway.mtu = 1220;
  client.send(upward("x".repeat(1220 - 28)), upward("y".repeat(1210 - 28)), upward("z"));
  simulation.run(20);
  const sizes = sentBy(pair, client, TRANSPORT).map(({ bytes }) => bytes.length - 32);
  assertEquals(sizes, [1220, 1216, 32]);
  assertEquals(receivedTexts(pair.gateway).map(({ length }) => length), [1192, 1182, 1]);
});

Deno.test("forget() ends the search for a peer that is removed", () => {
  const search = new PathMtuSearch(MAX_MTU);
  const [peer, other] = [stubPeer(), stubPeer()];
  search.start(peer, 0);
  search.start(other, 0);
  search.forget(peer);
  assertEquals(search.next(0), other);
  search.forget(other);
  assertEquals(search.next(0), null);
  assertEquals(search.pollAt(), Infinity);
});

const NARROW = { mtu: 1454, tells: false, known: 1500, claims: true };

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
  peer.current = new Session({ ...peer.current!, remoteIndex: 9 });
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

/** A peer with a session and an endpoint, to whom a probe has gone at 0 ms. */
function probed(search: PathMtuSearch): Peer {
  const peer = stubPeer();
  Object.assign(peer.endpoint, { address: 0xc633_6402, port: 40_000 });
  peer.current = new Session({ ...stubSession(peer, 1), remoteIndex: 7 });
  search.start(peer, 0);
  assertEquals(search.next(0), peer);
  assertEquals(search.looked(peer, 1500, 0), [1420]);
  return peer;
}

Deno.test("all paths that are due at the same time are looked at once each, and in their order", () => {
  const search = new PathMtuSearch(MAX_MTU);
  const peers = Array.from({ length: 1_000 }, () => stubPeer());
  for (const peer of peers) search.start(peer, 0);
  for (const now of [0, 50, 400]) {
    assert(search.pollAt() <= now);
    const looked: Peer[] = [];
    for (let peer = search.next(now); peer !== null; peer = search.next(now)) {
      looked.push(peer);
      search.looked(peer, 1500, now);
      // While others are due, the loop is not to sleep.
      if (looked.length < peers.length) assert(search.pollAt() <= now);
    }
    assertEquals(looked, peers);
    assert(search.pollAt() > now);
  }
});

Deno.test("a peer whose path is another all the time leaves the searches of others whole", () => {
  const search = new PathMtuSearch(MAX_MTU);
  const [restless, other] = [stubPeer(), stubPeer()];
  search.start(other, 0);
  const looks: number[] = [];
  for (let now = 0; now <= 2_000; now++) {
    search.start(restless, now);
    for (let peer = search.next(now); peer !== null; peer = search.next(now)) {
      search.looked(peer, 1_500, now);
      if (peer === other) looks.push(now);
    }
  }
  assertEquals(looks, [0, 50, 400, 2_000]);
  search.forget(restless);
  assertEquals(search.pollAt() >= 2_000, true);
});
