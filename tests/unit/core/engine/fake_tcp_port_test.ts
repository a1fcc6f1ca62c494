/**
 * Tests of lib/core/engine/fake_tcp_port.ts: datagrams of one end are messages of the other; what has no room stays.
 */
import { FakeTcpPort } from "../../../../lib/core/engine/fake_tcp_port.ts";
import { GSO_SIZE_OFFSET } from "../../../../lib/core/offload/virtio_net_header.ts";
import { HEADERS6_SIZE } from "../../../../lib/core/transport/fake_tcp/constants.ts";
import { FakeTcp } from "../../../../lib/core/transport/fake_tcp/fake_tcp.ts";
import { SegmentQueue } from "../../../../lib/core/transport/fake_tcp/segment_queue.ts";
import { SendQueue } from "../../../../lib/core/transport/send_queue.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
import { DropCounters, DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { Ecn } from "../../../../lib/core/wire/ecn.ts";
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { MemorySegments } from "../../../support/fake_tcp/memory_segments.ts";
import {
  CLIENT_ADDRESS,
  CLIENT_PORTS,
  familyTest,
  hostAddress,
  MTU,
  SERVER_ADDRESS,
  SERVER_PORT,
  toServer,
} from "../../../support/fake_tcp/world.ts";
import type { Bytes } from "../../../support/packets/packet_builder.ts";
import { Random } from "../../../support/random.ts";

const SLOTS = 64;
const SLOT_SIZE = SendQueue.slotSize(MTU);
const SEGMENTS_AT = SLOTS * SLOT_SIZE;
const ARRIVING_AT = SEGMENTS_AT + SLOTS * SegmentQueue.slotSize(MTU + HEADERS6_SIZE);

/** One end, a client or a server. */
class End {
  readonly memory = createMemory(ARRIVING_AT + MemorySegments.size);
  readonly drops = new DropCounters();
  readonly wire = new MemorySegments(this.memory, ARRIVING_AT);
  readonly datagrams = new SendQueue({ offset: 0, slots: SLOTS, slotSize: SLOT_SIZE });
  readonly port: FakeTcpPort;

  constructor(isServer: boolean) {
    const { memory, drops } = this;
    const random = new Random(isServer ? 1 : 2);
    const slotSize = SegmentQueue.slotSize(MTU + HEADERS6_SIZE);
    const queue = new SegmentQueue({ offset: SEGMENTS_AT, slots: SLOTS, slotSize });
    const listenPort = isServer ? SERVER_PORT : null;
    const connections = new FakeTcp({
      memory,
      queue,
      drops,
      mtu: MTU,
      random: () => random.uint32(),
      secret: random.bytes(16),
      listenPort,
      clientPorts: isServer ? null : CLIENT_PORTS,
      authenticates: true,
    });
    const segments = this.wire;
    this.port = new FakeTcpPort({
      memory,
      paths: this.datagrams.paths,
      connections,
      queue,
      segments,
      listenPort,
      drops,
    });
  }

  /** Puts datagrams into the queue, for the server, or the sender of the last message. */
  queue(...texts: string[]): void {
    for (const text of texts) {
      const at = this.datagrams.reserve();
      this.memory.bytes.set(new TextEncoder().encode(text), at);
      const { paths } = this.datagrams;
      const address = hostAddress(SERVER_ADDRESS);
      const path = paths.internEnd({ address, port: SERVER_PORT }, Transport.fakeTcp);
      this.datagrams.commit(text.length, path);
    }
  }

  /** Sends a datagram by the path that one came by. */
  answer(path: number, text: string): void {
    this.memory.bytes.set(new TextEncoder().encode(text), this.datagrams.reserve());
    this.datagrams.commit(text.length, path);
    assert(this.send());
  }

  /** Sends what is queued, as the engine does. Returns whether all of it has left. */
  send(): boolean {
    const { head, tail } = this.datagrams;
    const next = this.port.send(this.datagrams, head, tail, 0);
    this.datagrams.sentUpTo(next);
    return next === tail;
  }

  /** Takes what has arrived; the texts of its datagrams. */
  receive(packets: readonly Bytes[]): string[] {
    this.wire.arriving.push(...packets);
    const texts: string[] = [];
    for (let count = this.port.receive(); count > 0; count = this.port.receive()) {
      for (let i = 0; i < count; i++) {
        if (!this.port.take(i, 0)) continue;
        const { offsets, lengths } = this.port.messages;
        const at = offsets[i]!;
        texts.push(new TextDecoder().decode(this.memory.bytes.slice(at, at + lengths[i]!)));
        this.port.authenticated(i, this, 0);
      }
    }
    this.port.flush(0);
    return texts;
  }
}

/** A client and a server, connected. */
function connected(): { client: End; server: End } {
  const [client, server] = [new End(false), new End(true)];
  client.port.session = client.port.connections.connect(toServer(), 0);
  client.port.flush(0);
  for (let i = 0; i < 3; i++) {
    server.receive(client.wire.sent.splice(0));
    client.receive(server.wire.sent.splice(0));
  }
  return { client, server };
}

familyTest(
  "datagrams arrive as messages that say where they came from, with the ECN bits that they left with",
  () => {
    const { client, server } = connected();
    client.queue("one");
    client.datagrams.setEcn(Ecn.ect0);
    client.queue("two");
    assert(client.send());
    assertEquals(server.receive(client.wire.sent.splice(0)), ["one", "two"]);
    const { pathIds, ecns } = server.port.messages;
    const { paths } = server.datagrams;
    const { remotePort } = server.port.sessionOf(0);
    const [path] = pathIds;
    assertEquals(pathIds[1], path);
    const end = { address: hostAddress(CLIENT_ADDRESS), port: remotePort };
    assertEquals([paths.socketAddress(path!), paths.transport(path!)], [end, Transport.fakeTcp]);
    assert(paths.sourceDigest(path!) !== 0, "our address that was written to is kept");
    assertEquals([ecns[0], ecns[1]], [Ecn.ect0, Ecn.notEct]);
    server.answer(path!, "three");
    assertEquals(client.receive(server.wire.sent.splice(0)), ["three"]);
    assertEquals([client.drops.total, server.drops.total], [0, 0]);
  },
);

familyTest("what there is no room for stays in both queues, and leaves once, in order", () => {
  const { client, server } = connected();
  client.wire.room = 1;
  client.queue("one", "two", "three");
  assert(!client.send());
  // Their segments stand where they do: none of the slots is free before all have left.
  assertEquals(client.datagrams.length, 3);
  client.queue("four");
  assert(!client.send());
  client.wire.room = Infinity;
  assert(client.send());
  assertEquals(server.receive(client.wire.sent.splice(0)), ["one", "two", "three", "four"]);
  client.queue("five");
  assert(client.send());
  assertEquals(server.receive(client.wire.sent.splice(0)), ["five"]);
});

familyTest("a datagram to an address without a connection is dropped, and the others leave", () => {
  const { client, server } = connected();
  server.queue("to nobody");
  assert(server.send());
  assertEquals(server.drops.counts[DropReason.fakeTcpNoSession], 1);
  client.port.session = null;
  client.queue("no connection");
  assert(client.send());
  assertEquals(client.drops.counts[DropReason.fakeTcpNoSession], 1);
});

familyTest(
  "datagrams that were merged have a size each; one is one, whatever the kernel says its size is",
  () => {
    for (const [told, expected] of [[3, 3], [9, 0], [65_535, 0], [0, 0]] as const) {
      const { client, server } = connected();
      client.queue("onetwothr");
      assert(client.send());
      server.wire.arriving.push(...client.wire.sent.splice(0));
      assertEquals(server.port.receive(), 1);
      server.memory.view.setUint16(server.wire.offsets[0]! + GSO_SIZE_OFFSET, told, true);
      assert(server.port.take(0, 0));
      const { lengths, segmentSizes } = server.port.messages;
      assertEquals([lengths[0], segmentSizes[0]], [9, expected]);
    }
  },
);

familyTest("a packet that was cut short is counted, and is no message", () => {
  const { server } = connected();
  server.wire.arriving.push(new Uint8Array(60));
  assertEquals(server.port.receive(), 1);
  server.wire.lengths[0] = -1;
  assertEquals(server.port.take(0, 0), false);
  assertEquals(server.drops.counts[DropReason.truncatedDatagram], 1);
});
