/** Tests of lib/core/wire/host_address.ts: addresses of both families as values, text and bytes. */
import {
  addressBytes,
  formatAddress,
  formatSocketAddress,
  ipv6At,
  ipv6Bytes,
  parseAddress,
} from "../../../../lib/core/wire/host_address.ts";
import { assertEquals } from "../../../support/assert.ts";
import { fromHex } from "../../../support/noise/vectors.ts";
import { Random } from "../../../support/random.ts";

Deno.test("parseAddress() reads IPv4 as a number and IPv6 as its canonical text (RFC 5952 section 4)", () => {
  const cases: [string, string | number | null][] = [
    ["192.0.2.1", 0xc000_0201],
    ["2001:db8::1", "2001:db8::1"],
    ["2001:0DB8:0000:0000:0000:0000:0000:0001", "2001:db8::1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["2001:db8::1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["::", "::"],
    ["::1", "::1"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
    // IPv4 in another dress: it has one form here.
    ["::ffff:192.0.2.1", null],
    ["::ffff:c000:201", null],
    ["fe80::1%eth0", null],
    ["[::1]", null],
    ["2001:db8", null],
    ["1:2:3:4:5:6:7:8:9", null],
    ["example.org", null],
    ["", null],
  ];
  for (const [text, expected] of cases) assertEquals(parseAddress(text), expected, text);
});

Deno.test("an address with a port has brackets where it is one of IPv6", () => {
  assertEquals(formatAddress(0xc000_0201), "192.0.2.1");
  assertEquals(formatAddress("2001:db8::1"), "2001:db8::1");
  assertEquals(formatSocketAddress({ address: 0xc000_0201, port: 7 }), "192.0.2.1:7");
  assertEquals(formatSocketAddress({ address: "2001:db8::1", port: 7 }), "[2001:db8::1]:7");
});

Deno.test("bytes and text of an address lead to each other", () => {
  assertEquals(addressBytes(0xc000_0201), Uint8Array.of(192, 0, 2, 1));
  assertEquals(addressBytes("2001:db8::7"), fromHex("20010db8000000000000000000000007"));
  assertEquals(ipv6Bytes("::"), new Uint8Array(16));
  assertEquals(ipv6Bytes("1::"), fromHex("00010000000000000000000000000000"));
  const random = new Random(6);
  for (let i = 0; i < 500; i++) {
    const bytes = Uint8Array.from(
      { length: 18 },
      () => random.below(3) === 0 ? random.below(256) : 0,
    );
    const text = ipv6At(new DataView(bytes.buffer), 2);
    assertEquals(ipv6Bytes(text), bytes.slice(2), text);
  }
});
