/** Tests of lib/core/access/prohibition.ts: who is told that a packet is prohibited, and how often. */
import { Prohibition, PROHIBITION_SIZE } from "../../../../lib/core/access/prohibition.ts";
import { formatIpv4 } from "../../../../lib/core/wire/ipv4_text.ts";
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import { assertEquals } from "../../../support/assert.ts";
import { udp } from "../../../support/access/packets.ts";

Deno.test("a peer with a network of addresses is told ten times a second, and keeps no other from being told", () => {
  const memory = createMemory(1024 + PROHIBITION_SIZE);
  const prohibition = new Prohibition(memory, 1024);
  let time = 0;
  const isTold = (source: string, peer: number) => {
    memory.bytes.set(udp(source, "192.0.2.1", 80));
    return prohibition.answer(0, peer, time) > 0;
  };
  for (let second = 0; second < 2; second++, time += 1_000) {
    let told = 0;
    for (let i = 0; i < 5_000; i++) if (isTold(formatIpv4(0x0a140000 + i), 1)) told++;
    assertEquals(told, 10);
    assertEquals(isTold("10.66.77.3", 2), true);
  }
});
