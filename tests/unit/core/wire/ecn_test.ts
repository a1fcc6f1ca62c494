/** Tests of lib/core/wire/ecn.ts: the table of RFC 6040, and the header that comes of it. */
import { checkIpv4 } from "../../../../lib/core/wire/ipv4.ts";
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { Ecn, ecnOf, takeOverEcn } from "../../../../lib/core/wire/ecn.ts";
import { assertEquals } from "../../../support/assert.ts";
import { buildUdp } from "../../../support/packets/packet_builder.ts";

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
