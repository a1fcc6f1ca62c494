/** Tests of lib/core/capture/pcapng.ts: each block, byte by byte as draft-ietf-opsawg-pcapng has it. */
import { PcapngWriter } from "../../../../lib/core/capture/pcapng.ts";
import { PacketDirection } from "../../../../lib/core/wireguard/packet_tap.ts";
import { assertEquals } from "../../../support/assert.ts";

/** What a writer has, as hexadecimal digits in groups as they are given here. */
function assertBytes(writer: PcapngWriter, ...groups: readonly string[]): void {
  assertEquals(
    writer.bytes.subarray(0, writer.length).toHex(),
    groups.join("").replaceAll(" ", ""),
  );
}

Deno.test("section() writes a section header block of open length", () => {
  const writer = new PcapngWriter(1000);
  assertEquals(writer.section("vpn 1"), true);
  assertBytes(
    writer,
    "0a0d0d0a 2c000000",
    // Magic, version 1.0, length -1.
    "4d3c2b1a 0100 0000 ffffffffffffffff",
    // shb_userappl, 5 bytes, padded; the end of options.
    "0400 0500 76706e2031 000000 0000 0000",
    "2c000000",
  );
});

Deno.test("interface() writes an interface description block of link type IPV4", () => {
  const writer = new PcapngWriter(1000);
  assertEquals(writer.interface({ name: "ä", description: "key=", snapLength: 0x123456 }), true);
  assertBytes(
    writer,
    "01000000 30000000",
    "e400 0000 56341200",
    // if_name in UTF-8, if_description, if_tsresol: 10^-6.
    "0200 0200 c3a4 0000",
    "0300 0400 6b65793d",
    "0900 0100 06 000000",
    "0000 0000",
    "30000000",
  );
});

Deno.test("packet() writes an enhanced packet block with its direction", () => {
  const writer = new PcapngWriter(1000);
  const source = Uint8Array.of(0xee, 1, 2, 3, 4, 5, 0xee);
  // 2026-11-21 11:00:00.123456 UTC.
  const time = 1_795_258_800_123_456;
  writer.bytes.fill(0xaa);
  assertEquals(writer.packet(7, PacketDirection.inbound, time, source, 1, 5, 5), true);
  const inbound = [
    "06000000 34000000 07000000",
    `${halves(time)}`,
    "05000000 05000000",
    "0102030405 000000",
    // epb_flags: inbound.
    "0200 0400 01000000 0000 0000",
    "34000000",
  ];
  assertBytes(writer, ...inbound);
  // Cut, as a snap length does it: how long it was is kept. No padding where none is needed.
  assertEquals(writer.packet(0, PacketDirection.outbound, 0, source, 1, 5, 4), true);
  assertBytes(
    writer,
    ...inbound,
    "06000000 30000000 00000000",
    "00000000 00000000",
    "04000000 05000000",
    "01020304",
    "0200 0400 02000000 0000 0000",
    "30000000",
  );
});

/** Two little-endian numbers, by way of bigint. */
function halves(time: number): string {
  const view = new DataView(new ArrayBuffer(8));
  view.setUint32(0, Number(BigInt(time) >> 32n), true);
  view.setUint32(4, Number(BigInt(time) & 0xffff_ffffn), true);
  return new Uint8Array(view.buffer).toHex();
}

Deno.test("statistics() writes an interface statistics block", () => {
  const writer = new PcapngWriter(1000);
  const counts = { received: 2 ** 40 + 3, dropped: 258 };
  assertEquals(writer.statistics(1, 2 ** 32 + 2, counts), true);
  assertBytes(
    writer,
    "05000000 34000000",
    "01000000 01000000 02000000",
    // isb_ifrecv and isb_ifdrop.
    "0400 0800 0300000000010000",
    "0500 0800 0201000000000000",
    "0000 0000",
    "34000000",
  );
});

Deno.test("a block that does not fit is not written at all, one that just fits is", () => {
  const source = new Uint8Array(100);
  const writes: ((writer: PcapngWriter) => boolean)[] = [
    (writer) => writer.section("vpn"),
    (writer) => writer.interface({ name: "a", description: "b", snapLength: 1 }),
    (writer) => writer.packet(0, PacketDirection.inbound, 0, source, 0, 99, 99),
    (writer) => writer.statistics(0, 0, { received: 0, dropped: 0 }),
  ];
  for (const write of writes) {
    const roomy = new PcapngWriter(1000);
    write(roomy);
    const { length } = roomy;
    const exact = new PcapngWriter(length);
    assertEquals([write(exact), exact.length], [true, length]);
    const tight = new PcapngWriter(length - 1);
    assertEquals([write(tight), tight.length], [false, 0]);
    assertEquals(tight.bytes.every((byte) => byte === 0), true);
  }
});

Deno.test("interface() cuts a name that is too long between characters", () => {
  const writer = new PcapngWriter(4000);
  writer.interface({ name: "ä".repeat(2000) + "!", description: "", snapLength: 1 });
  const view = new DataView(writer.bytes.buffer);
  assertEquals(view.getUint16(18, true), 1024);
  const odd = new PcapngWriter(4000);
  odd.interface({ name: "!" + "ä".repeat(2000), description: "", snapLength: 1 });
  assertEquals(new DataView(odd.bytes.buffer).getUint16(18, true), 1023);
});
