/** Tests of lib/core/engine/from_network.ts: messages as sockets bring them, short, merged, forged, in batches. */
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { assertEquals } from "../../../support/assert.ts";
import type { SimulatedDevice } from "../../../support/packets/simulated_device.ts";
import {
  connectedPair,
  receivedTexts,
  sentBy,
  tunnelPair,
  upward,
} from "../../../support/packets/tunnel_pair.ts";

/** Where a device's datagrams come from. */
function from({ address, port }: SimulatedDevice): { address: number; port: number } {
  return { address, port };
}

Deno.test("a datagram that the kernel cut short is counted", () => {
  const { gateway } = tunnelPair();
  gateway.receive(new Uint8Array(9), { address: 1, port: 2, length: -1 });
  assertEquals(gateway.dropped(DropReason.truncatedDatagram), 1);
});

Deno.test("a datagram from port 0, which has no answer, is dropped, and its peer stays where it is", () => {
  const pair = connectedPair();
  const { client, gateway, simulation } = pair;
  simulation.link.isDown = true;
  client.send(upward("one"));
  const [copy] = sentBy(pair, client).map(({ bytes }) => bytes);
  const answered = sentBy(pair, gateway).length;
  gateway.receive(copy!, { address: client.address, port: 0 });
  assertEquals(gateway.dropped(DropReason.noPath), 1);
  assertEquals(gateway.device.peerAt(1)!.endpoint.port, client.port);
  assertEquals(sentBy(pair, gateway).length, answered);
  // The packet itself, which the copy was to overtake.
  gateway.receive(copy!, client);
  assertEquals(receivedTexts(gateway), ["one"]);
});

Deno.test("an empty datagram and a merged one without a remainder are harmless", () => {
  const pair = connectedPair();
  pair.gateway.receive(new Uint8Array(0), pair.client);
  assertEquals(pair.gateway.dropped(DropReason.unknownMessage), 1);
  pair.gateway.receive(new Uint8Array(300), { ...from(pair.client), segmentSize: 100 });
  assertEquals(pair.gateway.dropped(DropReason.unknownMessage), 4);
});

Deno.test("a batch brings what its messages would one by one, whatever is among them", () => {
  const outcomes = [1, 16].map((batch) => {
    const pair = connectedPair({ gatewayBatch: batch });
    const { client, gateway, simulation } = pair;
    simulation.link.isDown = true;
    client.send(upward("one"), upward("two"), upward("six"));
    const [one, two, six] = sentBy(pair, client).map(({ bytes }) => bytes);
    const forged = two!.slice();
    forged[20]! ^= 1;
    const unknown = two!.with(4, two![4]! ^ 1);
    const { udp } = gateway;
    const messages = [new Uint8Array(0), one!, forged, one!, Uint8Array.of(4), unknown];
    messages.push(
      two!.subarray(0, 31),
      new Uint8Array(8).fill(255),
      two!,
      new Uint8Array(148),
      six!,
    );
    for (const bytes of messages) {
      udp.arrive(bytes, { ...from(client), source: gateway.address, length: bytes.length });
    }
    while (udp.waiting > 0) gateway.engine.receive(udp, 0);
    const { replayed, badTag, unknownIndex, badMessageLength } = DropReason;
    return {
      texts: receivedTexts(gateway),
      drops: [replayed, badTag, unknownIndex, badMessageLength].map((it) => gateway.dropped(it)),
      endpoint: pair.toClient.endpoint.port,
      bytes: pair.toClient.receivedBytes,
    };
  });
  assertEquals(outcomes[1], outcomes[0]);
  assertEquals(outcomes[0]!.texts, ["one", "two", "six"]);
  assertEquals(outcomes[0]!.drops.slice(0, 3), [1, 1, 1]);
});

Deno.test("a merged datagram with a bad one among the good loses only the bad one", () => {
  const pair = connectedPair();
  const { client, gateway, simulation } = pair;
  simulation.link.isDown = true;
  client.send(upward("one"), upward("two"), upward("six"));
  const parts = sentBy(pair, client).map(({ bytes }) => bytes);
  parts[1]![20]! ^= 1;
  const size = parts[0]!.length;
  const merged = new Uint8Array(3 * size);
  parts.forEach((part, i) => merged.set(part, i * size));
  gateway.receive(merged, { ...from(client), segmentSize: size });
  assertEquals(receivedTexts(gateway), ["one", "six"]);
  assertEquals(gateway.dropped(DropReason.badTag), 1);
});

Deno.test("merged datagrams of several kinds are taken one by one, whichever is the first", () => {
  const orders = [[0, 1, 2, 3, 4], [0, 2, 1, 3, 4], [1, 0, 3, 2, 4], [3, 1, 0, 4, 2]];
  const outcomes = orders.map((order) => {
    const pair = connectedPair();
    const { client, gateway, simulation } = pair;
    simulation.link.isDown = true;
    client.send(upward("one"), upward("two"));
    const [one, two] = sentBy(pair, client).map(({ bytes }) => bytes);
    const size = one!.length;
    // An initiation of another length, a type that there is not, and a transport message of nobody's.
    const kinds = [one!, new Uint8Array(size).fill(1, 0, 1), two!, new Uint8Array(size).fill(9)];
    kinds.push(new Uint8Array(size).fill(4, 0, 1));
    const merged = new Uint8Array(order.length * size);
    order.forEach((kind, i) => merged.set(kinds[kind]!, i * size));
    const before = gateway.udp.authentic;
    gateway.receive(merged, { ...from(client), segmentSize: size });
    const { badMessageLength, unknownMessage, unknownIndex } = DropReason;
    return {
      authentic: gateway.udp.authentic - before,
      texts: receivedTexts(gateway),
      drops: [badMessageLength, unknownMessage, unknownIndex].map((it) => gateway.dropped(it)),
    };
  });
  for (const outcome of outcomes) {
    assertEquals(outcome, { authentic: 1, texts: ["one", "two"], drops: [1, 1, 1] });
  }
});

Deno.test("the last of merged datagrams may be shorter, and a handshake proves whose a message is", () => {
  const pair = connectedPair();
  const { client, gateway, simulation } = pair;
  // The initiation, and the first message under its key.
  assertEquals(gateway.udp.authentic, 2);
  simulation.link.isDown = true;
  const texts = ["of more than sixteen bytes", "of more than sixteen, too.", "six"];
  const send = (firstType: number) => {
    pair.sent.length = 0;
    client.send(...texts.map(upward));
    const parts = sentBy(pair, client).map(({ bytes }) => bytes);
    parts[0]![0] = firstType;
    const merged = Uint8Array.from(parts.flatMap((part) => [...part]));
    gateway.receive(merged, { ...from(client), segmentSize: parts[0]!.length });
  };
  send(4);
  assertEquals(receivedTexts(gateway), texts);
  assertEquals(gateway.udp.authentic, 3);
  // The first of them is none of the four messages.
  send(9);
  assertEquals(receivedTexts(gateway), [...texts, ...texts.slice(1)]);
  assertEquals(gateway.udp.authentic, 4);
});
