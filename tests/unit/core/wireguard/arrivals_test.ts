/** Tests of lib/core/wireguard/arrivals.ts: what an authentic message says of its peer. */
import { Paths } from "../../../../lib/core/transport/paths.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
import { Arrivals } from "../../../../lib/core/wireguard/arrivals.ts";
import { Watch } from "../../../../lib/core/wireguard/liveness/liveness.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { stubPeer } from "../../../support/wireguard/peer_stub.ts";

const OPTIONS = { role: "server", peerTimeout: 6_000, releaseAfter: 180_000 } as const;

/** Arrivals over one peer, and what is reported of it. */
class Subject {
  readonly paths = new Paths({ holders: 4, unheld: 4 });
  readonly peer = stubPeer(new Watch(OPTIONS), 1, this.paths);
  readonly reported: string[] = [];
  readonly arrivals = new Arrivals({
    paths: this.paths,
    report: (kind) => this.reported.push(kind),
    sendStaged: () => this.reported.push("send staged"),
  });

  locate(port: number, source = 0, transport: Transport = Transport.udp): void {
    this.arrivals.locate(this.peer, 100, this.paths.intern(1, port, source, transport), 1_000);
  }
}

Deno.test("a peer that is elsewhere is reported, and is to prove that it receives there", () => {
  const site = new Subject();
  site.locate(7);
  assertEquals([site.peer.endpoint.port, site.peer.proof.isProven], [7, false]);
  assertEquals(site.reported, ["endpoint-changed"]);
  site.locate(7);
  assertEquals(site.reported, ["endpoint-changed"]);
});

Deno.test("a peer that writes to another address of ours is where it was", () => {
  const site = new Subject();
  site.locate(7, 0xc000_0201);
  site.locate(7, 0xc000_0202);
  assertEquals(site.reported, ["endpoint-changed"]);
  assertEquals([site.peer.endpoint.port, site.peer.endpoint.sourceDigest >>> 0], [7, 0xc000_0202]);
});

Deno.test("the same address by another transport is another place, and fake TCP needs no proof", () => {
  const site = new Subject();
  site.locate(7);
  site.locate(7, 0, Transport.fakeTcp);
  assertEquals(site.reported, ["endpoint-changed", "endpoint-changed", "send staged"]);
  assertEquals(site.peer.endpoint.transport, Transport.fakeTcp);
});

Deno.test("a message of a peer that was down makes it up, once", () => {
  const site = new Subject();
  const { peer, arrivals, reported } = site;
  peer.watch!.isDown = true;
  peer.unansweredSince = peer.askedSince = 1;
  arrivals.markAlive(peer, 2_000);
  arrivals.markAlive(peer, 2_001);
  assertEquals(reported, ["up"]);
  assertEquals([peer.lastReceivedAt, peer.unansweredSince], [2_001, Infinity]);
});

Deno.test("the watch is asked when it has something to do by a message of ours, and by none of another program", () => {
  const { peer, arrivals } = new Subject();
  const watch = peer.watch!;
  const { recognition } = watch;
  let asked = 0;
  watch.nextAt = (traffic) => {
    asked++;
    return Watch.prototype.nextAt.call(watch, traffic);
  };
  recognition.sessionBegan(false, 1_000);
  recognition.received(0);
  for (let now = 1_000; now < 1_100; now++) arrivals.markAlive(peer, now);
  assertEquals([asked, peer.timers.watchAt], [0, Infinity]);
  recognition.controlReceived();
  peer.lastSentAt = 1_100;
  for (let now = 1_100; now < 1_200; now++) arrivals.markAlive(peer, now);
  assertEquals(asked, 1);
  assert(peer.timers.watchAt > 1_100 && peer.timers.watchAt <= 7_100, `${peer.timers.watchAt}`);
});
