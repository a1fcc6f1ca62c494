/** Tests of lib/core/wire/ipv4_text.ts. */
import {
  formatCidr,
  formatIpv4,
  parseCidr,
  parseIpv4,
  prefixMask,
} from "../../../../lib/core/wire/ipv4_text.ts";
import { assertEquals } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";

Deno.test("parseIpv4() reads four decimal octets", () => {
  assertEquals(parseIpv4("0.0.0.0"), 0);
  assertEquals(parseIpv4("1.2.3.4"), 0x01020304);
  assertEquals(parseIpv4("10.66.77.199"), 0x0a424dc7);
  assertEquals(parseIpv4("192.168.250.9"), 0xc0a8fa09);
  assertEquals(parseIpv4("255.255.255.255"), 0xffffffff);
});

Deno.test("parseIpv4() gives null for anything else", () => {
  const bad = [
    "",
    ".",
    "1",
    "1.2.3",
    "1.2.3.",
    "1.2.3.4.5",
    ".1.2.3.4",
    "256.0.0.1",
    "1.2.3.256",
    "1.2.3.1000",
    "010.0.0.1",
    "1.2.3.04",
    "00.0.0.0",
    "0x7f.0.0.1",
    "1.2.3.-4",
    "+1.2.3.4",
    "1.2.3.4 ",
    " 1.2.3.4",
    "1.2.3.4\n",
    "1.2. 3.4",
    "1.2.3.4/32",
    "1.2.3.1e1",
    "١.2.3.4",
    "a.b.c.d",
    "::1",
    "2130706433",
  ];
  for (const text of bad) assertEquals(parseIpv4(text), null, JSON.stringify(text));
});

Deno.test("formatIpv4() gives back what parseIpv4() read", () => {
  const random = new Random(1);
  for (let round = 0; round < 2000; round++) {
    const address = random.uint32();
    assertEquals(parseIpv4(formatIpv4(address)), address);
  }
  assertEquals(formatIpv4(0xfffefdfc), "255.254.253.252");
  assertEquals(formatIpv4(0), "0.0.0.0");
});

Deno.test("parseCidr() keeps the host bits and takes a bare address for a /32", () => {
  assertEquals(parseCidr("10.66.77.1/24"), { address: 0x0a424d01, prefixLength: 24 });
  assertEquals(parseCidr("0.0.0.0/0"), { address: 0, prefixLength: 0 });
  assertEquals(parseCidr("255.255.255.255/32"), { address: 0xffffffff, prefixLength: 32 });
  assertEquals(parseCidr("10.66.77.1"), { address: 0x0a424d01, prefixLength: 32 });
});

Deno.test("parseCidr() gives null for anything else", () => {
  const bad = [
    "",
    "/",
    "/24",
    "10.0.0.0/",
    "10.0.0.0/33",
    "10.0.0.0/024",
    "10.0.0.0/00",
    "10.0.0.0/-1",
    "10.0.0.0/ 8",
    "10.0.0.0 /8",
    "10.0.0.0/8/8",
    "10.0.0.0/8/",
    "10.0.0.0/255.0.0.0",
    "10.0.0/8",
    "10.0.0.0/1e1",
    "10.0.0.0/8\n",
  ];
  for (const text of bad) assertEquals(parseCidr(text), null, JSON.stringify(text));
});

Deno.test("formatCidr() gives back what parseCidr() read", () => {
  for (const text of ["0.0.0.0/0", "10.66.77.1/24", "192.0.2.255/32"]) {
    const prefix = parseCidr(text);
    assertEquals(prefix === null ? null : formatCidr(prefix), text);
  }
});

Deno.test("prefixMask() has as many ones as the prefix is long", () => {
  for (let length = 0; length <= 32; length++) {
    const ones = "1".repeat(length).padEnd(32, "0");
    assertEquals(prefixMask(length), Number.parseInt(ones, 2), `/${length}`);
  }
});
