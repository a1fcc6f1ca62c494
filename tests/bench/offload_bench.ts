/** Micro-benchmarks of lib/offload: a super-packet of 64 KiB split, and as many packets merged. */
import { Coalescer } from "../../lib/core/offload/coalescer.ts";
import { Splitter, SPLITTER_SCRATCH_SIZE } from "../../lib/core/offload/splitter.ts";
import { VNET_HEADER_SIZE } from "../../lib/core/offload/virtio_net_header.ts";
import { createMemory } from "../../lib/core/wire/memory.ts";
import { PacketQueue } from "../../lib/core/wire/packet_queue.ts";
import { virtioHeader } from "../support/offload/reference.ts";
import { buildTcp } from "../support/packets/packet_builder.ts";
import { pattern, SEGMENT_SIZE, TIMESTAMPS } from "./packets.ts";

const ACK = 0x10;
const HEADERS = 52;
const COUNT = 45;
const SLOT = 2048;
const SUPER_PACKET = 1024;

const superPacket = buildTcp({
  tcpOptions: TIMESTAMPS,
  dontFragment: true,
  flags: ACK,
  payload: pattern(COUNT * SEGMENT_SIZE),
});

{
  const memory = createMemory(128 * 1024);
  const header = SUPER_PACKET - VNET_HEADER_SIZE;
  const saved = 512;
  memory.bytes.set(virtioHeader({ flags: 1, type: 1, segmentSize: SEGMENT_SIZE }), header);
  memory.bytes.set(superPacket, SUPER_PACKET);
  memory.bytes.set(superPacket.subarray(0, HEADERS), saved);
  const splitter = new Splitter(memory, 0);
  if (SPLITTER_SCRATCH_SIZE > saved) throw new Error("The scratch region is too small");
  Deno.bench(`split ${COUNT} packets off a super-packet`, { group: "offload" }, () => {
    // The first packet's header took the place of the whole one's.
    memory.bytes.copyWithin(SUPER_PACKET, saved, saved + HEADERS);
    splitter.begin(header, SUPER_PACKET, superPacket.length);
    let count = 0;
    while (splitter.next()) count++;
    if (count !== COUNT) throw new Error(`Cannot split: ${count} packets`);
  });
}

{
  const memory = createMemory(COUNT * SLOT);
  const queue = new PacketQueue(COUNT);
  const coalescer = new Coalescer(memory, COUNT);
  for (let i = 0; i < COUNT; i++) {
    const packet = buildTcp({
      tcpOptions: TIMESTAMPS,
      dontFragment: true,
      flags: ACK,
      identification: i,
      sequenceNumber: 1 + i * SEGMENT_SIZE,
      payload: pattern(SEGMENT_SIZE),
    });
    memory.bytes.set(packet, i * SLOT);
    queue.push(i * SLOT, packet.length);
  }
  Deno.bench(`merge ${COUNT} packets into a super-packet`, { group: "offload" }, () => {
    coalescer.group(queue, true);
    if (coalescer.count !== 1) throw new Error(`Cannot merge: ${coalescer.count} groups`);
  });
}
