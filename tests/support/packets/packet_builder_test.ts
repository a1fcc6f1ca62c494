/** Tests of tests/support/packets/packet_builder.ts: it makes, byte for byte, what a real kernel made. */
import { assertEquals, assertThrows } from "../assert.ts";
import {
  buildIcmp,
  buildTcp,
  buildUdp,
  fragment,
  hex,
  referenceChecksum,
} from "./packet_builder.ts";
import { ECHO, TCP_DATA, UDP, UDP_FRAGMENTS, UDP_RECORD_ROUTE } from "../wire/real_packets.ts";

const text = (value: string) => new TextEncoder().encode(value);

Deno.test("buildUdp() makes a real datagram", () => {
  const built = buildUdp({
    identification: 0x01b3,
    dontFragment: true,
    payload: text("hello, gateway"),
  });
  assertEquals(built, UDP);
});

Deno.test("buildUdp() makes a real datagram with an option", () => {
  const built = buildUdp({
    identification: 0x0203,
    dontFragment: true,
    options: hex("070b 080a 424d 0200 0000 0001"),
    payload: text("rr"),
  });
  assertEquals(built, UDP_RECORD_ROUTE);
});

Deno.test("buildTcp() makes a real segment", () => {
  const built = buildTcp({
    identification: 0x46e8,
    dontFragment: true,
    sourcePort: 40_001,
    sequenceNumber: 0xb81d5d90,
    acknowledgmentNumber: 0x8babe02a,
    flags: 0x18,
    window: 63,
    tcpOptions: hex("0101 080a edcf 1700 a792 780a"),
    payload: text("GET / HTTP/1.0\r\n\r\n"),
  });
  assertEquals(built, TCP_DATA);
});

Deno.test("buildIcmp() makes a real echo", () => {
  const built = buildIcmp({
    identification: 0x95bb,
    dontFragment: true,
    identifier: 0x191f,
    payload: hex("0001 0203 0405 0607"),
  });
  assertEquals(built, ECHO);
});

Deno.test("fragment() cuts a datagram as a real kernel did", () => {
  const whole = buildUdp({
    identification: 0x0272,
    sourcePort: 40_002,
    payload: text("0123456789".repeat(12)),
  });
  // The kernel rounded an MTU of 80 down to 56 bytes of payload.
  assertEquals(fragment(whole, 80), UDP_FRAGMENTS);
});

Deno.test("referenceChecksum() is that of RFC 1071 section 3", () => {
  assertEquals(referenceChecksum(hex("0001 f203 f4f5 f6f7")), 0x220d);
  assertEquals(referenceChecksum(hex("01")), 0xfeff);
  assertEquals(referenceChecksum(hex("")), 0xffff);
});

Deno.test("hex() throws when given something else", () => {
  assertThrows(() => hex("0g"), Error, "Cannot read hex");
  assertThrows(() => hex("012"), Error, "Cannot read hex");
});
