/**
 * Tests of lib/core/wire/udp.ts, tcp.ts and icmp.ts: the decode of real packets, and where a header counts as whole.
 */
import * as icmp from "../../../lib/core/wire/icmp.ts";
import * as tcp from "../../../lib/core/wire/tcp.ts";
import * as udp from "../../../lib/core/wire/udp.ts";
import { assertEquals } from "../../support/assert.ts";
import { buildIcmp, buildTcp, buildUdp } from "../../support/packets/packet_builder.ts";
import {
  ECHO,
  ECHO_REPLY,
  PORT_UNREACHABLE,
  TCP_DATA,
  TCP_RESET,
  TCP_SYN,
  TCP_SYN_ACK,
  UDP,
} from "../../support/wire/real_packets.ts";

const HEADER = 20;

function viewOf(packet: Uint8Array<ArrayBuffer>): DataView<ArrayBuffer> {
  return new DataView(packet.buffer);
}

Deno.test("udp decodes a real datagram", () => {
  const view = viewOf(UDP);
  assertEquals(udp.sourcePort(view, HEADER), 40_000);
  assertEquals(udp.destinationPort(view, HEADER), 53);
  assertEquals(udp.length(view, HEADER), 22);
  assertEquals(udp.checksum(view, HEADER), 0x27fb);
});

Deno.test("udp.isWhole() wants eight bytes and a length of eight", () => {
  const view = viewOf(UDP);
  assertEquals(udp.isWhole(view, HEADER, 7), false);
  assertEquals(udp.isWhole(view, HEADER, 8), true);
  assertEquals(udp.isWhole(viewOf(buildUdp({ length: 7 })), HEADER, 8), false);
});

Deno.test("tcp decodes real segments", () => {
  const decode = (packet: Uint8Array<ArrayBuffer>) => {
    const view = viewOf(packet);
    return [
      tcp.sourcePort(view, HEADER),
      tcp.destinationPort(view, HEADER),
      tcp.sequenceNumber(view, HEADER),
      tcp.acknowledgmentNumber(view, HEADER),
      tcp.headerSize(view, HEADER),
      tcp.flags(view, HEADER),
      tcp.window(view, HEADER),
      tcp.checksum(view, HEADER),
      tcp.urgentPointer(view, HEADER),
    ];
  };
  assertEquals(
    decode(TCP_SYN),
    [40_001, 80, 0xb81d5d8f, 0, 40, tcp.FLAG_SYN, 64_240, 0xe776, 0],
  );
  assertEquals(
    decode(TCP_SYN_ACK),
    [80, 40_001, 0x8babe029, 0xb81d5d90, 40, tcp.FLAG_SYN | tcp.FLAG_ACK, 65_160, 0x585b, 0],
  );
  assertEquals(
    decode(TCP_DATA),
    [40_001, 80, 0xb81d5d90, 0x8babe02a, 32, tcp.FLAG_PSH | tcp.FLAG_ACK, 63, 0xa6ba, 0],
  );
  assertEquals(
    decode(TCP_RESET),
    [80, 40_001, 0x8babe02a, 0xb81d5da2, 32, tcp.FLAG_RST | tcp.FLAG_ACK, 64, 0x84f9, 0],
  );
  const { FLAG_FIN, FLAG_URG, FLAG_ECE, FLAG_CWR } = tcp;
  const urgent = viewOf(buildTcp({ flags: 1 | 32 | 64 | 128, urgentPointer: 7 }));
  assertEquals(tcp.flags(urgent, HEADER), FLAG_FIN | FLAG_URG | FLAG_ECE | FLAG_CWR);
  assertEquals(tcp.urgentPointer(urgent, HEADER), 7);
});

Deno.test("tcp.isWhole() wants the options that the data offset announces", () => {
  const view = viewOf(TCP_SYN);
  for (const [available, expected] of [[0, false], [19, false], [39, false], [40, true]] as const) {
    assertEquals(tcp.isWhole(view, HEADER, available), expected, `${available} bytes`);
  }
  assertEquals(tcp.isWhole(viewOf(buildTcp({ dataOffset: 4 })), HEADER, 20), false);
  assertEquals(tcp.isWhole(viewOf(buildTcp({ dataOffset: 0 })), HEADER, 20), false);
  assertEquals(tcp.isWhole(viewOf(buildTcp()), HEADER, 20), true);
});

Deno.test("icmp decodes a real echo, its reply and a port unreachable", () => {
  const echo = viewOf(ECHO);
  assertEquals(icmp.type(echo, HEADER), icmp.TYPE_ECHO);
  assertEquals(icmp.code(echo, HEADER), 0);
  assertEquals(icmp.checksum(echo, HEADER), 0xd2cf);
  assertEquals(icmp.identifier(echo, HEADER), 0x191f);
  assertEquals(icmp.sequenceNumber(echo, HEADER), 1);
  assertEquals(icmp.type(viewOf(ECHO_REPLY), HEADER), icmp.TYPE_ECHO_REPLY);
  const unreachable = viewOf(PORT_UNREACHABLE);
  assertEquals(icmp.type(unreachable, HEADER), icmp.TYPE_DESTINATION_UNREACHABLE);
  assertEquals(icmp.code(unreachable, HEADER), 3);
});

Deno.test("icmp.NEXT_HOP_MTU_OFFSET is where RFC 1191 puts the MTU", () => {
  const tooBig = viewOf(buildIcmp({ type: 3, code: 4, identifier: 0, sequenceNumber: 1420 }));
  assertEquals(tooBig.getUint16(HEADER + icmp.NEXT_HOP_MTU_OFFSET), 1420);
});

Deno.test("icmp.isWhole() wants eight bytes", () => {
  assertEquals([0, 7, 8, 9].map(icmp.isWhole), [false, false, true, true]);
});

Deno.test("icmp.isError() is true for the five errors of RFC 792 and nothing else", () => {
  const errors = Array.from({ length: 256 }, (_, type) => type).filter(icmp.isError);
  assertEquals(errors, [3, 4, 5, 11, 12]);
});
