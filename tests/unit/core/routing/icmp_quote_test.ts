/** Tests of lib/core/routing/icmp_quote.ts. */
import {
  NO_ERROR,
  quotedPacket,
  quotedPacket6,
  UNCLEAR,
} from "../../../../lib/core/routing/icmp_quote.ts";
import { assertEquals } from "../../../support/assert.ts";
import {
  buildIcmp,
  buildUdp,
  type Bytes,
  fragment,
} from "../../../support/packets/packet_builder.ts";
import { buildIcmp6, buildIpv6, buildUdp6 } from "../../../support/packets/packet_builder6.ts";

/** Where packets lie in the tests: not at 0. */
const AT = 3;

/** What `quoted` says of a packet, counted from its beginning. */
function say(quoted: (view: DataView, packet: number) => number, packet: Bytes): number {
  const bytes = new Uint8Array(AT + packet.length);
  bytes.set(packet, AT);
  const found = quoted(new DataView(bytes.buffer), AT);
  return found > 0 ? found - AT : found;
}

const of4 = (packet: Bytes) => say(quotedPacket, packet);
const of6 = (packet: Bytes) => say(quotedPacket6, packet);
const packet4 = buildUdp();
const packet6 = buildUdp6();

Deno.test("an ICMP error quotes what stands behind its header", () => {
  for (const type of [3, 4, 5, 11, 12]) {
    assertEquals(of4(buildIcmp({ type, payload: packet4 })), 28);
    assertEquals(of4(buildIcmp({ type, payload: packet4.slice(0, 20) })), 28);
  }
  for (const type of [1, 2, 3, 4, 127]) {
    assertEquals(of6(buildIcmp6({ type, payload: packet6 })), 48);
    assertEquals(of6(buildIcmp6({ type, payload: packet6.slice(0, 40) })), 48);
  }
});

Deno.test("what is no ICMP error quotes nothing, whatever it holds", () => {
  for (const type of [0, 8, 13, 14, 17, 18]) {
    assertEquals(of4(buildIcmp({ type, payload: packet4 })), NO_ERROR);
  }
  for (const type of [128, 129]) {
    assertEquals(of6(buildIcmp6({ type, payload: packet6 })), NO_ERROR);
  }
  assertEquals([of4(packet4), of6(packet6)], [NO_ERROR, NO_ERROR]);
});

Deno.test("an ICMP error that is cut off, or quotes the other family, is unclear", () => {
  for (const payload of [new Uint8Array(), packet4.slice(0, 19), packet6]) {
    assertEquals(of4(buildIcmp({ type: 3, payload })), UNCLEAR);
  }
  for (const payload of [new Uint8Array(), packet6.slice(0, 39), buildUdp({ payload: packet6 })]) {
    assertEquals(of6(buildIcmp6({ type: 1, payload })), UNCLEAR);
  }
});

Deno.test("an ICMP error in fragments is unclear by its first, and the later ones are no errors", () => {
  const [first, ...later] = fragment(buildIcmp({ type: 3, payload: packet4 }), 48);
  assertEquals(of4(first!), UNCLEAR);
  for (const each of later) assertEquals(of4(each), NO_ERROR);

  const message = buildIcmp6({ type: 1, payload: packet6 }).slice(40);
  const fragment6 = (field: number, part: Bytes) =>
    buildIpv6({
      protocol: 44,
      payload: Uint8Array.of(58, 0, field >> 8, field & 0xff, 0, 0, 0, 7, ...part),
    });
  assertEquals(of6(fragment6(1, message.slice(0, 48))), UNCLEAR);
  assertEquals(of6(fragment6(48, message.slice(48))), NO_ERROR);
  // All of a packet (RFC 6946).
  assertEquals(of6(fragment6(0, message)), 56);
});
