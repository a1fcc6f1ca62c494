/**
 * Tests of the timers of handshakes and keepalives (WireGuard paper, sections 6.4 and 6.5), one by one, between two
 * devices on a fake clock. Those of keys are in `key_lifetime_test.ts`.
 */
import { Deadline, NEVER, Timers } from "../../../../lib/core/wireguard/timers.ts";
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import type { SimulatedDevice } from "../../../support/packets/simulated_device.ts";
import {
  connectedPair,
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
} from "../../../support/packets/tunnel_pair.ts";

const LATENCY = 10;
const JITTER = 334;

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
  assert(new Set(gaps.slice(0, 10)).size > 5, "the jitter of one device is not drawn again");
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

Deno.test("a packet that comes during a handshake restarts its 90 s", () => {
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

Deno.test("PersistentKeepalive: any packet, sent or received, restarts the interval", () => {
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

Deno.test("handshakeAbandoned() leaves one timer: that which zeroes what keys there are", () => {
  const timers = new Timers(new Deadline(), () => 0);
  timers.dataReceived(0);
  timers.handshakeInitiated(0);
  timers.handshakeAbandoned(1000);
  assertEquals([timers.earliest(), timers.zeroKeysAt], [541_000, 541_000]);
  timers.handshakeAbandoned(2000);
  assertEquals(timers.zeroKeysAt, 541_000);
});

Deno.test("stop() leaves no timer", () => {
  const timers = new Timers(new Deadline(), () => 0);
  timers.dataReceived(0);
  timers.dataSent(0);
  timers.handshakeInitiated(0);
  timers.sessionDerived(0);
  timers.setPersistentInterval(1000, 0);
  timers.stop();
  assertEquals(timers.earliest(), NEVER);
});
