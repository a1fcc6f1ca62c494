/** Tests of lib/core/wire/checksum.ts against the byte-wise reference and against packets of a real kernel. */
import {
  finish,
  fold,
  pseudoHeaderSum,
  sum,
  udpChecksum,
  update16,
  update32,
} from "../../../../lib/core/wire/checksum.ts";
import { assertEquals } from "../../../support/assert.ts";
import { hex, referenceChecksum } from "../../../support/packets/packet_builder.ts";
import { Random } from "../../../support/random.ts";
import { TCP_DATA, TCP_SYN, UDP } from "../../../support/wire/real_packets.ts";

function viewOf(bytes: Uint8Array<ArrayBuffer>): DataView<ArrayBuffer> {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

Deno.test("sum() of the example in RFC 1071 section 3 is ddf2", () => {
  assertEquals(sum(viewOf(hex("0001 f203 f4f5 f6f7")), 0, 8), 0xddf2);
});

Deno.test("sum() agrees with the reference for every length to 2,000 at every alignment", () => {
  const random = new Random(1);
  const bytes = random.bytes(2048 + 16);
  const view = viewOf(bytes);
  for (let length = 0; length <= 2000; length++) {
    for (let offset = 0; offset < 8; offset++) {
      const expected = referenceChecksum(bytes.subarray(offset, offset + length));
      const actual = finish(sum(view, offset, length));
      if (actual !== expected) assertEquals(actual, expected, `${length} bytes at ${offset}`);
    }
  }
});

Deno.test("sum() agrees with the reference on bytes that carry all the way", () => {
  for (const value of [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff]) {
    const bytes = new Uint8Array(131_072 + 8).fill(value);
    for (const length of [0, 1, 2, 3, 19, 20, 1420, 1421, 65_535, 65_549, 131_072]) {
      const expected = referenceChecksum(bytes.subarray(3, 3 + length));
      assertEquals(finish(sum(viewOf(bytes), 3, length)), expected, `${length} of ${value}`);
    }
  }
});

Deno.test("sum() reads nothing before its offset and nothing behind its length", () => {
  const random = new Random(2);
  const data = random.bytes(100);
  for (let length = 0; length < 64; length++) {
    const alone = data.slice(10, 10 + length);
    assertEquals(sum(viewOf(data), 10, length), sum(viewOf(alone), 0, length));
  }
});

Deno.test("sum() adds pieces of even length to what it is given", () => {
  const bytes = new Random(3).bytes(333);
  const view = viewOf(bytes);
  const pieces = sum(view, 240, 93, sum(view, 2, 238, sum(view, 0, 2)));
  assertEquals(finish(pieces), referenceChecksum(bytes));
});

Deno.test("fold() carries around the end until 16 bits are left", () => {
  assertEquals(fold(0), 0);
  assertEquals(fold(0xffff), 0xffff);
  assertEquals(fold(0x10000), 1);
  assertEquals(fold(0x1ffff), 1);
  assertEquals(fold(0xffffffff), 0xffff);
});

Deno.test("sum() and pseudoHeaderSum() come to 0 over the packets of a real kernel", () => {
  for (const packet of [UDP, TCP_SYN, TCP_DATA]) {
    const view = viewOf(packet);
    assertEquals(finish(sum(view, 0, 20)), 0);
    const length = packet.length - 20;
    const pseudo = pseudoHeaderSum(view.getUint32(12), view.getUint32(16), packet[9]!, length);
    assertEquals(finish(sum(view, 20, length, pseudo)), 0);
  }
});

Deno.test("pseudoHeaderSum() agrees with the reference for addresses with the top bit set", () => {
  const random = new Random(4);
  for (let round = 0; round < 2000; round++) {
    const header = random.bytes(12);
    header[8] = 0;
    const view = viewOf(header);
    const actual = pseudoHeaderSum(
      view.getUint32(0),
      view.getUint32(4),
      header[9]!,
      view.getUint16(10),
    );
    assertEquals(finish(actual), referenceChecksum(header));
  }
});

Deno.test("update16() gives 0 for the example in RFC 1624 section 4, where RFC 1141 gives ffff", () => {
  assertEquals(update16(0xdd2f, 0x5555, 0x3285), 0);
});

Deno.test("update16() and update32() agree with a checksum computed from scratch", () => {
  const random = new Random(5);
  for (let round = 0; round < 20_000; round++) {
    const bytes = random.bytes(24);
    // Words of all ones and all zeros are where the two zeros of one's complement meet.
    if (random.chance(0.2)) bytes.fill(random.chance(0.5) ? 0xff : 0, 0, 8);
    const view = viewOf(bytes);
    const before = referenceChecksum(bytes);
    const word = random.chance(0.2) ? 0xffff : random.uint32() >>> 16;
    const from16 = view.getUint16(0);
    view.setUint16(0, word);
    const after16 = referenceChecksum(bytes);
    assertEquals(update16(before, from16, word), after16);

    const address = random.chance(0.2) ? 0xffffffff : random.uint32();
    const from32 = view.getUint32(4);
    view.setUint32(4, address);
    assertEquals(update32(after16, from32, address), referenceChecksum(bytes));
  }
});

Deno.test("udpChecksum() sends a computed 0 as ffff and any other as it is", () => {
  assertEquals(udpChecksum(0), 0xffff);
  assertEquals(udpChecksum(1), 1);
  assertEquals(udpChecksum(0xffff), 0xffff);
});
