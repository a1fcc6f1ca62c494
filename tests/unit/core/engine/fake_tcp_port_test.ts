/**
 * Tests of lib/core/engine/fake_tcp_port.ts: datagrams of one end are messages of the other; what has no room stays.
 */
import { GSO_SIZE_OFFSET } from "../../../../lib/core/offload/virtio_net_header.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { Ecn } from "../../../../lib/core/wire/ecn.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { connectedPorts } from "../../../support/fake_tcp/port_ends.ts";
import { CLIENT_ADDRESS, familyTest, hostAddress } from "../../../support/fake_tcp/world.ts";

familyTest(
  "datagrams arrive as messages that say where they came from, with the ECN bits that they left with",
  () => {
    const { client, server } = connectedPorts();
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
  const { client, server } = connectedPorts();
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
  const { client, server } = connectedPorts();
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
      const { client, server } = connectedPorts();
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
  const { server } = connectedPorts();
  server.wire.arriving.push(new Uint8Array(60));
  assertEquals(server.port.receive(), 1);
  server.wire.lengths[0] = -1;
  assertEquals(server.port.take(0, 0), false);
  assertEquals(server.drops.counts[DropReason.truncatedDatagram], 1);
});
