/** Tests of the address forms in `ffi/netlink/ip_address.ts`. */
import {
  defaultPrefix,
  familyOf,
  formatIp,
  formatPrefix,
  ipv4FromNumber,
  ipv4ToNumber,
  parseIp,
  parsePrefix,
} from "../../../../ffi/netlink/ip_address.ts";
import { AF_INET, AF_INET6 } from "../../../../ffi/socket_constants.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";

Deno.test("ipv4FromNumber() and ipv4ToNumber() convert both ways", () => {
  for (
    const [number, bytes] of [
      [0, [0, 0, 0, 0]],
      [0x0a424d02, [10, 66, 77, 2]],
      [0xffffffff, [255, 255, 255, 255]],
    ] as const
  ) {
    assertEquals(ipv4FromNumber(number), Uint8Array.from(bytes));
    assertEquals(ipv4ToNumber(new Uint8Array([9, ...bytes]).subarray(1)), number);
  }
  assertThrows(() => ipv4ToNumber(new Uint8Array(16)), TypeError, "Cannot use :: as IPv4");
});

Deno.test("familyOf() tells the family by the length", () => {
  assertEquals(familyOf(new Uint8Array(4)), AF_INET);
  assertEquals(familyOf(new Uint8Array(16)), AF_INET6);
  assertThrows(() => familyOf(new Uint8Array(6)), TypeError, "Cannot use an address of 6 bytes");
});

Deno.test("formatIp() writes IPv6 as RFC 5952 section 4 recommends", () => {
  for (
    const [text, expected] of [
      ["0:0:0:0:0:0:0:0", "::"],
      ["0:0:0:0:0:0:0:1", "::1"],
      ["1:0:0:0:0:0:0:0", "1::"],
      ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
      ["2001:0db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
      ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
      ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
    ]
  ) assertEquals(formatIp(parseIp(text)), expected);
});

Deno.test("parseIp() reads what formatIp() writes", () => {
  for (
    const text of ["0.0.0.0", "10.66.77.2", "255.255.255.255", "fd00::1", "::", "1::8", "a:b::"]
  ) {
    assertEquals(formatIp(parseIp(text)), text);
  }
});

Deno.test("parseIp() refuses what is no address", () => {
  const wrong = [
    "",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.4 ",
    "-1.2.3.4",
    "a.b.c.d",
  ];
  const wrong6 = [
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "12345::",
    "g::",
    "1:2:3:4:5:6:7:8::",
  ];
  for (const text of [...wrong, ...wrong6]) {
    assertThrows(() => parseIp(text), TypeError, `Cannot read "${text}" as an IP address`);
  }
});

Deno.test("parsePrefix() reads networks and single addresses, and keeps the host's bits", () => {
  const cases = [
    ["10.1.2.3/8", "10.1.2.3/8"],
    ["10.1.2.3", "10.1.2.3/32"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["fd00::1/64", "fd00::1/64"],
    ["fd00::1", "fd00::1/128"],
  ];
  for (const [text, expected] of cases) assertEquals(formatPrefix(parsePrefix(text)), expected);
  for (
    const text of ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8", "::/129", "::/1x"]
  ) {
    assertThrows(() => parsePrefix(text), TypeError, "Cannot read");
  }
});

Deno.test("defaultPrefix() is the network of everything", () => {
  assertEquals(formatPrefix(defaultPrefix(AF_INET)), "0.0.0.0/0");
  assertEquals(formatPrefix(defaultPrefix(AF_INET6)), "::/0");
});
