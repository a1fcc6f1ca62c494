/**
 * Tests of `lib/core/wireguard/path/path_mtu.ts`: when a path is probed, and how two devices find out what gets
 * through.
 */
import {
  innerMtu,
  MIN_MTU,
  PathMtuSearch,
} from "../../../../../lib/core/wireguard/path/path_mtu.ts";
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
  upward,
} from "../../../../support/packets/tunnel_pair.ts";
import { stubPeer } from "../../../../support/wireguard/peer_stub.ts";
import { look, MAX_MTU } from "../../../../support/wireguard/path_mtu_world.ts";

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

Deno.test("jumbo packets go to a peer that has answered a probe of them, and to no other", () => {
  const search = new PathMtuSearch(8940, MAX_MTU);
  const mtuAfter = (answer: (peer: Peer, lengths: readonly number[]) => void) => {
    const peer = stubPeer();
    peer.mtu = 8940;
    const mtus: number[] = [];
    for (let renewal = 0; renewal < 2; renewal++) {
      search.start(peer, 0);
      while (search.pollAt() < Infinity) {
        const now = search.pollAt();
        if (search.next(now) === null) continue;
        const lengths = search.looked(peer, 9000, now);
        mtus.push(peer.mtu);
        answer(peer, lengths);
      }
    }
    return mtus;
  };
  assertEquals(new Set(mtuAfter(() => {})), new Set([MAX_MTU]));
  const answers = mtuAfter((peer, lengths) => {
    peer.provenMtu = Math.max(peer.provenMtu, ...lengths);
  });
  // Nor does it fall back while the path is looked at again.
  assertEquals(answers, [MAX_MTU, 8940, 8940, 8940]);
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

Deno.test("the path of a peer that roams is probed again, and several at a time", () => {
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

Deno.test("all paths that are due at the same time are probed once each, and in their order", () => {
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
