/**
 * Tests of a device under load: it asks senders to show that they receive at their address before it works for them.
 */
import { CookieGenerator } from "../../../lib/core/noise/cookie.ts";
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { Random } from "../../support/random.ts";
import { ipv4 } from "../../support/packets/simulated_device.ts";
import {
  connectedPair,
  COOKIE_REPLY,
  deliver,
  INITIATION,
  RESPONSE,
  sentBy,
  type TunnelPair,
  tunnelPair,
  upward,
} from "../../support/packets/tunnel_pair.ts";

/** Initiations at once, of nobody it knows, that make a device ask for cookies. */
const LOAD = 51;
const LATENCY = 10;

/** Initiations that are noise but for their first MAC, as anybody can make them who knows the gateway's public key. */
class Flood {
  readonly #random = new Random(1);
  readonly #macs: CookieGenerator;

  constructor(readonly pair: TunnelPair) {
    this.#macs = new CookieGenerator(pair.gateway.identity.public);
  }

  send(count: number, from = "203.0.113.66:666"): void {
    for (let i = 0; i < count; i++) {
      const message = this.#random.bytes(148);
      message.set([INITIATION, 0, 0, 0]);
      this.#macs.addMacs(message, 0);
      deliver(this.pair.gateway, message, from);
    }
  }
}

/** Begins a handshake at the client, though one may have begun just now. */
function initiate({ client, toGateway }: TunnelPair): void {
  toGateway.initiationSentAt = -Infinity;
  client.wallClockOffset += 100;
  client.initiate(toGateway);
}

Deno.test("a quiet device answers without a cookie", () => {
  const pair = tunnelPair();
  new Flood(pair).send(LOAD - 1);
  assertEquals(pair.gateway.dropped(DropReason.cookieSent), 0);
  assertEquals(pair.gateway.dropped(DropReason.badHandshake), LOAD - 1);
});

Deno.test("a device under load sends a cookie in place of an answer, and answers who brings it", () => {
  const pair = tunnelPair();
  const flood = new Flood(pair);
  flood.send(LOAD);
  initiate(pair);
  pair.simulation.run(100);
  assertEquals(sentBy(pair, pair.gateway, RESPONSE), []);
  const replies = sentBy(pair, pair.gateway, COOKIE_REPLY);
  assertEquals(replies.at(-1)!.bytes.length, 64);
  assertEquals(replies.at(-1)!.destinationAddress, pair.client.address);
  assertEquals(pair.client.drops.total, 0);

  // The retry carries the cookie, and passes though the load goes on.
  pair.simulation.after(5000, () => flood.send(LOAD));
  pair.simulation.run(6000);
  const [without, withCookie] = sentBy(pair, pair.client, INITIATION);
  assertEquals(without!.bytes.subarray(132).every((byte) => byte === 0), true);
  assertEquals(withCookie!.bytes.subarray(132).every((byte) => byte === 0), false);
  assertEquals(sentBy(pair, pair.gateway, RESPONSE).length, 1);
  assert(pair.toGateway.current !== null);
});

Deno.test("an established session is not disturbed by load", () => {
  const pair = connectedPair();
  new Flood(pair).send(2000);
  pair.gateway.tun.written.length = 0;
  pair.client.send(upward("still here"));
  pair.simulation.run(100);
  assertEquals(pair.gateway.tun.written.length, 1);
});

Deno.test("load passes a second after the last message that was too many", () => {
  const pair = tunnelPair();
  const flood = new Flood(pair);
  const cookies: number[] = [];
  for (const [wait, messages] of [[0, LOAD], [999, 1], [1, 1]] as const) {
    pair.simulation.run(wait);
    flood.send(messages);
    cookies.push(pair.gateway.dropped(DropReason.cookieSent));
  }
  assertEquals(cookies, [1, 2, 2]);
});

Deno.test("a cookie is good for one address and port only", () => {
  const pair = tunnelPair();
  const flood = new Flood(pair);
  flood.send(LOAD);
  initiate(pair);
  pair.simulation.run(100);
  pair.client.address = ipv4("192.0.2.3");
  initiate(pair);
  pair.simulation.run(100);
  pair.client.port++;
  initiate(pair);
  pair.simulation.run(100);
  assertEquals(sentBy(pair, pair.gateway, RESPONSE), []);
  initiate(pair);
  pair.simulation.run(100);
  assertEquals(sentBy(pair, pair.gateway, RESPONSE).length, 1);
});

Deno.test("a cookie is no longer sent after 120 s", () => {
  const pair = tunnelPair();
  const flood = new Flood(pair);
  flood.send(LOAD);
  initiate(pair);
  pair.simulation.run(100);
  pair.simulation.link.isDown = true;
  pair.simulation.run(110_000);
  initiate(pair);
  pair.simulation.run(30_000);
  initiate(pair);
  const mac2 = sentBy(pair, pair.client, INITIATION).map(({ bytes }) => bytes.subarray(132));
  assertEquals(mac2.at(-1)!.every((byte) => byte === 0), true);
});

Deno.test("a forged or repeated cookie reply is refused", () => {
  const pair = tunnelPair();
  new Flood(pair).send(LOAD);
  initiate(pair);
  pair.simulation.run(15);
  const reply = sentBy(pair, pair.gateway, COOKIE_REPLY).at(-1)!.bytes;
  for (const at of [8, 31, 32, 63]) {
    const forged = reply.slice();
    forged[at]! ^= 1;
    deliver(pair.client, forged);
  }
  assertEquals(pair.client.dropped(DropReason.badCookie), 4);
  pair.simulation.run(10);
  deliver(pair.client, reply);
  assertEquals(pair.client.dropped(DropReason.badCookie), 5);
  const stray = reply.slice();
  stray[4]! ^= 1;
  deliver(pair.client, stray);
  assertEquals(pair.client.dropped(DropReason.unknownIndex), 1);
});

Deno.test("senders with cookies get five handshakes at once and twenty a second, besides the genuine ones", () => {
  const pair = tunnelPair();
  const flood = new Flood(pair);
  flood.send(LOAD);
  initiate(pair);
  pair.simulation.run(100);
  const responses = () => sentBy(pair, pair.gateway, RESPONSE).length;
  for (let i = 0; i < 20; i++) initiate(pair);
  pair.simulation.run(LATENCY);
  const { handshakeRateLimited, handshakeTooSoon } = DropReason;
  // All arrive at one moment: the first is genuine, the peer's own rule refuses the next, and five of those pass the
  // limit.
  assertEquals(pair.gateway.dropped(handshakeRateLimited), 14);
  assertEquals(pair.gateway.dropped(handshakeTooSoon), 5);
  assertEquals(responses(), 1);
  for (let i = 0; i < 50; i++) {
    flood.send(10);
    pair.simulation.run(100);
    initiate(pair);
  }
  pair.simulation.run(100);
  assertEquals(pair.gateway.dropped(handshakeRateLimited), 14);
  assertEquals(responses(), 51);
});
