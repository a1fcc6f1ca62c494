/** Tests of how packets are written to the TUN: merged where it takes that, and what follows where it refuses. */
import { TUN_WRITER_SCRATCH_SIZE, TunWriter } from "../../../../lib/core/engine/tun_writer.ts";
import { DropCounters, DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import { PacketQueue } from "../../../../lib/core/wire/packet_queue.ts";
import { assertEquals } from "../../../support/assert.ts";
import { FakeTun } from "../../../support/packets/fake_ports.ts";
import { buildUdp, type Bytes } from "../../../support/packets/packet_builder.ts";

const PACKETS_AT = 256;

function datagrams(count: number): Bytes[] {
  return Array.from({ length: count }, (_, index) =>
    buildUdp({
      identification: index,
      dontFragment: true,
      payload: new Uint8Array(100).fill(index),
    }));
}

function openWriter(options: { mergesUdp: boolean; offload?: boolean }) {
  const memory = createMemory(PACKETS_AT + 16 * 256);
  const queue = new PacketQueue(16);
  const drops = new DropCounters();
  const { mergesUdp, offload = true } = options;
  const writer = new TunWriter(memory, { scratch: 0, queue, drops, offload });
  const tun = new FakeTun(memory);
  tun.mergesUdp = mergesUdp;
  const flush = (packets: readonly Bytes[]) => {
    packets.forEach((packet, index) => {
      memory.bytes.set(packet, PACKETS_AT + 256 * index);
      queue.push(PACKETS_AT + 256 * index, packet.length);
    });
    writer.flush(tun);
    return tun.written.splice(0).map(({ length }) => length);
  };
  return { tun, drops, flush };
}

Deno.test("datagrams of a flow are one write when the TUN takes super-packets of UDP", () => {
  assertEquals(TUN_WRITER_SCRATCH_SIZE <= PACKETS_AT, true);
  const { flush, drops } = openWriter({ mergesUdp: true });
  assertEquals(flush(datagrams(5)), [28 + 500]);
  assertEquals(flush(datagrams(1)), [128]);
  assertEquals(drops.total, 0);
});

Deno.test("each is a write of its own when the TUN takes none, or offload is off", () => {
  for (const options of [{ mergesUdp: false }, { mergesUdp: true, offload: false }]) {
    assertEquals(openWriter(options).flush(datagrams(3)), [128, 128, 128]);
  }
});

Deno.test("no more super-packets of UDP are written once one has been refused", () => {
  const { flush, drops, tun } = openWriter({ mergesUdp: true });
  tun.isRefusing = true;
  assertEquals(flush(datagrams(3)), []);
  // Each of them is lost.
  assertEquals(drops.counts[DropReason.tunWriteError], 3);
  tun.isRefusing = false;
  assertEquals(flush(datagrams(3)), [128, 128, 128]);
});
