/**
 * Tests of how long keys are used (WireGuard paper, sections 6.1 to 6.3), rule by rule, between two devices on a fake
 * clock: when they are renewed and by whom, when they are refused, when they are zeroed.
 */
import type { KeyPair, X25519Provider } from "../../../lib/core/noise/key_pair.ts";
import { keyPair } from "../../../lib/core/noise/x25519.ts";
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import {
  connectedPair,
  downward,
  INITIATION,
  sentBy,
  TRANSPORT,
  type TunnelPair,
  tunnelPair,
  upward,
} from "../../support/packets/tunnel_pair.ts";

const LATENCY = 10;
const JITTER = 334;
/** How long `connectedPair()` lets pass after it has begun the handshake. */
const CONNECTED = 100;

function assertBetween(value: number, first: number, last: number): void {
  assert(value >= first && value <= last, `${value} is not between ${first} and ${last}`);
}

/** Sends a packet up each second for `seconds`. */
function sendEachSecond({ client, simulation }: TunnelPair, seconds: number): void {
  for (let second = 0; second < seconds; second++) {
    client.send(upward(`second ${second}`));
    simulation.run(1000);
  }
}

Deno.test("REKEY_AFTER_TIME: the initiator renews the key with the first packet that it sends after 120 s", () => {
  const pair = connectedPair();
  const start = pair.toGateway.current!.createdAt;
  pair.simulation.runUntil(start + 119_999);
  pair.client.send(upward("still the old key"));
  pair.simulation.run(0);
  assertEquals(sentBy(pair, pair.client, INITIATION), []);
  pair.simulation.run(1);
  pair.client.send(upward("time for a new one"));
  pair.simulation.run(100);
  assertEquals(sentBy(pair, pair.client, INITIATION).map(({ at }) => at - start), [120_000]);
  assertEquals(pair.toGateway.current!.createdAt, start + 120_000 + 2 * LATENCY);
});

Deno.test("REKEY_AFTER_TIME: an idle session is not renewed", () => {
  const pair = connectedPair();
  pair.simulation.run(600_000);
  assertEquals(pair.sent, []);
});

Deno.test("REKEY_AFTER_TIME: a steady flow has its key renewed each 120 s, always by the first initiator", () => {
  const pair = connectedPair();
  const start = pair.simulation.now;
  const handshakes: number[] = [];
  for (let second = 0; second < 3600; second++) {
    pair.client.send(upward(`up ${second}`));
    pair.gateway.send(downward(`down ${second}`));
    pair.simulation.run(1000);
    handshakes.push(...sentBy(pair, pair.client, INITIATION).map(({ at }) => at - start));
    assertEquals(sentBy(pair, pair.gateway, INITIATION), []);
    pair.sent.length = 0;
  }
  assertEquals(handshakes.length, 29);
  handshakes.forEach((at, i) => {
    const gap = at - (handshakes[i - 1] ?? -CONNECTED);
    assertBetween(gap, 120_000, 122_000);
  });
  assertEquals(pair.gateway.tun.written.length, 3600);
  assertEquals(pair.client.tun.written.length, 3600);
});

Deno.test("REKEY_AFTER_TIME: the responder leaves renewal to the initiator, until the key is past use", () => {
  const pair = connectedPair();
  const start = pair.toClient.current!.createdAt;
  pair.simulation.runUntil(start + 179_000);
  pair.gateway.send(downward("still fine"));
  pair.simulation.runUntil(start + 179_005);
  assertEquals(sentBy(pair, pair.gateway, INITIATION), []);
});

/** Keeps initiations off the link of `pair` from now on. */
function loseInitiations({ simulation }: TunnelPair): void {
  const record = simulation.onDatagram!;
  simulation.onDatagram = (datagram, sender) => {
    record(datagram, sender);
    return datagram.bytes[0] !== INITIATION;
  };
}

Deno.test("an initiator that only receives renews the key at 165 s, and asks for it once", () => {
  const pair = connectedPair();
  const start = pair.toGateway.current!.createdAt;
  pair.simulation.runUntil(start + 164_000);
  pair.gateway.send(downward("a little early"));
  pair.simulation.run(LATENCY);
  assertEquals(sentBy(pair, pair.client, INITIATION), []);
  loseInitiations(pair);
  pair.simulation.runUntil(start + 165_000);
  for (let packet = 0; packet < 65; packet++) {
    pair.gateway.send(downward(`packet ${packet}`));
    pair.simulation.run(100);
  }
  const [first, second, ...more] = sentBy(pair, pair.client, INITIATION);
  assertEquals(first!.at - start, 165_000 + LATENCY);
  // The timer sends it again; packets that go on coming do not.
  assertBetween(second!.at - first!.at, 5000, 5000 + JITTER);
  assertEquals([more.length, pair.toGateway.timers.handshakeAttempts], [0, 1]);
});

Deno.test("a responder that only receives leaves renewal to the initiator", () => {
  const pair = connectedPair();
  pair.simulation.run(166_000);
  loseInitiations(pair);
  pair.client.send(upward("renews"));
  pair.simulation.run(LATENCY);
  assertEquals(pair.gateway.tun.written.length, 1);
  assertEquals(sentBy(pair, pair.gateway), []);
});

Deno.test("a late packet under the previous key renews nothing", () => {
  const pair = connectedPair();
  const { simulation, client, gateway, toGateway } = pair;
  simulation.run(121_000);
  simulation.link.isDown = true;
  gateway.send(downward("late"));
  simulation.link.isDown = false;
  const late = sentBy(pair, gateway, TRANSPORT)[0]!.bytes;
  client.initiate(toGateway);
  simulation.run(1000);
  simulation.runUntil(toGateway.previous!.createdAt + 170_000);
  pair.sent.length = 0;
  client.receive(late, gateway);
  assertEquals(client.tun.written.length, 1);
  assertEquals(sentBy(pair, client), []);
});

Deno.test("REJECT_AFTER_TIME: nothing is sent under a key of 180 s; the packet waits for a new one", () => {
  const pair = connectedPair();
  const start = pair.toClient.current!.createdAt;
  pair.simulation.runUntil(start + 180_000);
  pair.gateway.send(downward("late"));
  assertEquals(pair.sent.map(({ type }) => type), [INITIATION]);
  pair.simulation.run(100);
  assertEquals(pair.client.tun.written.length, 1);
});

Deno.test("REJECT_AFTER_TIME: nothing is taken under a key of 180 s", () => {
  const pair = connectedPair();
  const start = pair.toClient.current!.createdAt;
  pair.simulation.runUntil(start + 179_999 - LATENCY);
  pair.client.send(upward("in time"));
  pair.simulation.run(1);
  pair.client.send(upward("too late on arrival"));
  pair.simulation.run(LATENCY);
  assertEquals(pair.gateway.tun.written.length, 1);
  assertEquals(pair.gateway.dropped(DropReason.expiredKey), 1);
});

Deno.test("keys are zeroed 3 * REJECT_AFTER_TIME after the last handshake", () => {
  for (const end of ["toGateway", "toClient"] as const) {
    const pair = connectedPair();
    const peer = pair[end];
    const { sending, receiving, createdAt } = peer.current!;
    pair.simulation.runUntil(createdAt + 539_999);
    assert(peer.current !== null);
    assert(sending.seal(0, 0, 0, 0, 1));
    pair.simulation.run(1);
    assertEquals(peer.current, null);
    assertEquals([sending.seal(0, 0, 0, 0, 2), receiving.open(0, 0, 0, 0, 2)], [false, false]);
    const { events } = end === "toGateway" ? pair.client : pair.gateway;
    assertEquals(events.at(-1)!.kind, "keys-zeroed");
  }
});

Deno.test("keys are zeroed 3 * REJECT_AFTER_TIME after the newest of them was made, the older ones too", () => {
  const pair = connectedPair();
  pair.simulation.run(121_000);
  const first = pair.toGateway.current!;
  pair.client.send(upward("renew"));
  pair.simulation.run(100);
  const second = pair.toGateway.current!;
  assertEquals(pair.toGateway.previous, first);
  pair.simulation.runUntil(second.createdAt + 539_999);
  assertEquals(first.sending.seal(0, 0, 0, 0, 1), true);
  pair.simulation.run(1);
  for (const { sending } of [first, second]) assertEquals(sending.seal(0, 0, 0, 0, 2), false);
});

Deno.test("a busy tunnel survives an outage of any length", () => {
  for (const outage of [1000, 20_000, 170_000, 200_000, 700_000]) {
    const pair = connectedPair();
    sendEachSecond(pair, 5);
    pair.simulation.link.isDown = true;
    sendEachSecond(pair, outage / 1000);
    pair.simulation.link.isDown = false;
    sendEachSecond(pair, 30);
    pair.gateway.tun.written.length = 0;
    sendEachSecond(pair, 10);
    assertEquals(pair.gateway.tun.written.length, 10, `${outage}`);
  }
});

Deno.test("each handshake has a pair of its own, which is destroyed however the handshake ends", () => {
  const pairs = new PairLedger();
  const pair = tunnelPair({ x25519: pairs });
  const { client, gateway, toGateway, toClient, simulation } = pair;
  const endpoint = { address: gateway.address, port: gateway.port };
  // Completed: one pair at each end.
  client.initiate(toGateway);
  simulation.run(100);
  assert(toClient.current !== null);
  assertEquals(pairs.counts, { made: 2, alive: 0 });
  // Never answered, over and over, then given up.
  simulation.link.isDown = true;
  client.send(upward("nobody answers"));
  simulation.run(300_000);
  assert(pairs.counts.made > 10, `${pairs.counts.made} pairs`);
  assertEquals(pairs.counts.alive, 0);
  // Under way while the peer is removed.
  const other = client.addPeer({ identity: keyPair(new Uint8Array(32).fill(3)) }, [], { endpoint });
  client.initiate(other);
  assertEquals(pairs.counts.alive, 1);
  client.device.removePeer(other);
  assertEquals(pairs.counts.alive, 0);
  // Refused: there is no room for the answer, or the key has low order.
  simulation.link.isDown = false;
  client.initiate(toGateway);
  const { reserve } = gateway.sendQueue;
  gateway.sendQueue.reserve = () => -1;
  simulation.run(100);
  gateway.sendQueue.reserve = reserve;
  assert(gateway.dropped(DropReason.sendQueueFull) > 0);
  client.initiate(client.addPeer({ identity: { public: new Uint8Array(32) } }, [], { endpoint }));
  simulation.run(200_000);
  client.device.removePeer(toGateway);
  assertEquals(pairs.counts.alive, 0);
});

/** Pairs, and which of them are not destroyed yet. */
class PairLedger implements X25519Provider {
  readonly #alive = new Set<KeyPair>();
  #made = 0;

  get counts(): { made: number; alive: number } {
    return { made: this.#made, alive: this.#alive.size };
  }

  keyPair(secret: Uint8Array): KeyPair {
    const inner = keyPair(secret);
    const pair: KeyPair = {
      public: inner.public,
      agree: (remotePublic, result) => inner.agree(remotePublic, result),
      destroy: () => {
        inner.destroy();
        this.#alive.delete(pair);
      },
    };
    this.#made++;
    this.#alive.add(pair);
    return pair;
  }
}
