/** Tests of lib/core/wire/ecn.ts: the table of RFC 6040, and the header that comes of it. */
import { checkIpv4 } from "../../../../lib/core/wire/ipv4.ts";
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { Ecn, ecnOf, takeOverEcn, takeOverEcn6 } from "../../../../lib/core/wire/ecn.ts";
import { assertEquals } from "../../../support/assert.ts";
import { buildUdp } from "../../../support/packets/packet_builder.ts";
import { buildUdp6 } from "../../../support/packets/packet_builder6.ts";

const { notEct, ect0, ect1, ce } = Ecn;

/** A packet with these ECN bits, and a DSCP that nothing may change. */
function packetWith(ecn: number) {
  const bytes = buildUdp({ typeOfService: 0xb8 | ecn });
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset) };
}

Deno.test("takeOverEcn() has the table of RFC 6040, section 4.2, and leaves the header right", () => {
  // Inside, then for Not-ECT, ECT(0), ECT(1) and CE outside.
  const table: [number, (number | "drop")[]][] = [
    [notEct, [notEct, notEct, notEct, "drop"]],
    [ect0, [ect0, ect0, ect1, ce]],
    [ect1, [ect1, ect1, ect1, ce]],
    [ce, [ce, ce, ce, ce]],
  ];
  for (const [inner, row] of table) {
    const outcome = [notEct, ect0, ect1, ce].map((outer) => {
      const memory = packetWith(inner);
      if (!takeOverEcn(memory.view, 0, outer)) return "drop";
      assertEquals(checkIpv4(memory, 0, memory.bytes.length), DropReason.none);
      assertEquals(memory.bytes[1]! & 0xfc, 0xb8);
      return ecnOf(memory.view, 0);
    });
    assertEquals(outcome, row, `inside ${inner}`);
  }
});

Deno.test("takeOverEcn6() does the same to an IPv6 packet, and to nothing of it but the two bits", () => {
  for (const inner of [notEct, ect0, ect1, ce]) {
    for (const outer of [notEct, ect0, ect1, ce]) {
      const fields = { flowLabel: 0xfffff, payload: new Uint8Array(8) };
      const bytes = buildUdp6({ ...fields, trafficClass: 0xb8 | inner });
      const view = new DataView(bytes.buffer);
      assertEquals(ecnOf(view, 0), inner);
      const reference = packetWith(inner);
      const passes = takeOverEcn(reference.view, 0, outer);
      assertEquals(takeOverEcn6(view, 0, outer), passes);
      const combined = passes ? ecnOf(reference.view, 0) : inner;
      assertEquals(bytes, buildUdp6({ ...fields, trafficClass: 0xb8 | combined }));
    }
  }
});
