/** Tests that what is told of peers is the latest, soon enough, and little however much happens to them. */
import { Paths } from "../../../../lib/core/transport/paths.ts";
import { PeerEndpoint } from "../../../../lib/core/transport/peer_endpoint.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
import type { Peer } from "../../../../lib/core/wireguard/peer.ts";
import { type PeerReportKind, PeerReports } from "../../../../lib/core/wireguard/peer_reports.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { FakeClock } from "../../../support/time/fake_clock.ts";
import { connectedPair, sentBy, upward } from "../../../support/packets/tunnel_pair.ts";

interface Told {
  readonly kind: PeerReportKind;
  readonly peer: Peer;
  readonly port: number;
  readonly at: number;
}

/** Reports about peers that are no more than an endpoint. */
class World {
  readonly clock = new FakeClock();
  readonly told: Told[] = [];
  readonly reports = new PeerReports((kind, peer) =>
    this.told.push({ kind, peer, port: peer.endpoint.port, at: this.clock.now - this.#start })
  );
  readonly #start = this.clock.now;
  readonly #paths = new Paths({ holders: 4, unheld: 4 });

  peer(): Peer {
    return { endpoint: new PeerEndpoint(this.#paths) } as Peer;
  }

  add(kind: PeerReportKind, peer: Peer): void {
    this.reports.add(kind, peer, this.clock.now);
  }

  /** Goes on for some time, as the loop does: it wakes when it is due. */
  run(ms: number): void {
    const end = this.clock.now + ms;
    for (let at = this.reports.pollAt(); at <= end; at = this.reports.pollAt()) {
      this.clock.advanceTo(Math.max(at, this.clock.now));
      this.reports.poll(this.clock.now);
    }
    this.clock.advanceTo(end);
  }

  kinds(): PeerReportKind[] {
    return this.told.map(({ kind }) => kind);
  }
}

Deno.test("the first event of each kind is told at once", () => {
  const world = new World();
  const [one, other] = [world.peer(), world.peer()];
  world.add("endpoint-changed", one);
  world.add("handshake-completed", one);
  world.add("endpoint-changed", other);
  world.add("down", one);
  assertEquals(world.told.map(({ kind, peer, at }) => [kind, peer === one, at]), [
    ["endpoint-changed", true, 0],
    ["handshake-completed", true, 0],
    ["endpoint-changed", false, 0],
    ["down", true, 0],
  ]);
  assertEquals(world.reports.pollAt(), Infinity);
});

Deno.test("a peer that moves all the time is told of once a second, with where it is by then", () => {
  const world = new World();
  const peer = world.peer();
  for (let i = 0; i < 100_000; i++) {
    peer.endpoint.set({ address: 1, port: 1 + i % 60_000 });
    world.add("endpoint-changed", peer);
    if (i % 10 === 0) world.run(1);
  }
  world.run(5_000);
  assert(world.told.length >= 10 && world.told.length <= 12, `${world.told.length} reports`);
  for (const [index, { at }] of world.told.entries()) {
    if (index > 0) assert(at - world.told[index - 1]!.at >= 1_000);
  }
  assertEquals(world.told.at(-1)!.port, 40_000);
  assertEquals(world.reports.pollAt(), Infinity);
});

Deno.test("another kind, and another peer, does not wait for one that is told too often", () => {
  const world = new World();
  const [hostile, other] = [world.peer(), world.peer()];
  for (let i = 0; i < 1_000; i++) world.add("endpoint-changed", hostile);
  world.add("released", hostile);
  world.add("up", other);
  assertEquals(world.kinds(), ["endpoint-changed", "released", "up"]);
});

Deno.test("of up and down within a second, only the later is told", () => {
  const world = new World();
  const peer = world.peer();
  world.add("down", peer);
  world.run(100);
  world.add("up", peer);
  for (let i = 0; i < 10; i++) {
    world.run(10);
    world.add("down", peer);
    world.run(10);
    world.add("up", peer);
  }
  world.run(5_000);
  assertEquals(world.kinds(), ["down", "up", "up"]);
});

Deno.test("all peers together have a budget, and what is over it is told later, in its order", () => {
  const world = new World();
  const peers = Array.from({ length: 1_000 }, () => world.peer());
  for (const peer of peers) world.add("handshake-completed", peer);
  assertEquals(world.told.length, 256);
  // Who comes later stands behind those that wait.
  const late = world.peer();
  world.add("handshake-completed", late);
  for (let second = 1; second <= 5; second++) {
    const before = world.told.length;
    world.run(1_000);
    assert(world.told.length - before <= 256);
  }
  assertEquals(world.told.map(({ peer }) => peer), [...peers, late]);
  assertEquals(world.reports.pollAt(), Infinity);
});

Deno.test("a peer that is no more is not told of", () => {
  const world = new World();
  const peer = world.peer();
  world.add("endpoint-changed", peer);
  world.add("endpoint-changed", peer);
  world.reports.forget(peer);
  world.run(5_000);
  assertEquals(world.told.length, 1);
});

Deno.test("keepalives from two ports in turn cost a report a second", () => {
  const pair = connectedPair();
  const { client, gateway, simulation } = pair;
  simulation.link.isDown = true;
  const told: PeerReportKind[] = [];
  const reports = new PeerReports((kind) => told.push(kind));
  const { device } = gateway;
  client.send(...Array.from({ length: 4_000 }, () => upward("moving")));
  sentBy(pair, client).forEach(({ bytes }, i) => {
    const now = simulation.now + i;
    gateway.memory.bytes.set(bytes, 0);
    const path = gateway.sendQueue.paths.intern(0x0a000001, 1 + i % 2, 0, Transport.udp);
    device.receive(0, bytes.length, path, now);
    // Several packets are one turn of the loop.
    if (i % 50 !== 49) return;
    assertEquals(device.events.length, 1);
    for (const { kind, peer } of device.events) reports.add(kind, peer, now);
    device.events.length = 0;
    reports.poll(now);
  });
  assert(told.length >= 3 && told.length <= 5, `${told.length} reports`);
});
