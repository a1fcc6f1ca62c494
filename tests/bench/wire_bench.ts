/** Micro-benchmarks of lib/wire: checksums, and the check that every inner packet passes. */
import { sum } from "../../lib/core/wire/checksum.ts";
import { checkIpv4 } from "../../lib/core/wire/ipv4.ts";
import { createMemory } from "../../lib/core/wire/memory.ts";
import { buildTcp, buildUdp } from "../support/packets/packet_builder.ts";
import { FULL_SIZE, pattern, SEGMENT_SIZE, SMALL_SIZE, TIMESTAMPS } from "./packets.ts";

const memory = createMemory(65_536);
memory.bytes.set(pattern(65_536));

for (const length of [20, SMALL_SIZE, FULL_SIZE, 65_535]) {
  Deno.bench(`sum() of ${length} bytes`, { group: "checksum" }, () => {
    sum(memory.view, 0, length);
  });
}

const packets = {
  "TCP, 1,420 bytes": buildTcp({ tcpOptions: TIMESTAMPS, payload: pattern(SEGMENT_SIZE) }),
  "UDP, 64-byte payload": buildUdp({ payload: pattern(64) }),
};
for (const [name, packet] of Object.entries(packets)) {
  const own = createMemory(2048);
  own.bytes.set(packet);
  Deno.bench(`checkIpv4() of ${name}`, { group: "checkIpv4" }, () => {
    checkIpv4(own, 0, packet.length);
  });
}
