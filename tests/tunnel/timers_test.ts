/** Tests of every timer of the WireGuard paper (sections 6.1 to 6.5), one by one, between two devices on a fake clock. */
import { NEVER, Timers } from "../../lib/tunnel/timers.ts";
import { DropReason } from "../../lib/wire/drop_reason.ts";
import { assert, assertEquals } from "../support/assert.ts";
import type { SimulatedDevice } from "../support/simulated_device.ts";
import {
  connectedPair,
  deliver,
  downward,
  INITIATION,
  KEEPALIVE_SIZE,
  RESPONSE,
  type Sent,
  sentBy,
  TRANSPORT,
  type TunnelPair,
  tunnelPair,
  upward,
} from "../support/tunnel_pair.ts";

const LATENCY = 10;
const JITTER = 334;
/** A session's age is counted from when each end made it; this much after `connectedPair()` began, both have. */
const CONNECTED = 100;

/** When a device sent keepalives, in ms after `since`. */
function keepalives(pair: TunnelPair, sender: SimulatedDevice, since: number): number[] {
  return sentBy(pair, sender, TRANSPORT).filter(isKeepalive).map(({ at }) => at - since);
}

function isKeepalive({ bytes }: Sent): boolean {
  return bytes.length === KEEPALIVE_SIZE;
}

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

Deno.test("REKEY_TIMEOUT: an initiation without answer is sent again after 5 s and up to 334 ms", () => {
  const gaps: number[] = [];
  for (let seed = 1; seed <= 20; seed++) {
    const pair = tunnelPair({ seed });
    pair.simulation.link.isDown = true;
    pair.client.send(upward("anyone?"));
    pair.simulation.run(60_000);
    const times = sentBy(pair, pair.client).map(({ at }) => at);
    times.slice(1).forEach((at, i) => gaps.push(at - times[i]!));
  }
  for (const gap of gaps) assertBetween(gap, 5000, 5000 + JITTER);
  assert(new Set(gaps.slice(0, 10)).size > 5, "the jitter of one device is not drawn anew");
  // The whole range is used, or two ends that began at once would collide again.
  assert(Math.min(...gaps) < 5000 + JITTER * 0.1, `${Math.min(...gaps)}`);
  assert(Math.max(...gaps) > 5000 + JITTER * 0.9, `${Math.max(...gaps)}`);
});

Deno.test("each initiation that is sent again is a new one", () => {
  const pair = tunnelPair();
  pair.simulation.link.isDown = true;
  pair.client.send(upward("anyone?"));
  pair.simulation.run(20_000);
  const senders = new Set(pair.sent.map(({ bytes }) => bytes.subarray(4, 8).toHex()));
  const ephemerals = new Set(pair.sent.map(({ bytes }) => bytes.subarray(8, 40).toHex()));
  assertEquals([senders.size, ephemerals.size], [4, 4]);
});

Deno.test("REKEY_ATTEMPT_TIME: a handshake is given up after 90 s, and what waits for it is dropped", () => {
  const pair = tunnelPair();
  const { client, simulation } = pair;
  simulation.link.isDown = true;
  const start = simulation.now;
  client.send(upward("one"), upward("two"));
  let abandonedAt = 0;
  simulation.onStep = () => {
    if (client.events.some(({ kind }) => kind === "handshake-abandoned")) {
      abandonedAt ||= simulation.now;
    }
  };
  simulation.run(1_000_000);
  assertBetween(abandonedAt - start, 90_000, 90_000 + 19 * JITTER + 5000);
  assertBetween(pair.sent.at(-1)!.at - start, 90_000, 90_000 + 18 * JITTER);
  assertEquals(pair.sent.length, 19);
  assertEquals(client.dropped(DropReason.noSession), 2);
  assertEquals(pair.toGateway.staged.length, 0);
  assertEquals(pair.toGateway.handshake, null);
});

Deno.test("a packet after a handshake that was given up begins another, with as many attempts", () => {
  const pair = tunnelPair();
  pair.simulation.link.isDown = true;
  pair.client.send(upward("one"));
  pair.simulation.run(200_000);
  pair.sent.length = 0;
  pair.client.send(upward("two"));
  pair.simulation.run(200_000);
  assertEquals(pair.sent.length, 19);
});

Deno.test("a packet that comes during a handshake starts its 90 s anew", () => {
  const pair = tunnelPair();
  pair.simulation.link.isDown = true;
  pair.client.send(upward("one"));
  pair.simulation.run(80_000);
  pair.client.send(upward("two"));
  pair.simulation.run(80_000);
  const { length } = pair.sent;
  assertBetween(length, 30, 33);
  pair.simulation.link.isDown = false;
  pair.simulation.run(6000);
  assertEquals(pair.gateway.tun.written.length, 2);
  assertEquals(pair.toGateway.timers.handshakeAttempts, 0);
});

Deno.test("initiations are never less than REKEY_TIMEOUT apart, however much is to be sent", () => {
  const pair = tunnelPair();
  pair.simulation.link.isDown = true;
  for (let ms = 0; ms < 60_000; ms += 100) {
    pair.client.send(upward("more"));
    pair.simulation.run(100);
  }
  const times = pair.sent.map(({ at }) => at);
  times.slice(1).forEach((at, i) => assertBetween(at - times[i]!, 5000, 5000 + JITTER));
});

Deno.test("KEEPALIVE_TIMEOUT: data that nothing answers is confirmed by a keepalive after 10 s", () => {
  const pair = connectedPair();
  const start = pair.simulation.now;
  pair.client.send(upward("hello"));
  pair.simulation.run(60_000);
  assertEquals(keepalives(pair, pair.gateway, start), [10_000 + LATENCY]);
  // A keepalive is no data: it is not confirmed in turn.
  assertEquals(keepalives(pair, pair.client, start), []);
});

Deno.test("KEEPALIVE_TIMEOUT: no keepalive follows where something was sent meanwhile", () => {
  const pair = connectedPair();
  const start = pair.simulation.now;
  pair.client.send(upward("hello"));
  pair.simulation.run(9_000);
  pair.gateway.send(downward("hello yourself"));
  pair.simulation.run(5_000);
  assertEquals(keepalives(pair, pair.gateway, start), []);
  pair.simulation.run(60_000);
  assertEquals(keepalives(pair, pair.client, start), [9_000 + LATENCY + 10_000]);
});

Deno.test("KEEPALIVE_TIMEOUT: data that comes while a keepalive is waited for has another after it", () => {
  const pair = connectedPair();
  const start = pair.simulation.now;
  pair.client.send(upward("one"));
  pair.simulation.run(4_000);
  pair.client.send(upward("two"));
  pair.simulation.run(60_000);
  assertEquals(keepalives(pair, pair.gateway, start), [10_000 + LATENCY, 20_000 + LATENCY]);
});

Deno.test("KEEPALIVE_TIMEOUT: a handshake response is an answer as well", () => {
  const pair = connectedPair();
  pair.simulation.run(6000);
  const start = pair.simulation.now;
  pair.client.send(upward("hello"));
  pair.simulation.run(5000);
  pair.client.initiate(pair.toGateway);
  pair.simulation.run(60_000);
  assertEquals(sentBy(pair, pair.gateway, RESPONSE).length, 1);
  assertEquals(keepalives(pair, pair.gateway, start), []);
});

Deno.test("a new handshake begins 15 s after data was sent with nothing received", () => {
  const waits: number[] = [];
  for (let seed = 1; seed <= 20; seed++) {
    const pair = connectedPair({ seed });
    pair.simulation.link.isDown = true;
    const start = pair.simulation.now;
    pair.client.send(upward("hello"));
    pair.simulation.run(10_000);
    // Only the first packet counts: a steady sender would never notice otherwise.
    pair.client.send(upward("hello?"));
    pair.simulation.run(9_000);
    waits.push(sentBy(pair, pair.client, INITIATION)[0]!.at - start);
  }
  for (const wait of waits) assertBetween(wait, 15_000, 15_000 + JITTER);
  assert(new Set(waits).size > 10);
});

Deno.test("no new handshake begins where anything was received, be it a keepalive", () => {
  const pair = connectedPair();
  pair.client.send(upward("hello"));
  pair.simulation.run(40_000);
  assertEquals(sentBy(pair, pair.client, INITIATION), []);
  assertEquals(sentBy(pair, pair.gateway, TRANSPORT).length, 1);
});

Deno.test("PersistentKeepalive: a keepalive goes out at once, and then in each interval that is silent", () => {
  const pair = tunnelPair({ toGateway: { persistentKeepalive: 25 } });
  const start = pair.simulation.now;
  pair.simulation.run(60_000);
  assertEquals(pair.sent[0]!.type, INITIATION);
  assertEquals(pair.sent[0]!.at, start);
  const sessionAt = start + 2 * LATENCY;
  assertEquals(keepalives(pair, pair.client, sessionAt), [0, 25_000, 50_000]);
  assertEquals(keepalives(pair, pair.gateway, sessionAt), []);
});

Deno.test("PersistentKeepalive: any packet, sent or received, begins the interval anew", () => {
  const pair = connectedPair({ toGateway: { persistentKeepalive: 25 } });
  const start = pair.simulation.now;
  pair.simulation.run(20_000);
  pair.client.send(upward("hello"));
  pair.simulation.run(9_000);
  pair.gateway.send(downward("hello"));
  // The client confirms the gateway's packet 10 s later, and that is what it counts from.
  pair.simulation.run(40_000);
  const confirmed = 29_000 + LATENCY + 10_000;
  assertEquals(keepalives(pair, pair.client, start), [confirmed, confirmed + 25_000]);
});

Deno.test("PersistentKeepalive: goes on after a handshake that was given up, and finds the peer again", () => {
  const pair = connectedPair({ toGateway: { persistentKeepalive: 25 } });
  pair.simulation.link.isDown = true;
  pair.simulation.run(1_000_000);
  pair.sent.length = 0;
  pair.simulation.link.isDown = false;
  pair.simulation.run(60_000);
  assertEquals(sentBy(pair, pair.gateway, RESPONSE).length, 1);
  assert(pair.toClient.current !== null);
});

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
  gateway.send(downward("late"));
  const late = sentBy(pair, gateway, TRANSPORT)[0]!.bytes;
  client.initiate(toGateway);
  simulation.link.isDown = true;
  simulation.run(LATENCY);
  simulation.link.isDown = false;
  simulation.run(1000);
  const { previous } = toGateway;
  simulation.runUntil(previous!.createdAt + 170_000);
  pair.sent.length = 0;
  client.tun.written.length = 0;
  deliver(client, late);
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

Deno.test("handshakeAbandoned() leaves one timer: that which zeroes what keys there are", () => {
  const timers = new Timers({ at: NEVER }, () => 0);
  timers.dataReceived(0);
  timers.handshakeInitiated(0);
  timers.handshakeAbandoned(1000);
  assertEquals([timers.earliest(), timers.zeroKeysAt], [541_000, 541_000]);
  timers.handshakeAbandoned(2000);
  assertEquals(timers.zeroKeysAt, 541_000);
});

Deno.test("stop() leaves no timer", () => {
  const timers = new Timers({ at: NEVER }, () => 0);
  timers.dataReceived(0);
  timers.dataSent(0);
  timers.handshakeInitiated(0);
  timers.sessionDerived(0);
  timers.setPersistentInterval(1000, 0);
  timers.stop();
  assertEquals(timers.earliest(), NEVER);
});
