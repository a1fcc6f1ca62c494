/** Tests of lib/core/wireguard/peer_table.ts: peers by key and by index, and their settings. */
import { keyPair } from "../../../../lib/core/noise/x25519.ts";
import { NO_PATH, Paths } from "../../../../lib/core/transport/paths.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
import type { Peer } from "../../../../lib/core/wireguard/peer.ts";
import { PeerTable } from "../../../../lib/core/wireguard/peer_table.ts";
import { NEVER } from "../../../../lib/core/wireguard/timers.ts";
import { assert, assertEquals, assertNotEquals, assertThrows } from "../../../support/assert.ts";
import { ipv4 } from "../../../support/packets/simulated_device.ts";
import { Random } from "../../../support/random.ts";

const random = new Random(3);

function makeTable(capacity = 8, paths = new Paths({ holders: 8, unheld: 2 })): PeerTable {
  return new PeerTable({
    identity: keyPair(random.bytes(32)),
    mtu: 1420,
    random: (length) => random.bytes(length),
    paths,
    watch: null,
    followsTransport: true,
    capacity,
  });
}

function add(table: PeerTable): Peer {
  return table.add({ publicKey: random.bytes(32), allowedIps: [] }, 0);
}

Deno.test("a peer is found by its key and by its index, from 1 on", () => {
  const table = makeTable();
  const [first, second] = [add(table), add(table)];
  assertEquals([first.index, second.index], [1, 2]);
  assertEquals(table.byIndex(2), second);
  assertEquals(table.byIndex(0), null);
  assertEquals(table.byIndex(3), null);
  assertEquals(table.byKey(first.publicKey.slice()), first);
  assertEquals([...table], [first, second]);
});

Deno.test("a removed peer is found no more, and removing it twice does nothing", () => {
  const table = makeTable(2);
  const [first, second] = [add(table), add(table)];
  table.remove(first);
  table.remove(first);
  assertEquals(table.byIndex(1), null);
  assertEquals(table.byKey(first.publicKey), undefined);
  assertEquals([...table], [second]);
  assertEquals(add(table).index, 1);
  assertThrows(() => add(table), RangeError, "Cannot add peer: there are 2 already");
});

Deno.test("a peer keeps one path, wherever it has been, and none once it is removed", () => {
  const paths = new Paths({ holders: 2, unheld: 2 });
  const table = makeTable(2, paths);
  add(table).configureEndpoint({ address: 1, port: 1 });
  for (let round = 0; round < 20; round++) {
    const peer = add(table);
    for (let move = 0; move < 10; move++) {
      const path = paths.intern(9, 1 + round * 10 + move, 7, Transport.udp);
      assertNotEquals(path, NO_PATH);
      peer.endpoint.moveTo(path);
      if (move === 3) peer.endpoint.setTransport(Transport.fakeTcp);
      if (move === 5) peer.endpoint.forgetSource();
      if (move === 7) peer.forgetEndpoint();
    }
    table.remove(peer);
  }
  assertEquals([...table].map(({ endpoint: { address, port } }) => [address, port]), [[1, 1]]);
});

Deno.test("an index that has come free is used again last, the one free for longest first", () => {
  const table = makeTable(6);
  const peers = Array.from({ length: 5 }, () => add(table));
  table.remove(peers[4]!);
  table.remove(peers[1]!);
  assertEquals(add(table).index, 6, "one that nobody has had");
  assertEquals([add(table).index, add(table).index], [5, 2]);
});

Deno.test("a public key is taken once, and the second try costs nothing", () => {
  const table = makeTable();
  const { publicKey } = add(table);
  assertThrows(() => table.add({ publicKey, allowedIps: [] }, 0), RangeError, "its public key");
  assertEquals(add(table).index, 2);
});

Deno.test("allowed IPs go to the peer that was added or changed last", () => {
  const table = makeTable();
  const network = { address: ipv4("10.7.0.0"), prefixLength: 24 };
  const at = () => table.allowedIps.lookup(ipv4("10.7.0.9"));
  const first = table.add({ publicKey: random.bytes(32), allowedIps: [network] }, 0);
  assertEquals(at(), first);
  const second = add(table);
  table.update(second, { publicKey: second.publicKey, allowedIps: [network] }, 0);
  assertEquals(at(), second);
  table.remove(second);
  assertEquals(at(), null);
});

Deno.test("the deadline is that of the earliest timer of all peers", () => {
  const table = makeTable();
  table.add({ publicKey: random.bytes(32), allowedIps: [], persistentKeepalive: 25 }, 500);
  assertEquals(table.deadline.at, 500, "a persistent keepalive goes out at once");
});

Deno.test("what is due is done, of all peers in time, and none is looked at for others far from it", () => {
  const table = makeTable(200);
  const peers = Array.from({ length: 200 }, () => add(table));
  const due = new Map(peers.map((peer) => [peer, 1_000 + random.below(500)]));
  for (const [peer, at] of due) peer.timers.watchBy(at);
  table.remove(peers[77]!);
  due.delete(peers[77]!);
  const left = new Set(due.keys());
  let looks = 0;
  for (let turns = 0; left.size > 0; turns++) {
    assertEquals(table.deadline.at, Math.min(...[...left].map((peer) => due.get(peer)!)));
    const now = table.deadline.at;
    table.runDue(now, (peer, at) => {
      assertEquals(at, now);
      looks++;
      if (peer.timers.watchAt > now) return;
      peer.timers.watchAt = NEVER;
      assertEquals(due.get(peer), now);
      left.delete(peer);
    });
  }
  assertEquals(table.deadline.at, NEVER);
  assert(looks < 200 * 64);
});

Deno.test("a timer that is armed while others are run, of whichever peer, counts from then on", () => {
  const table = makeTable(100);
  const peers = Array.from({ length: 100 }, () => add(table));
  peers[50]!.timers.watchBy(1_000);
  table.runDue(1_000, (peer) => {
    if (peer !== peers[50]) return;
    peer.timers.watchAt = NEVER;
    peers[0]!.timers.watchBy(900);
    peers[99]!.timers.watchBy(3_000);
  });
  assertEquals(table.deadline.at, 900);
  const seen: number[] = [];
  table.runDue(1_000, (peer) => {
    if (peer.timers.watchAt <= 1_000) seen.push(peers.indexOf(peer));
    if (peer === peers[0]) peer.timers.watchAt = NEVER;
  });
  assertEquals(seen, [0]);
  assertEquals(table.deadline.at, 3_000);
});

Deno.test("of peers that come, go, change keys and have timers set at random, also by each other's, none is ever late", () => {
  for (let world = 0; world < 4; world++) {
    const table = makeTable(70, new Paths({ holders: 70, unheld: 2 }));
    let now = 0;
    let [late, spins] = [0, 0];
    const earliest = () => Math.min(...[...table].map(({ timers }) => timers.earliest()));
    /** Does one thing to a peer, or with one; nothing is due before `first`. */
    const disturb = (first: number) => {
      const peers = [...table];
      const what = random.below(12);
      if (peers.length === 0 || (what === 0 && peers.length < 70)) {
        table.add({
          publicKey: random.bytes(32),
          allowedIps: [],
          persistentKeepalive: random.below(2),
        }, first);
        return;
      }
      const peer = random.pick(peers);
      const { timers } = peer;
      if (what === 1) table.remove(peer);
      else if (what === 2) {
        table.setSuccessor(peer, { publicKey: random.bytes(32) });
        table.succeed(peer, peer.successor!);
      } else if (what === 3) timers.handshakeCompleted();
      else if (what === 4) timers.authenticatedReceived(first);
      else if (what === 5) timers.postponeHandshake(first + random.below(3_000));
      else if (what === 6) timers.dataReceived(first);
      else if (what === 7) timers.stop();
      else if (what === 8) timers.handshakeBy(first + random.below(500));
      else timers.watchBy(first + random.below(2_000));
    };
    for (let step = 0; step < 2_000; step++) {
      disturb(now);
      late += Number(table.deadline.at > earliest());
      if (random.chance(0.5)) continue;
      now += random.below(random.pick([10, 100, 4_000]));
      const due = new Set([...table].filter(({ timers }) => timers.earliest() <= now));
      const seen = new Set<Peer>();
      table.runDue(now, (peer) => {
        assert(!seen.has(peer), "once in a turn");
        assertEquals(table.byIndex(peer.index), peer);
        seen.add(peer);
        if (random.chance(0.1)) disturb(now - random.below(2));
        if (peer.timers.earliest() <= now) peer.timers.stop();
        late += Number(table.deadline.at > earliest());
      });
      for (const peer of due) {
        if (table.byIndex(peer.index) === peer) assert(seen.has(peer), "whatever is due is run");
      }
      late += Number(table.deadline.at > earliest());
      // What was armed meanwhile is due in the next turn, and nothing is after that.
      table.runDue(now, ({ timers }) => {
        if (timers.earliest() <= now) timers.stop();
      });
      spins += Number(table.deadline.at <= now);
    }
    assertEquals([late, spins], [0, 0]);
  }
});
