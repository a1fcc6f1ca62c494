/** Shows which packets the demo's watch takes offence at. */
import { offenceOf } from "../../../../lib/commands/demo/link_watch.ts";
import { parseIpv4 } from "../../../../lib/core/wire/ipv4_text.ts";
import { assertEquals } from "../../../support/assert.ts";
import {
  buildIcmp,
  buildTcp,
  buildUdp,
  fragment,
} from "../../../support/packets/packet_builder.ts";

const GATEWAY = "203.0.113.1";
const OUTSIDE = "192.0.2.1";
const WAY = { source: GATEWAY, destination: OUTSIDE };
const FLAG_RST = 0x04;
const FLAG_ACK = 0x10;

/** At an offset, as it is in the arena. */
function judge(packet: Uint8Array): string | null {
  const offset = 10;
  const bytes = new Uint8Array(offset + packet.length);
  bytes.set(packet, offset);
  const address = parseIpv4(GATEWAY)!;
  return offenceOf(new DataView(bytes.buffer), { offset, length: packet.length, address });
}

Deno.test("offenceOf() is null for what a NAT sends", () => {
  for (let flags = 0; flags < 256; flags++) {
    if ((flags & FLAG_RST) === 0) assertEquals(judge(buildTcp({ ...WAY, flags })), null);
  }
  for (const type of [0, 8, 11, 12]) assertEquals(judge(buildIcmp({ ...WAY, type })), null);
  assertEquals(judge(buildUdp(WAY)), null);
});

Deno.test("offenceOf() names a RST by its endpoints, also behind IP options", () => {
  const ports = { sourcePort: 20_345, destinationPort: 80 };
  const expected = "RST from 203.0.113.1:20345 to 192.0.2.1:80";
  assertEquals(judge(buildTcp({ ...WAY, ...ports, flags: FLAG_RST })), expected);
  const options = [1, 1, 1, 1];
  assertEquals(
    judge(buildTcp({ ...WAY, ...ports, flags: FLAG_RST | FLAG_ACK, options })),
    expected,
  );
});

Deno.test("offenceOf() names an ICMP destination unreachable of every code", () => {
  for (let code = 0; code < 16; code++) {
    assertEquals(
      judge(buildIcmp({ ...WAY, type: 3, code })),
      `ICMP unreachable, code ${code}, from 203.0.113.1 to 192.0.2.1`,
    );
  }
});

Deno.test("offenceOf() names any packet of another source", () => {
  const expected = "a packet from 10.66.77.2 to 192.0.2.1";
  const way = { ...WAY, source: "10.66.77.2" };
  for (const packet of [buildUdp(way), buildTcp(way), buildIcmp(way)]) {
    assertEquals(judge(packet), expected);
  }
});

Deno.test("offenceOf() takes later fragments for what they are, and says when a packet is none", () => {
  const payload = new Uint8Array(64).fill(0xff);
  const [first, ...later] = fragment(buildTcp({ ...WAY, flags: FLAG_RST, payload }), 44);
  assertEquals(judge(first!), "RST from 203.0.113.1:40000 to 192.0.2.1:80");
  assertEquals(later.map(judge), later.map(() => null));
  assertEquals(judge(buildUdp(WAY).subarray(0, 19)), "a packet of 19 bytes");
});
