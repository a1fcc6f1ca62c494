/**
 * Tests of lib/core/wireguard/message_receiver.ts: which transport messages are taken, and what becomes of the key
 * slots.
 */
import { NO_PATH } from "../../../../lib/core/transport/paths.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import {
  connectedPair,
  deliver,
  downward,
  INITIATION,
  KEEPALIVE_SIZE,
  receivedTexts,
  sealed,
  sentBy,
  TRANSPORT,
  type TunnelPair,
  upward,
} from "../../../support/packets/tunnel_pair.ts";

/** Has `pair` go through another handshake. */
function renew(pair: TunnelPair): void {
  pair.simulation.run(6000);
  pair.client.initiate(pair.toGateway);
  pair.simulation.run(100);
}

function counterOf(message: Uint8Array): bigint {
  return new DataView(message.buffer, message.byteOffset).getBigUint64(8, true);
}

Deno.test("a transport message that is played again is refused, at once and later", () => {
  const pair = connectedPair();
  const message = sealed(pair, "once");
  for (let i = 0; i < 3; i++) {
    deliver(pair.gateway, message);
    pair.simulation.run(1000);
  }
  for (let i = 0; i < 9000; i++) pair.gateway.receive(sealed(pair, "on"), pair.client);
  deliver(pair.gateway, message);
  assertEquals(receivedTexts(pair.gateway).filter((text) => text === "once").length, 1);
  assertEquals(pair.gateway.dropped(DropReason.replayed), 3);
});

Deno.test("messages may overtake each other by 2,000 counters and more", () => {
  const pair = connectedPair();
  const late = sealed(pair, "late");
  for (let i = 0; i < 8000; i++) deliver(pair.gateway, sealed(pair, "early"));
  deliver(pair.gateway, late);
  assertEquals(receivedTexts(pair.gateway).at(-1), "late");
});

Deno.test("a message with a wrong tag, counter or byte is refused and does not move the window", () => {
  const pair = connectedPair();
  const message = sealed(pair, "precious");
  for (let at = 8; at < message.length; at++) {
    const forged = message.slice();
    forged[at]! ^= 0x40;
    deliver(pair.gateway, forged);
  }
  assertEquals(pair.gateway.dropped(DropReason.badTag), message.length - 8);
  deliver(pair.gateway, message);
  assertEquals(receivedTexts(pair.gateway), ["precious"]);
});

Deno.test("messages that are too short or name no session are refused", () => {
  const pair = connectedPair();
  const message = sealed(pair, "precious");
  for (let length = 4; length < KEEPALIVE_SIZE; length++) {
    deliver(pair.gateway, message.subarray(0, length));
  }
  assertEquals(pair.gateway.dropped(DropReason.badMessageLength), KEEPALIVE_SIZE - 4);
  for (const at of [4, 5, 6, 7]) {
    const stray = message.slice();
    stray[at]! ^= 1;
    deliver(pair.gateway, stray);
  }
  assertEquals(pair.gateway.dropped(DropReason.unknownIndex), 4);
  for (const at of [1, 2, 3]) {
    const reserved = message.slice();
    reserved[at] = 1;
    deliver(pair.gateway, reserved);
  }
  assertEquals(pair.gateway.dropped(DropReason.unknownMessage), 3);
  assertEquals(receivedTexts(pair.gateway), []);
});

Deno.test("a message sealed for one direction is refused in the other", () => {
  const pair = connectedPair();
  const message = sealed(pair, "mirror");
  const mirrored = message.slice();
  new DataView(mirrored.buffer).setUint32(4, pair.toGateway.current!.localIndex, true);
  deliver(pair.client, mirrored);
  assertEquals(pair.client.dropped(DropReason.badTag), 1);
});

Deno.test("counters go on at 2^32 and beyond", () => {
  for (const [high, low] of [[0, 0xffff_fffe], [1, 0xffff_fffe], [0x7fff_ffff, 0xffff_fffe]]) {
    const pair = connectedPair();
    const { current } = pair.toGateway;
    current!.counterHigh = high!;
    current!.counterLow = low!;
    for (let i = 0; i < 4; i++) pair.client.send(upward(`${i}`));
    const first = BigInt(high!) * 2n ** 32n + BigInt(low!);
    assertEquals(
      sentBy(pair, pair.client, TRANSPORT).map(({ bytes }) => counterOf(bytes) - first),
      [0n, 1n, 2n, 3n],
    );
    pair.simulation.run(50);
    assertEquals(receivedTexts(pair.gateway), ["0", "1", "2", "3"]);
    deliver(pair.gateway, sentBy(pair, pair.client, TRANSPORT)[2]!.bytes);
    assertEquals(pair.gateway.dropped(DropReason.replayed), 1);
  }
});

Deno.test("REJECT_AFTER_MESSAGES: counter 2^64 - 2^13 - 2 is the last to be sent and taken", () => {
  const pair = connectedPair();
  pair.simulation.run(6000);
  const { current } = pair.toGateway;
  current!.counterHigh = 0xffff_ffff;
  current!.counterLow = 0xffff_dffe;
  pair.client.send(upward("the last"));
  pair.client.send(upward("waits for the new key"));
  const counters = sentBy(pair, pair.client, TRANSPORT).map(({ bytes }) => counterOf(bytes));
  assertEquals(counters, [2n ** 64n - 2n ** 13n - 2n]);
  assertEquals(pair.toGateway.staged.length, 1);
  pair.simulation.run(100);
  assertEquals(receivedTexts(pair.gateway), ["the last", "waits for the new key"]);
  assertEquals(pair.toGateway.current!.counterLow, 1);
});

Deno.test("REJECT_AFTER_MESSAGES: a receiver takes no counter from 2^64 - 2^13 - 1 on", () => {
  const pair = connectedPair();
  const { current } = pair.toGateway;
  // The sender's own check stands before this one, so the message is sealed past it.
  const { view, bytes } = pair.client.memory;
  for (const low of [0xffff_dfff, 0xffff_ffff]) {
    view.setUint32(0, TRANSPORT, true);
    view.setUint32(4, current!.remoteIndex, true);
    view.setUint32(8, low, true);
    view.setUint32(12, 0xffff_ffff, true);
    assert(current!.sending.seal(16, 16, 0, low, 0xffff_ffff));
    deliver(pair.gateway, bytes.slice(0, KEEPALIVE_SIZE));
  }
  assertEquals(pair.gateway.dropped(DropReason.replayed), 2);
});

Deno.test("a packet under way when the keys change is still taken under the previous ones", () => {
  const pair = connectedPair();
  const underWay = sealed(pair, "under way");
  renew(pair);
  deliver(pair.gateway, underWay);
  assertEquals(receivedTexts(pair.gateway), ["under way"]);
  assert(pair.toClient.previous !== null);
});

Deno.test("keys two handshakes old are gone", () => {
  const pair = connectedPair();
  const old = sealed(pair, "too old");
  renew(pair);
  renew(pair);
  deliver(pair.gateway, old);
  assertEquals(receivedTexts(pair.gateway), []);
  assertEquals(pair.gateway.dropped(DropReason.unknownIndex), 1);
});

Deno.test("a keepalive reaches nobody's host", () => {
  const pair = connectedPair({ toGateway: { persistentKeepalive: 1 } });
  pair.simulation.run(10_000);
  assertEquals(sentBy(pair, pair.client, TRANSPORT).length, 10);
  assertEquals(pair.gateway.tun.written, []);
  assertEquals(pair.gateway.drops.total, 0);
});

Deno.test("datagrams that the kernel merged are taken one by one, at whatever offset they begin", () => {
  for (const mtu of [1417, 1418, 1419, 1420]) {
    const pair = connectedPair({ mtu });
    const texts = ["a", "b", "c", "d"].map((letter) => letter.repeat(mtu - 28));
    const messages = [...texts.map((text) => sealed(pair, text)), sealed(pair, "last")];
    const merged = new Uint8Array(messages.reduce((sum, { length }) => sum + length, 0));
    messages.forEach((message, i) => merged.set(message, i * (mtu + 32)));
    pair.gateway.receive(merged, {
      address: pair.client.address,
      port: pair.client.port,
      segmentSize: mtu + 32,
    });
    assertEquals(receivedTexts(pair.gateway), [...texts, "last"]);
  }
});

Deno.test("bytes are counted as they go over the wire, and only authentic ones as received", () => {
  const pair = connectedPair();
  const [up, down] = [pair.toGateway.sentBytes, pair.toClient.sentBytes];
  assertEquals([up, down], [148 + 32, 92]);
  const message = sealed(pair, "hello");
  const forged = message.slice();
  forged[20]! ^= 1;
  deliver(pair.gateway, forged);
  assertEquals(pair.toClient.receivedBytes, up);
  deliver(pair.gateway, message);
  assertEquals(pair.toClient.receivedBytes, up + message.length);
  assertEquals(pair.toGateway.sentBytes, up + message.length);
});

Deno.test("an expired key takes nothing, however long the machine has slept and before any timer has run", () => {
  const [hour, day] = [3_600_000, 86_400_000];
  for (
    const asleep of [
      180_000,
      250_000,
      443_000,
      480_000,
      700_000,
      hour,
      10 * hour,
      25 * day,
      50 * day,
    ]
  ) {
    const pair = connectedPair();
    const { client, gateway, simulation } = pair;
    for (const text of ["one", "two", "three"]) gateway.receive(sealed(pair, text), client);
    assert(pair.toClient.steady !== null);
    const late = sealed(pair, "late");
    simulation.clock.advanceTo(simulation.now + asleep);
    gateway.receive(late, client);
    assertEquals(gateway.dropped(DropReason.expiredKey), 1, `${asleep} ms`);
    assertEquals(receivedTexts(gateway), ["one", "two", "three"]);
  }
});

Deno.test("what a steady session has taken is seen at once: bytes, and the time of the last message", () => {
  const pair = connectedPair();
  const { client, gateway, simulation, toClient } = pair;
  gateway.receive(sealed(pair, "first"), client);
  const before = toClient.receivedBytes;
  for (let count = 1; count <= 5; count++) {
    const message = sealed(pair, "more");
    simulation.clock.advanceTo(simulation.now + 700.25);
    gateway.receive(message, client);
    assertEquals(toClient.receivedBytes, before + count * message.length);
    assertEquals(toClient.lastReceivedAt, simulation.now);
    assertEquals(toClient.steady?.newBytes, count * message.length);
  }
});

Deno.test("a session is steady by one path, and as long as nothing else happens to its peer", () => {
  const endings: Readonly<Record<string, (pair: TunnelPair) => void>> = {
    "a packet to it": ({ gateway }) => gateway.send(downward("answer")),
    "a handshake of ours": ({ gateway, simulation }) => gateway.device.renew(simulation.now),
    "the end of a handshake of ours": (pair) => {
      const { client, gateway, simulation } = pair;
      gateway.device.renew(simulation.now);
      gateway.poll();
      for (const text of ["three", "four"]) gateway.receive(sealed(pair, text), client);
      simulation.run(20);
    },
    "a handshake of its": ({ client, toGateway, simulation }) => {
      simulation.run(6_000);
      client.initiate(toGateway);
      simulation.run(20);
    },
    "a message from elsewhere": (pair) => deliver(pair.gateway, sealed(pair, "moved")),
    "a keepalive from it": ({ client, gateway, simulation, toGateway }) => {
      simulation.onDatagram = ({ bytes }) => {
        gateway.receive(bytes, client);
        return false;
      };
      client.device.sendKeepalive(toGateway, simulation.now);
      client.poll();
    },
    "an address of ours that is gone": ({ gateway, toClient }) =>
      gateway.device.forgetSource(toClient.endpoint.sourceDigest),
    "a quota": ({ toClient }) => toClient.setQuota({ end: 1e9, step: 1e9, rate: null }),
    "a timer": ({ simulation }) => simulation.run(11_000),
    "its end": ({ gateway, toClient }) => gateway.device.removePeer(toClient),
  };
  for (const [what, happens] of Object.entries(endings)) {
    const pair = connectedPair();
    const { client, gateway, toClient } = pair;
    for (const text of ["one", "two"]) gateway.receive(sealed(pair, text), client);
    assert((toClient.steady?.newBytes ?? 0) > 0, what);
    const bytes = toClient.receivedBytes;
    happens(pair);
    assertEquals(toClient.steady?.newBytes ?? 0, 0, what);
    assert(toClient.receivedBytes >= bytes, what);
  }
});

Deno.test("no session is steady of a peer with a quota, or whose place is not proven", () => {
  const bounded = connectedPair();
  bounded.toClient.setQuota({ end: 1e9, step: 1e9, rate: null });
  const moved = connectedPair();
  moved.client.address = 0xcb00_7109;
  for (const pair of [bounded, moved]) {
    for (const text of ["one", "two", "three"]) {
      pair.gateway.receive(sealed(pair, text), pair.client);
      assertEquals(pair.toClient.steady, null);
    }
  }
});

Deno.test("nor is one that has been followed by another, or by a transport that leaves the peer where it is", () => {
  const renewed = connectedPair();
  const late = [sealed(renewed, "late"), sealed(renewed, "later")];
  renew(renewed);
  for (const message of late) renewed.gateway.receive(message, renewed.client);
  assertEquals(receivedTexts(renewed.gateway), ["late", "later"]);
  assertEquals(renewed.toClient.steady, null);

  const pair = connectedPair();
  const { client, gateway, simulation, toGateway } = pair;
  simulation.onDatagram = ({ bytes }) => {
    client.receive(bytes, { ...gateway, transport: Transport.fakeTcp });
    return false;
  };
  gateway.send(downward("one"), downward("two"));
  assertEquals([receivedTexts(client), toGateway.steady], [["one", "two"], null]);
});

Deno.test("a steady session asks for the next key when that is due, as any other", () => {
  const pair = connectedPair();
  const { client, gateway, simulation, toGateway } = pair;
  const { createdAt } = toGateway.current!;
  const initiations: number[] = [];
  simulation.onDatagram = ({ bytes }, sender) => {
    if (sender === gateway) client.receive(bytes, gateway);
    else if (bytes[0] === INITIATION) initiations.push(simulation.now - createdAt);
    return false;
  };
  for (const age of [164_000, 164_500, 164_900, 165_000, 165_100]) {
    simulation.clock.advanceTo(createdAt + age);
    gateway.send(downward("on"));
  }
  assertEquals(receivedTexts(client).length, 5);
  assertEquals(initiations, [165_000]);
});

Deno.test("what a packet has led to is answered by the next one", () => {
  const pair = connectedPair();
  const { client, gateway, simulation, toGateway } = pair;
  simulation.onDatagram = ({ bytes }, sender) => {
    if (sender === gateway) client.receive(bytes, gateway);
    return false;
  };
  simulation.clock.advanceTo(toGateway.current!.createdAt + 165_000);
  const asked = simulation.now;
  gateway.send(downward("has the key renewed"));
  assertEquals([toGateway.unansweredSince, toGateway.askedSince], [asked, asked]);
  gateway.send(downward("shows that it is there"));
  assertEquals([toGateway.unansweredSince, toGateway.askedSince], [Infinity, Infinity]);
});

Deno.test("by no path, no session is steady that was so by another", () => {
  const pair = connectedPair();
  const { client, gateway, simulation, toClient } = pair;
  for (const text of ["one", "two"]) gateway.receive(sealed(pair, text), client);
  const session = toClient.steady!;
  assert(session.isSteady(session.steadyPath, simulation.now));
  gateway.send(downward("answer"));
  assertEquals(session.isSteady(NO_PATH, simulation.now), false);
});
