/** Tests of the lines of a trace about packets of IPv6. */
import { describePacket } from "../../../../lib/dataplane/egress/packet_trace.ts";
import { assertEquals } from "../../../support/assert.ts";
import type { Bytes } from "../../../support/packets/packet_builder.ts";
import {
  buildIcmp6,
  buildIpv6,
  buildTcp6,
  buildUdp6,
} from "../../../support/packets/packet_builder6.ts";
import { fragment6 } from "../../../support/nat/world6.ts";

const ENDS = { source: "2001:db8:1::1", destination: "2001:db8:9::9", hopLimit: 63 };

function describe(packet: Bytes): string {
  return describePacket(new DataView(packet.buffer), 0, packet.length);
}

Deno.test("a packet of IPv6 is told by its ends, what it carries, and its hop limit", () => {
  const ports = { sourcePort: 20_021, destinationPort: 80 };
  assertEquals(
    describe(buildTcp6({ ...ENDS, ...ports, sequenceNumber: 7, flags: 2 })),
    "60 bytes, [2001:db8:1::1]:20021 > [2001:db8:9::9]:80 TCP [S] seq 7 ack 0, hop limit 63",
  );
  assertEquals(
    describe(buildUdp6({ ...ENDS, ...ports })),
    "48 bytes, [2001:db8:1::1]:20021 > [2001:db8:9::9]:80 UDP, hop limit 63",
  );
  assertEquals(
    describe(buildIcmp6({ ...ENDS })),
    "48 bytes, [2001:db8:1::1] > [2001:db8:9::9] ICMPv6 128/0 id 0, hop limit 63",
  );
  assertEquals(
    describe(buildIpv6({ ...ENDS, protocol: 50 })),
    "40 bytes, [2001:db8:1::1] > [2001:db8:9::9] protocol 50, hop limit 63",
  );
  const [, later] = fragment6(buildUdp6({ ...ENDS, payload: new Uint8Array(1400) }), 1280, 1);
  assertEquals(
    describe(later!),
    `${later!.length} bytes, [2001:db8:1::1] > [2001:db8:9::9] later fragment, hop limit 63`,
  );
});
