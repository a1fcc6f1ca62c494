/** Tests of lib/core/wireguard/message_sender.ts: what leaves for peers, and what has to wait or is dropped. */
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { NO_PATH } from "../../../../lib/core/transport/paths.ts";
import { receivedOffset } from "../../../../lib/core/wireguard/received.ts";
import { assert, assertEquals, assertNotEquals } from "../../../support/assert.ts";
import { buildUdp } from "../../../support/packets/packet_builder.ts";
import { RECEIVE_OFFSET } from "../../../support/packets/simulated_device.ts";
import {
  connectedPair,
  downward,
  INITIATION,
  KEEPALIVE_SIZE,
  receivedTexts,
  RESPONSE,
  sealed,
  sentBy,
  TRANSPORT,
  tunnelPair,
  upward,
} from "../../../support/packets/tunnel_pair.ts";

function counterOf(message: Uint8Array): bigint {
  return new DataView(message.buffer, message.byteOffset).getBigUint64(8, true);
}

Deno.test("a transport message has a header, the packet padded to 16 bytes, and a tag", () => {
  const pair = connectedPair();
  for (const payloadSize of [0, 1, 3, 4, 5, 100]) {
    pair.sent.length = 0;
    pair.client.send(buildUdp({ payload: new Uint8Array(payloadSize) }));
    const { bytes } = pair.sent[0]!;
    assertEquals(bytes.subarray(0, 4), Uint8Array.of(4, 0, 0, 0));
    assertEquals(bytes.length, 16 + Math.ceil((28 + payloadSize) / 16) * 16 + 16);
    const index = new DataView(bytes.buffer).getUint32(4, true);
    assertEquals(index, pair.toClient.current!.localIndex);
  }
  pair.simulation.run(100);
  assertEquals(pair.gateway.tun.written.map(({ length }) => length), [28, 29, 31, 32, 33, 128]);
});

Deno.test("padding is zeros, whatever lay behind the packet", () => {
  const pair = connectedPair();
  pair.client.send(buildUdp({ payload: new Uint8Array(200).fill(0xff) }));
  pair.gateway.receive(sealed(pair, "x"), pair.client);
  const at = receivedOffset(RECEIVE_OFFSET);
  const packet = pair.gateway.memory.bytes.slice(at, at + 32);
  assertEquals(packet.subarray(28), Uint8Array.of("x".charCodeAt(0), 0, 0, 0));
});

Deno.test("padding never goes beyond the MTU", () => {
  const pair = connectedPair();
  for (const length of [1408, 1409, 1419, 1420]) {
    pair.sent.length = 0;
    pair.client.send(buildUdp({ payload: new Uint8Array(length - 28) }));
    assertEquals(pair.sent[0]!.bytes.length, Math.min(1420, Math.ceil(length / 16) * 16) + 32);
  }
  pair.simulation.run(100);
  assertEquals(pair.gateway.tun.written.map(({ length }) => length), [1408, 1409, 1419, 1420]);
});

Deno.test("a packet beyond the MTU is dropped where it has DF, and divided where it has not", () => {
  const pair = connectedPair();
  const payload = new Uint8Array(1421 - 28);
  pair.client.send(buildUdp({ payload, dontFragment: true }));
  assertEquals(pair.sent.length, 0);
  assertEquals(pair.client.dropped(DropReason.fragmentationNeeded), 1);
  pair.client.send(buildUdp({ payload }));
  assertEquals(pair.sent.length, 2);
  pair.simulation.run(100);
  assertEquals(pair.gateway.tun.written.map(({ length }) => length), [1420, 21]);
});

Deno.test("a packet for a peer whose endpoint is not known is dropped", () => {
  const pair = tunnelPair();
  pair.gateway.send(downward("where are you?"));
  assertEquals(pair.gateway.dropped(DropReason.noEndpoint), 1);
  assertEquals(pair.toClient.staged.length, 0);
  pair.simulation.run(100_000);
  assertEquals(pair.sent, []);
});

Deno.test("counters count up from 0, one for each message", () => {
  const pair = tunnelPair();
  pair.client.initiate(pair.toGateway);
  pair.simulation.run(100);
  for (let i = 0; i < 5; i++) pair.client.send(upward("next"));
  assertEquals(
    sentBy(pair, pair.client, TRANSPORT).map(({ bytes }) => counterOf(bytes)),
    [0n, 1n, 2n, 3n, 4n, 5n],
  );
});

Deno.test("REKEY_AFTER_MESSAGES: a sender renews the key after 2^60 messages, either end", () => {
  const initiations: number[] = [];
  for (const end of ["client", "gateway"] as const) {
    const pair = connectedPair();
    pair.simulation.run(6000);
    const current = (end === "client" ? pair.toGateway : pair.toClient).current!;
    current.counterHigh = 2 ** 28 - 1;
    current.counterLow = 0xffff_fffe;
    const packet = end === "client" ? upward("one more") : downward("one more");
    pair[end].send(packet);
    assertEquals(sentBy(pair, pair[end], INITIATION).length, 0);
    pair[end].send(packet);
    initiations.push(sentBy(pair, pair[end], INITIATION).length);
    pair.simulation.run(100);
    assertNotEquals((end === "client" ? pair.toGateway : pair.toClient).current, current);
  }
  assertEquals(initiations, [1, 1]);
});

Deno.test("the responder sends under the old key until a message under the new one has come", () => {
  const pair = connectedPair();
  pair.simulation.run(6000);
  const [old, oldIndex] = [pair.toClient.current!, pair.toGateway.current!.localIndex];
  pair.client.initiate(pair.toGateway);
  pair.simulation.run(15);
  assert(pair.toClient.next !== null);
  pair.gateway.send(downward("old key"));
  const [message] = sentBy(pair, pair.gateway, TRANSPORT);
  assertEquals(new DataView(message!.bytes.buffer).getUint32(4, true), oldIndex);
  assertEquals(pair.toClient.current, old);
  pair.simulation.run(100);
  assertEquals(pair.toClient.previous, old);
  assertEquals(pair.toClient.next, null);
  assertEquals(receivedTexts(pair.client), ["old key"]);
});

Deno.test("a full send queue costs the packet and is counted; the counter is not spent", () => {
  const { client, toGateway, simulation } = connectedPair();
  const { current } = toGateway;
  client.memory.bytes.set(upward("much"), 0);
  const before = current!.counterLow;
  for (let i = 0; i < 300; i++) client.device.send(toGateway, 0, 32, simulation.now);
  assertEquals(client.dropped(DropReason.sendQueueFull), 44);
  assertEquals(current!.counterLow - before, 256);
});

Deno.test("waiting packets that find the send queue full are counted, and the others sent", () => {
  const pair = tunnelPair();
  const { client, gateway, simulation, sent } = pair;
  const { sendQueue } = client;
  client.send(...Array.from({ length: 10 }, (_, i) => upward(`${i}`)));
  simulation.run(15);
  const response = sentBy(pair, gateway, RESPONSE)[0]!.bytes;
  sent.length = 0;
  while (sendQueue.free > 4) sendQueue.commit(0, NO_PATH);
  const before = client.memory.bytes.slice(0, 64);
  client.receive(response, gateway);
  assertEquals(client.dropped(DropReason.sendQueueFull), 6);
  assertEquals(sentBy(pair, client, TRANSPORT).length, 4);
  assertEquals(client.memory.bytes.slice(0, 64), before);
});

Deno.test("a persistent keepalive that finds the send queue full is not the last one", () => {
  const pair = connectedPair({ toGateway: { persistentKeepalive: 25 } });
  const { client, simulation, sent } = pair;
  const due = pair.toGateway.timers.persistentKeepaliveAt;
  simulation.runUntil(due - 1);
  while (client.sendQueue.free > 0) client.sendQueue.commit(0, NO_PATH);
  simulation.runUntil(due);
  assertEquals(client.dropped(DropReason.sendQueueFull), 1);
  sent.length = 0;
  simulation.run(25_000);
  assertEquals(sent.map(({ bytes }) => bytes.length), [KEEPALIVE_SIZE]);
});
